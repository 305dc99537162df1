//! Tasks that something else than a TaskRun carries out.

use super::*;

fn mk_child(kind: &str, task: &str) -> Child {
    Child { kind: kind.to_owned(), name: format!("wfe-1-{task}"), pipeline_task: task.to_owned() }
}

/// A run of which this carries out the task `c`, and a TaskRun the task `a`, with the counts of its end.
fn mk_foreign(kind: &str, message: &str) -> (RunFacts, [TaskRunFacts; 1]) {
    let mut run = mk_run(Status::False, "Failed", &["c", "a"]);
    run.condition.as_mut().unwrap().message = message.to_owned();
    run.children = vec![mk_child(kind, "c"), mk_child("TaskRun", "a")];
    (run, [mk_task("a", Status::True, "Succeeded", Vec::new())])
}

const ONE_FAILED: &str = "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 0";

#[test]
fn what_nobody_watches_may_have_run() {
    for kind in ["CustomRun", "PipelineRun"] {
        let (run, tasks) = mk_foreign(kind, ONE_FAILED);
        let seen = observe(&run, &tasks, &Veil::none());
        assert!(seen.progress.ran(), "{kind}");
        assert!(seen.end.unwrap().failure().unwrap().was_execution_failure, "{kind}");
        let going = RunFacts { condition: Some(condition(Status::Unknown, "Running")), ..run };
        assert!(observe(&going, &[], &Veil::none()).progress.ran(), "{kind}");
    }
}

#[test]
fn a_run_failed_by_a_pipeline_inside_of_it_that_was_cancelled_was_cancelled() {
    let inside =
        |status, reason| RunFacts { name: "wfe-1-c".to_owned(), ..mk_run(status, reason, &["x"]) };
    let other = RunFacts { name: "wfe-1-d".to_owned(), ..inside(Status::False, "Cancelled") };
    for (kind, inside, cancelled) in [
        ("PipelineRun", vec![inside(Status::False, "Cancelled")], true),
        ("PipelineRun", vec![inside(Status::False, "Failed")], false),
        ("PipelineRun", vec![inside(Status::Unknown, "Cancelled")], false),
        ("PipelineRun", vec![other], false),
        ("PipelineRun", vec![], false),
        ("CustomRun", vec![inside(Status::False, "Cancelled")], false),
    ] {
        let (run, tasks) = mk_foreign(kind, ONE_FAILED);
        let seen = observe(&run, &tasks, &Veil::none());
        assert_eq!(seen.failed_inside(), kind == "PipelineRun");
        let known = seen.clone().knowing(&inside);
        if !cancelled {
            assert_eq!(known, seen, "{kind} {inside:?}");
            continue;
        }
        assert_eq!(known.end, Some(RunEnd::Cancelled { ran: true }));
        assert_eq!(known.progress.tasks[0].state, TaskState::Cancelled);
        assert_eq!((known.progress.failed, known.progress.succeeded), (1, 1));
    }
}

#[test]
fn a_task_that_failed_beside_a_cancelled_pipeline_is_what_really_happened() {
    let (run, _) = mk_foreign("PipelineRun", ONE_FAILED);
    let tasks = [mk_task("a", Status::False, "StepFailed", ended(1, "Error"))];
    let seen = observe(&run, &tasks, &Veil::none());
    assert!(!seen.failed_inside());
    let inside =
        RunFacts { name: "wfe-1-c".to_owned(), ..mk_run(Status::False, "Cancelled", &["x"]) };
    assert_eq!(seen.clone().knowing(&[inside]), seen);
}
