//! What fails in tasks, once the run exists.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use wfe_proto::v1::FailureReason::{
    ConfigurationError, DeadlineExceeded, ImagePullBackOff, OomKilled, ResourceExhausted,
    TaskFailed,
};
use wfe_proto::v1::StartRequest;
use wfe_runtime::clock::{Clock as _, SystemClock};
use wfe_tests::bundles::{Fate, Task, Workflow};

use crate::support::Ran::{No, Yes};
use crate::support::*;

fn one(task: Task) -> Workflow {
    Workflow::new([task])
}

fn fails(name: &str, exit_code: u8) -> Task {
    Task::new(name).fate(Fate::Fail { exit_code })
}

#[tokio::test]
async fn what_fails_in_a_task_is_told_with_its_task_step_exit_code_and_attempt() -> Result<()> {
    let retried = || fails("flaky", 7).with(json!({ "retries": 2 }));
    let cases = vec![
        Case::new(
            "exit-1",
            one(fails("only", 1)),
            Expected::in_task(TaskFailed, Yes, "StepFailed", "only")
                .step("main")
                .exit_code(1)
                .says(&["step main of task only exited with code 1", "Read its log"]),
        ),
        Case::new(
            "out-of-memory",
            one(Task::new("only").fate(Fate::OutOfMemory)),
            Expected::in_task(OomKilled, Yes, "StepOOM", "only")
                .step("main")
                .exit_code(137)
                .says(&["step main of task only ran out of memory"]),
        ),
        Case::new(
            "evicted",
            one(Task::new("only").fate(Fate::Evicted)),
            Expected::in_task(ResourceExhausted, Yes, "PodEvicted", "only")
                .says(&["There was no room for the task only", "low on resource: memory"]),
        ),
        Case::new(
            "task-timeout",
            one(Task::new("slow").fate(Fate::Hang).with(json!({ "timeout": "8s" }))),
            Expected::in_task(DeadlineExceeded, Yes, "TaskRunTimeout", "slow")
                .step("main")
                .says(&["Time ran out in the step main of task slow", "within \"8s\""]),
        ),
        Case::new(
            "retries-exhausted",
            one(retried()),
            Expected::in_task(TaskFailed, Yes, "StepFailed", "flaky")
                .step("main")
                .exit_code(7)
                .attempt(3)
                .says(&["exited with code 7 in attempt 3"]),
        ),
        Case::new(
            "finally-fails",
            one(Task::new("work")).finally(fails("report", 5)),
            Expected::in_task(TaskFailed, Yes, "StepFailed", "report")
                .step("main")
                .exit_code(5)
                .says(&["step main of task report exited with code 5"]),
        ),
        Case::new(
            "both-fail",
            Workflow::new([fails("work", 4)]).finally(fails("report", 5)),
            Expected::in_task(TaskFailed, Yes, "StepFailed", "work").step("main").exit_code(4),
        ),
        Case::new(
            "ignored-and-another",
            Workflow::new([
                fails("may-fail", 9).with(json!({ "onError": "continue" })),
                fails("must-not", 4).run_after("may-fail"),
            ]),
            Expected::in_task(TaskFailed, Yes, "StepFailed", "must-not").step("main").exit_code(4),
        ),
        Case::new(
            "config-wrong",
            one(Task::new("only").fate(Fate::ConfigError)),
            Expected::in_task(ConfigurationError, No, "CreateContainerConfigError", "only")
                .says(&["The definition of the task only is wrong", "config error"]),
        ),
    ];
    play(&[], as_it_is, cases).await
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_an_execution_failure_only_after_something_ran()
-> Result<()> {
    let missing =
        |name: &str| Task::new(name).fate(Fate::ImageMissing).after(Duration::from_millis(1));
    let says = "could not be pulled";
    let cases = vec![
        Case::new(
            "first-image",
            one(missing("first")),
            Expected::in_task(ImagePullBackOff, No, "TaskRunImagePullFailed", "first")
                .says(&[says, "task first"]),
        ),
        Case::new(
            "second-image",
            Workflow::new([Task::new("first"), missing("second").run_after("first")]),
            Expected::in_task(ImagePullBackOff, Yes, "TaskRunImagePullFailed", "second")
                .says(&[says, "task second"]),
        ),
    ];
    play(&[], as_it_is, cases).await
}

#[tokio::test]
async fn a_deadline_that_passes_while_it_runs_says_where_time_ran_out() -> Result<()> {
    // Long enough for the step to start, also on a busy machine.
    let soon: fn(&mut StartRequest) = |request| {
        let deadline = SystemClock.now().as_second() + 10;
        request.deadline = Some(prost_types::Timestamp { seconds: deadline, nanos: 0 });
    };
    let cases = vec![
        Case::new(
            "deadline",
            one(Task::new("slow").fate(Fate::Hang)),
            Expected::in_task(DeadlineExceeded, Yes, "PipelineRunTimeout", "slow")
                .step("main")
                .says(&["Time ran out in the step main of task slow"]),
        )
        .asks(soon),
    ];
    play(&[], as_it_is, cases).await
}
