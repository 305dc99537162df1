//! One Start becomes a real PipelineRun and is watched to its end.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wfe_proto::v1::{self, FailureReason, State, TaskState, WhenLocked};
use wfe_tests::{ControlPlane, bundles};

use crate::calls::*;

#[tokio::test]
async fn a_start_becomes_a_run_from_a_bundle_and_is_watched_to_success() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::three_tasks_in_order(plane.registry()).await?;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let mut request = mk_start(&pushed.reference, "r", "default/Deployment/api");
        request.parameters.insert("REPLICAS".to_owned(), "3".to_owned());
        request.parameters.insert("UNDECLARED".to_owned(), "x".to_owned());
        request.declared_parameters =
            Some(v1::DeclaredParameters { names: vec!["REPLICAS".to_owned()] });
        request.correlation_id = "incident-1".to_owned();
        request.source = Some(v1::Source {
            namespace: "default".to_owned(),
            name: "we-incident-1".to_owned(),
            uid: "u".to_owned(),
        });
        let accepted = start(&mut client, request).await?;
        let done = follow(&mut client, &accepted.id, 0).await?;
        assert_eq!(done.state(), State::Succeeded);

        let progress = done.progress.context("progress")?;
        let tasks: Vec<(&str, TaskState)> =
            progress.tasks.iter().map(|task| (task.name.as_str(), task.state())).collect();
        let succeeded = TaskState::Succeeded;
        assert_eq!(tasks, [("a", succeeded), ("b", succeeded), ("c", succeeded)]);
        for task in &progress.tasks {
            let step = task.steps.first().context("a step")?;
            assert_eq!((step.state(), step.exit_code), (succeeded, Some(0)));
            assert!(step.start_time.is_some() && step.end_time.is_some(), "{step:?}");
            assert!(task.start_time.is_some() && task.end_time.is_some(), "{task:?}");
        }

        let run = namespace.runs().get(&done.run.context("a run")?.name).await?;
        assert_eq!(
            run.data["spec"]["params"],
            json!([
                { "name": "REPLICAS", "value": "3" },
                { "name": "TARGET_RESOURCE", "value": "default/Deployment/api" },
            ])
        );
        let labels = run.metadata.labels.context("labels")?;
        assert_eq!(labels["kubernaut.ai/execution-id"], done.id);
        assert_eq!(labels["kubernaut.ai/workflow-execution"], "we-incident-1");
        assert_eq!(labels["kubernaut.ai/source-namespace"], "default");
        assert_eq!(labels["kubernaut.ai/target-resource"], "default__Deployment__api");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_digest_decides_what_runs() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::succeeds(plane.registry()).await?;
    with_server(&plane, async |_, server| {
        let mut client = server.client().await?;
        let pinned = |digest: &str, id: &str| {
            let mut request = mk_start(&pushed.reference, id, &format!("default/pod/{id}"));
            request.workflow = Some(v1::start_request::Workflow::Bundle(v1::BundleWorkflow {
                reference: pushed.reference.clone(),
                digest: digest.to_owned(),
                ..v1::BundleWorkflow::default()
            }));
            request
        };
        let right = start(&mut client, pinned(&pushed.digest, "right")).await?;
        assert_eq!(follow(&mut client, &right.id, 0).await?.state(), State::Succeeded);
        let another = format!("sha256:{}", "0".repeat(64));
        let wrong = start(&mut client, pinned(&another, "wrong")).await?;
        let failed = follow(&mut client, &wrong.id, 0).await?;
        assert_eq!(
            failed.failure.context("a failure")?.reason(),
            FailureReason::ConfigurationError
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn odd_targets_give_valid_labels_and_the_right_lock() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let long = format!("default/configmap/{}", "a".repeat(253));
        let pairs = [
            ("clusterrole/system:node", "ClusterRoles/system:node"),
            (long.as_str(), long.as_str()),
            ("default/DEPLOYMENT/api", "default/deploy/api"),
            ("default/statefulsets.apps/db", "default/sts/db"),
        ];
        for (n, (first, same)) in pairs.into_iter().enumerate() {
            let accepted = start(&mut client, mk_start(&never, &format!("a-{n}"), first)).await?;
            let running = until_state(&mut client, &accepted.id, State::Running).await?;
            let name = running.run.context("a run")?.name;
            let run = namespace.runs().get(&name).await?;
            let annotations = run.metadata.annotations.unwrap_or_default();
            assert_eq!(annotations["kubernaut.ai/target-resource"], first);
            let status = client.start(mk_start(&never, &format!("b-{n}"), same)).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::Aborted, "{status:?}");
            cancel(&mut client, &accepted.id).await?;
            follow(&mut client, &accepted.id, 0).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_strangers_live_run_holds_the_target_until_it_ends() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let (never, succeeds) = (
        bundles::never_ends(plane.registry()).await?.reference,
        bundles::succeeds(plane.registry()).await?.reference,
    );
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let hash = {
            let accepted =
                start(&mut client, mk_start(&succeeds, "probe", "default/pod/x")).await?;
            let done = follow(&mut client, &accepted.id, 0).await?;
            let name = done.run.context("a run")?.name;
            name.split('-').nth(1).context("a hash")?.to_owned()
        };
        let mut stranger = wfe_tests::tekton::pipeline_run("stranger", &never, &json!({}))?;
        let labels = BTreeMap::from([("kubernaut.ai/target-hash".to_owned(), hash)]);
        stranger.metadata.labels = Some(labels);
        namespace.runs().create(&kube::api::PostParams::default(), &stranger).await?;

        let refused = wfe_tests::wait::eventually(PATIENCE, "the stranger is seen", async || {
            let request = v1::StartRequest {
                validate_only: true,
                ..mk_start(&succeeds, "r", "default/pod/x")
            };
            match client.clone().start(request).await {
                Err(status) => Ok(status),
                Ok(answer) => Err(format!("{answer:?}")),
            }
        })
        .await?;
        assert_eq!(refused.code(), tonic::Code::Aborted);
        assert!(refused.message().contains("stranger"), "{refused:?}");

        let waiting = v1::StartRequest {
            when_locked: WhenLocked::Wait.into(),
            ..mk_start(&succeeds, "r", "default/pod/x")
        };
        let waiting = start(&mut client, waiting).await?;
        assert_eq!(waiting.state(), State::Waiting);
        let stop: Value = json!({ "spec": { "status": "Cancelled" } });
        let patch = kube::api::Patch::Merge(&stop);
        namespace.runs().patch("stranger", &kube::api::PatchParams::default(), &patch).await?;
        assert_eq!(follow(&mut client, &waiting.id, 0).await?.state(), State::Succeeded);
        Ok(())
    })
    .await
}
