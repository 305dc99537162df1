//! Names and texts that have the words of another failure in them decide nothing.

use anyhow::Result;
use serde_json::json;
use wfe_proto::v1::FailureReason::{ConfigurationError, OomKilled, ResourceExhausted, TaskFailed};
use wfe_tests::bundles::{Fate, Task, Workflow};

use crate::support::Ran::{No, Yes};
use crate::support::*;

fn fails(task: &str) -> Task {
    Task::new(task).fate(Fate::Fail { exit_code: 3 })
}

#[tokio::test]
async fn words_of_another_failure_in_names_and_messages_deceive_nobody() -> Result<()> {
    let target = json!({ "name": "TARGET_RESOURCE", "type": "string" });
    let missing = json!({ "name": "zoom_OOMKilled_is_forbidden", "type": "string" });
    let cases = vec![
        Case::new(
            "oom-cleanup",
            Workflow::new([fails("oom-cleanup")]),
            Expected::in_task(TaskFailed, Yes, "StepFailed", "oom-cleanup")
                .step("main")
                .exit_code(3),
        ),
        Case::new(
            "step-forbidden",
            Workflow::new([
                fails("exceeded-quota").step_with(json!({ "name": "invalid-forbidden" }))
            ]),
            Expected::in_task(TaskFailed, Yes, "StepFailed", "exceeded-quota")
                .step("invalid-forbidden")
                .exit_code(3),
        ),
        Case::new(
            "image-timeout",
            Workflow::new([Task::new("imagepullbackoff-timeout").fate(Fate::OutOfMemory)]),
            Expected::in_task(OomKilled, Yes, "StepOOM", "imagepullbackoff-timeout")
                .step("main")
                .exit_code(137),
        ),
        Case::new(
            "forbidden-evicted",
            Workflow::new([Task::new("forbidden-zoom").fate(Fate::Evicted)]),
            Expected::in_task(ResourceExhausted, Yes, "PodEvicted", "forbidden-zoom"),
        ),
        Case::missing(
            "connection-refused-oomkilled-forbidden",
            Expected::of_run(ConfigurationError, No, "CouldntGetPipeline")
                .says(&["oomkilled-forbidden"]),
        ),
        Case::new(
            "zoom-parameter",
            Workflow::new([Task::new("only")]).with(json!({ "params": [target, missing] })),
            Expected::of_run(ConfigurationError, No, "ParameterMissing")
                .says(&["zoom_OOMKilled_is_forbidden"]),
        ),
        Case::new(
            "forbidden-account",
            Workflow::new([Task::new("only")]),
            Expected::in_task(ConfigurationError, No, "PodCreationFailed", "only")
                .says(&["exceeded-quota-forbidden"]),
        )
        .asks(|request| request.service_account = "exceeded-quota-forbidden".to_owned()),
    ];
    play(&[], as_it_is, cases).await
}
