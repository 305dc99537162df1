use serde_json::{Value, json};

use super::*;

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_str(&value.to_string()).unwrap()
}

#[test]
fn an_object_is_written_with_its_type_and_nothing_empty() {
    let metadata = ObjectMeta { name: Some("r".to_owned()), ..ObjectMeta::default() };
    let spec = PipelineRunSpec {
        params: vec![Param::new("A", "1")],
        status: Some(CANCELLED.to_owned()),
        ..PipelineRunSpec::default()
    };
    assert_eq!(
        serde_json::to_value(PipelineRun::new(metadata, spec)).unwrap(),
        json!({
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": {"name": "r"},
            "spec": {"params": [{"name": "A", "value": "1"}], "status": "Cancelled"},
        })
    );
    let task: TaskRun = read(&json!({}));
    assert_eq!(serde_json::to_value(task).unwrap()["kind"], "TaskRun");
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let run: PipelineRun = read(&json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": "r", "new": {"a": [1]}},
        "spec": {"pipelineSpec": {"tasks": []}, "params": [{"name": "A", "value": "1", "new": 1}]},
        "status": {"provenance": {}, "conditions": [{"type": "Succeeded", "status": "True", "severity": "x"}]},
    }));
    assert_eq!(run.spec.params, [Param::new("A", "1")]);
    let status = run.status.unwrap();
    assert_eq!(status.conditions[0].status, "True");
}

#[test]
fn a_part_that_cannot_be_read_hides_no_other_part() {
    let run: PipelineRun = read(&json!({
        "metadata": {"name": "r"},
        "spec": {"params": [{"name": "A", "value": ["list"]}, {"name": "B", "value": "2"}], "timeouts": 3},
        "status": {
            "startTime": "yesterday",
            "completionTime": "2026-01-02T03:04:05Z",
            "conditions": [7, {"type": "Succeeded", "status": "False", "reason": null, "message": {}}],
            "childReferences": {"not": "a list"},
            "skippedTasks": [{"name": "a"}, {"reason": "no name"}],
            "pipelineSpec": {"tasks": [{"name": "a"}, null, {"name": 4}], "finally": "none"},
        },
    }));
    assert_eq!(run.spec.params, [Param::new("B", "2")]);
    let status = run.status.unwrap();
    assert_eq!(status.start_time, None);
    assert!(status.completion_time.is_some());
    assert_eq!(status.conditions.len(), 1);
    assert_eq!(status.conditions[0].status, "False");
    assert_eq!(status.child_references, []);
    assert_eq!(status.skipped_tasks.len(), 1);
    let pipeline = status.pipeline_spec.unwrap();
    assert_eq!((pipeline.tasks.len(), pipeline.finally.len()), (1, 0));
}

#[test]
fn any_json_object_can_be_read() {
    for value in [
        json!({}),
        json!({"metadata": null, "spec": null, "status": null}),
        json!({"metadata": 1, "spec": "x", "status": [true]}),
        json!({"metadata": {"name": 5}, "spec": [1, 2], "status": {"steps": 1, "retriesStatus": [3]}}),
    ] {
        let run: PipelineRun = read(&value);
        let task: TaskRun = read(&value);
        assert_eq!((run.metadata.name, task.metadata.name), (None, None), "{value}");
    }
}

#[test]
fn steps_and_retries_of_a_task_run_are_read() {
    let task: TaskRun = read(&json!({
        "metadata": {"name": "t"},
        "spec": {"status": "TaskRunCancelled", "statusMessage": "x"},
        "status": {
            "steps": [
                {"name": "s", "container": "step-s", "terminated": {
                    "exitCode": 137, "reason": "OOMKilled", "containerID": "c",
                    "startedAt": "2026-01-02T03:04:05Z", "finishedAt": null,
                }},
                {"name": "t", "running": {"startedAt": "2026-01-02T03:04:05Z"}},
                {"name": "u", "waiting": {"reason": "PodInitializing"}},
            ],
            "retriesStatus": [{"steps": [{"name": "s"}]}],
        },
    }));
    assert_eq!(task.spec.status.as_deref(), Some(TASK_RUN_CANCELLED));
    let status = task.status.unwrap();
    let [first, second, third] = status.steps.as_slice() else { panic!("{status:?}") };
    let ended = first.terminated.as_ref().unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "OOMKilled"));
    assert!(ended.started_at.is_some() && ended.finished_at.is_none());
    assert!(second.running.is_some());
    assert_eq!(third.waiting.as_ref().unwrap().reason, "PodInitializing");
    assert_eq!(status.retries_status.len(), 1);
}
