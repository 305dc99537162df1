//! What waits without running: told while it lasts, and ended with its own reason.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use wfe_proto::v1::FailureReason::{
    ConfigurationError, ImagePullBackOff, ResourceExhausted, Unknown,
};
use wfe_tests::bundles::{Fate, Task, Workflow};

use crate::support::Ran::{No, Yes};
use crate::support::*;

/// Short ones, so that the tests need not wait long; long enough for the wait to be looked at meanwhile.
const PATIENCE: [&str; 10] = [
    "--image-pull-patience",
    "4s",
    "--quota-patience",
    "4s",
    "--scheduling-patience",
    "4s",
    "--volume-patience",
    "4s",
    "--task-start-patience",
    "4s",
];

fn one(task: Task) -> Workflow {
    Workflow::new([task])
}

fn claim() -> Task {
    Task::new("only").with(json!({ "taskSpec": { "volumes": [{
        "name": "data",
        "persistentVolumeClaim": { "claimName": "nope" },
    }] } }))
}

#[tokio::test]
async fn a_wait_is_shown_while_it_lasts_and_ended_with_its_own_reason() -> Result<()> {
    let pulling = |name| Task::new(name).fate(Fate::ImagePulling).after(Duration::from_millis(1));
    let cases = vec![
        Case::new(
            "image-never-comes",
            one(pulling("only")),
            Expected::in_task(ImagePullBackOff, No, "ErrImagePull", "only")
                .step("main")
                .attempt(0)
                .waits("task only waits for an image that cannot be pulled")
                .says(&["It was stopped after ", "Check the name of the image"]),
        ),
        Case::new(
            "second-image-never-comes",
            Workflow::new([Task::new("first"), pulling("second").run_after("first")]),
            Expected::in_task(ImagePullBackOff, Yes, "ErrImagePull", "second")
                .step("main")
                .attempt(0)
                .waits("task second waits for an image that cannot be pulled"),
        ),
        Case::new(
            "no-node-has-room",
            one(Task::new("only").fate(Fate::NoNodeHasRoom)),
            Expected::in_task(ResourceExhausted, No, "ExceededNodeResources", "only")
                .attempt(0)
                .waits("task only waits for a node that takes its pod")
                .says(&["It was stopped after ", "Make room on the nodes"]),
        ),
        Case::new(
            "no-claim",
            one(claim()),
            Expected::in_task(ConfigurationError, No, "Pending", "only")
                .attempt(0)
                .waits("task only waits for a volume")
                .says(&["persistentvolumeclaim \\\"nope\\\" not found", "Check the claim"]),
        ),
        Case::new(
            "no-volume",
            one(Task::new("only").fate(Fate::NoVolume)),
            Expected::in_task(Unknown, No, "Pending", "only")
                .attempt(0)
                .waits("task only waits for the volumes and the network of its pod")
                .says(&["It was stopped after ", "Look at the events of its pod"]),
        ),
    ];
    play(&PATIENCE, as_it_is, cases).await
}

#[tokio::test]
async fn a_quota_that_leaves_no_room_for_a_pod_is_waited_for_and_told() -> Result<()> {
    let cases = vec![Case::new(
        "quota-on-pods",
        one(Task::new("only")),
        Expected::in_task(ResourceExhausted, No, "ExceededResourceQuota", "only")
            .attempt(0)
            .waits("task only waits for room in a quota")
            .says(&["It was stopped after ", "exceeded quota: full", "Raise the quota"]),
    )];
    play(&PATIENCE, async |namespace| quota(namespace, "pods").await, cases).await
}

#[tokio::test]
async fn a_quota_that_refuses_the_task_itself_is_told_as_a_task_that_does_not_start() -> Result<()>
{
    let cases = vec![Case::new(
        "quota-on-tasks",
        one(Task::new("only")),
        // The latter is from the time before the definition was there.
        Expected::of_run(Unknown, No, "Started|ResolvingPipelineRef")
            .waits("the run waits for Tekton, which has not made its next task")
            .says(&["It was stopped after ", "Look at the events of the PipelineRun"]),
    )];
    play(&PATIENCE, async |namespace| quota(namespace, "count/taskruns.tekton.dev").await, cases)
        .await
}
