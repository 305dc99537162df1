//! What fails in a run that succeeds.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wfe_proto::v1::{State, TaskState};
use wfe_tests::bundles::{Fate, Task, Workflow, push};
use wfe_tests::{ControlPlane, Namespace, ServerProcess};

use crate::support::{mk_start, run};

#[tokio::test]
async fn a_retry_that_succeeds_and_a_failure_that_is_ignored_are_no_failures() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let flaky = Task::new("flaky").fate(Fate::FailFirst).with(json!({ "retries": 2 }));
    let ignored = Task::new("may-fail")
        .fate(Fate::Fail { exit_code: 9 })
        .with(json!({ "onError": "continue" }));
    let cases = [
        ("retry-succeeds", Workflow::new([flaky]), "flaky", 2, TaskState::Succeeded),
        (
            "ignored",
            Workflow::new([ignored, Task::new("next").run_after("may-fail")]),
            "may-fail",
            1,
            TaskState::Failed,
        ),
    ];
    Namespace::with(plane.client().await?, async |namespace| {
        let server = ServerProcess::start(&plane, namespace.name()).await?;
        let mut client = server.client().await?;
        for (name, workflow, task, attempts, state) in cases {
            let bundle =
                push(plane.registry(), &format!("failures-{name}"), "v1", &workflow).await?;
            let done = Box::pin(run(&mut client, mk_start(&bundle.reference, name))).await?.done;
            ensure!(
                done.state() == State::Succeeded && done.failure.is_none(),
                "{name}: {done:#?}"
            );
            let progress = done.progress.context("progress")?;
            let found =
                progress.tasks.iter().find(|found| found.name == task).context("the task")?;
            ensure!((found.attempts, found.state()) == (attempts, state), "{name}: {found:#?}");
        }
        Ok(())
    })
    .await
}
