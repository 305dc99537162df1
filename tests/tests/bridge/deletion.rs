//! Deleting objects, at every moment of their life: what runs is stopped, and nothing is left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use wfe_control_plane::bundle::OUTCOME;
use wfe_crds::names::{FINALIZER, annotation, tekton_label};
use wfe_crds::workflow_execution::{Phase, WorkflowExecution};
use wfe_proto::v1::{CancelRequest, Execution, State};
use wfe_tests::tekton::has_ended;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, Namespace, bundles};

use crate::support::*;

const TARGET: &str = "default/deployment/api";
const NO_FINALIZERS: &str = r#"{"metadata":{"finalizers":null}}"#;

async fn uid(setup: &Setup, name: &str) -> Result<String> {
    setup.objects().get(name).await?.uid().context("a UID")
}

/// Deletes and waits, as people do.
async fn delete(setup: &Setup, name: &str) -> Result<()> {
    let what = format!("wfe/{name}");
    setup.kubectl.run(&["delete", &what, "--timeout=60s"]).await?;
    ensure!(setup.objects().get_opt(name).await?.is_none(), "{name} is still there");
    Ok(())
}

/// Asks for the deletion.
async fn begin_to_delete(setup: &Setup, name: &str) -> Result<()> {
    let what = format!("wfe/{name}");
    setup.kubectl.run(&["delete", &what, "--wait=false"]).await.map(drop)
}

async fn nothing_is_left(setup: &Setup) -> Result<()> {
    setup.until_nothing_is_alive().await?;
    setup.until_nothing_is_followed().await?;
    let objects = setup.objects().list(&ListParams::default()).await?;
    ensure!(objects.items.is_empty(), "{objects:?}");
    Ok(())
}

/// Waits until the execution of the object with this UID has ended.
async fn until_over(setup: &Setup, uid: &str) -> Result<Execution> {
    eventually(PATIENCE, "the execution is over", || async {
        let found = setup.execution(uid).await.map_err(|error| format!("{error:#}"))?;
        let execution = found.ok_or("no execution")?;
        let over = matches!(execution.state(), State::Succeeded | State::Failed | State::Cancelled);
        if over { Ok(execution) } else { Err(format!("{:?}", execution.state())) }
    })
    .await
}

/// Of every run: the request that it was made for, its name, and whether it was born cancelled.
async fn runs(setup: &Setup) -> Result<Vec<(String, String, bool)>> {
    let runs = setup.runs.runs().list(&ListParams::default()).await?;
    let of = |run: &kube::api::DynamicObject| {
        let request = run.annotations().get(annotation::REQUEST_ID).cloned();
        let born_cancelled =
            run.metadata.generation == Some(1) && run.data["spec"]["status"] == "Cancelled";
        Some((request?, run.name_any(), born_cancelled))
    };
    runs.iter().map(|run| of(run).context("a run without a request")).collect()
}

/// How many live runs there are.
async fn live_runs(setup: &Setup) -> Result<usize> {
    let runs = setup.runs.runs().list(&ListParams::default()).await?;
    Ok(runs.iter().filter(|run| !has_ended(run)).count())
}

#[tokio::test]
async fn an_object_that_is_deleted_while_it_waits_never_runs() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("holder", &never, TARGET)).await?;
        setup.until_phase("holder", Phase::Running).await?;
        setup.apply(&mk_object("waiting", &never, TARGET)).await?;
        setup
            .until("waiting", "is blocked", |status| condition(status, "Blocked").0 == "True")
            .await?;
        let (holder, waiting) = (uid(setup, "holder").await?, uid(setup, "waiting").await?);
        delete(setup, "waiting").await?;
        assert_eq!(until_over(setup, &waiting).await?.state(), State::Cancelled);
        assert_eq!(setup.status("holder").await?.phase, Some(Phase::Running));

        delete(setup, "holder").await?;
        nothing_is_left(setup).await?;
        let runs = runs(setup).await?;
        assert_eq!(runs.iter().map(|run| &run.0).collect::<Vec<_>>(), [&holder]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn objects_that_are_deleted_while_they_start_leave_nothing_alive() -> Result<()> {
    const OBJECTS: u64 = 60;
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        let objects = setup.objects();
        let uids: Vec<String> = stream::iter(0..OBJECTS)
            .map(|n| {
                let (objects, never) = (objects.clone(), never.clone());
                async move {
                    let name = format!("wfe-{n}");
                    let object = mk_object(&name, &never, &format!("default/pod/p-{n}"));
                    let object: WorkflowExecution = serde_json::from_value(object)?;
                    let created = objects.create(&PostParams::default(), &object).await?;
                    // Not waited for anything: each deletion hits another moment.
                    tokio::time::sleep(Duration::from_millis(n * n / 10)).await;
                    objects.delete(&name, &DeleteParams::default()).await?;
                    created.uid().context("a UID")
                }
            })
            .buffer_unordered(4)
            .try_collect()
            .await?;
        eventually(PATIENCE, "all objects are gone", || async {
            let left = objects.list(&ListParams::default()).await;
            let left = left.map_err(|error| error.to_string())?.items.len();
            if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
        })
        .await?;
        nothing_is_left(setup).await?;

        let (mut accepted, mut never_accepted) = (BTreeSet::new(), BTreeSet::new());
        for uid in uids {
            match setup.execution(&uid).await? {
                None => {
                    never_accepted.insert(uid);
                }
                Some(execution) => {
                    assert_eq!(execution.state(), State::Cancelled, "{execution:?}");
                    accepted.insert(uid);
                }
            }
        }
        let (mut ran, mut fences) = (0, 0);
        for (request, run, born_cancelled) in runs(setup).await? {
            assert!(accepted.contains(&request), "{run} is of a request that was not accepted");
            let tasks = wfe_tests::tekton::tasks_of(&setup.runs.tasks(), &run).await?;
            if born_cancelled {
                assert!(tasks.is_empty(), "{run} was born cancelled and did something");
                fences += 1;
            } else {
                ran += 1;
            }
        }
        eprintln!(
            "never accepted: {}, run never created: {fences}, run cancelled: {ran}",
            never_accepted.len()
        );
        assert!(!accepted.is_empty() && ran > 0, "some were deleted late");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_deleted_before_the_bridge_could_hold_it_never_runs() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        let objects = setup.objects();
        setup.bridge.pause()?;
        for n in 0..20 {
            let name = format!("wfe-{n}");
            let object = mk_object(&name, &succeeds, &format!("default/pod/p-{n}"));
            let object: WorkflowExecution = serde_json::from_value(object)?;
            objects.create(&PostParams::default(), &object).await?;
            let deleted = objects.delete(&name, &DeleteParams::default()).await?;
            ensure!(deleted.is_right(), "{name} was held");
        }
        // The bridge hears of this one after all of them.
        setup.apply(&mk_object("last", &succeeds, "default/pod/last")).await?;
        setup.bridge.resume()?;
        setup.until_phase("last", Phase::Completed).await?;
        setup.until_nothing_is_followed().await?;
        let last = uid(setup, "last").await?;
        let requests: Vec<String> = runs(setup).await?.into_iter().map(|run| run.0).collect();
        assert_eq!(requests, [last]);
        delete(setup, "last").await?;
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn an_object_that_runs_goes_when_nothing_of_it_is_alive() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        setup.until_phase("x", Phase::Running).await?;
        let request = uid(setup, "x").await?;
        assert_eq!(live_runs(setup).await?, 1);
        delete(setup, "x").await?;
        // Not waited for: this is so when the object is gone.
        assert_eq!(live_runs(setup).await?, 0);
        let execution = setup.execution(&request).await?.context("an execution")?;
        assert_eq!(execution.state(), State::Cancelled);
        let why = execution.cancellation.context("a cancellation")?.reason;
        assert!(why.contains(&format!("{}/x was deleted", setup.namespace.name())), "{why}");
        let mut told: Vec<String> =
            setup.events("x").await?.into_iter().map(|(reason, _)| reason).collect();
        // Tekton may need a second look.
        told.retain(|reason| reason != "ExecutionDelayed");
        told.sort();
        assert_eq!(
            told,
            [
                "CancelRequested",
                "ExecutionCreated",
                "WorkflowCancelled",
                "WorkflowExecutionDeleted"
            ]
        );
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn a_pod_that_tekton_has_lost_is_stopped_as_well() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        let status = setup.until_phase("x", Phase::Running).await?;
        let run = status.execution_ref.context("a run")?.name;
        let run = setup.runs.runs().get(&run).await?.uid().context("a UID")?;
        // As it is when a TaskRun was cancelled before it could say that it has a pod.
        let lost = json!({
            "metadata": {
                "name": "lost",
                "labels": { (tekton_label::PIPELINE_RUN_UID): run },
                "annotations": { (OUTCOME): "hang" },
            },
            "spec": { "containers": [{ "name": "step-main", "image": "wfe.test/step" }] },
        });
        let pods = setup.runs.pods();
        pods.create(&PostParams::default(), &serde_json::from_value(lost)?).await?;
        eventually(PATIENCE, "the pod runs", || async {
            let pod = pods.get("lost").await.map_err(|error| error.to_string())?;
            let phase = pod.status.and_then(|status| status.phase);
            if phase.as_deref() == Some("Running") { Ok(()) } else { Err(format!("{phase:?}")) }
        })
        .await?;
        delete(setup, "x").await?;
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn an_object_that_is_finished_goes_and_its_run_stays_on_record() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("x", &succeeds, TARGET)).await?;
        setup.until_phase("x", Phase::Completed).await?;
        let request = uid(setup, "x").await?;
        delete(setup, "x").await?;
        let execution = setup.execution(&request).await?.context("an execution")?;
        assert_eq!((execution.state(), execution.cancellation), (State::Succeeded, None));
        assert_eq!(runs(setup).await?.len(), 1);
        assert_eq!(setup.warnings("x").await?, Vec::<String>::new());
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn with_the_service_away_a_deletion_waits_until_it_is_back() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        setup.until_phase("x", Phase::Running).await?;
        let request = uid(setup, "x").await?;
        setup.service.point_to(None);
        setup.service.cut();
        begin_to_delete(setup, "x").await?;
        eventually(PATIENCE, "the bridge has tried to cancel it", || async {
            let cancels = ["method=\"Cancel\""];
            match setup.count("wfe_bridge_server_call_seconds_count", &cancels).await {
                Ok(tried) if tried >= 2 => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await?;
        let object = setup.objects().get("x").await?;
        assert!(object.metadata.deletion_timestamp.is_some());
        assert_eq!(object.finalizers(), [FINALIZER]);
        assert_eq!(live_runs(setup).await?, 1);
        assert!(!setup.bridge.ready().await?.0);

        setup.service.point_to(Some(setup.server.addresses().grpc));
        setup.until_gone("x").await?;
        assert_eq!(live_runs(setup).await?, 0);
        let execution = setup.execution(&request).await?.context("an execution")?;
        assert_eq!(execution.state(), State::Cancelled);
        assert_eq!(setup.count("wfe_bridge_finalizers_removed_total", &["given_up"]).await?, 0);
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn a_deletion_that_takes_too_long_is_let_go_and_says_so() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &["--delete-timeout", "2s"], async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        setup.until_phase("x", Phase::Running).await?;
        let request = uid(setup, "x").await?;
        setup.service.point_to(None);
        setup.service.cut();
        delete(setup, "x").await?;
        assert_eq!(setup.warnings("x").await?, ["CleanupFailed"]);
        let removed = "wfe_bridge_finalizers_removed_total";
        assert_eq!(setup.count(removed, &["outcome=\"given_up\""]).await?, 1);
        assert_eq!(setup.count(removed, &["outcome=\"settled\""]).await?, 0);
        // It goes on trying for a while, and then it is for a person, as the event says.
        setup.until_nothing_is_followed().await?;
        assert_eq!(live_runs(setup).await?, 1);
        let stop = CancelRequest {
            request_id: request,
            reason: "as the event says".to_owned(),
            ..CancelRequest::default()
        };
        setup.server.client().await?.cancel(stop).await?;
        nothing_is_left(setup).await
    })
    .await
}

/// One object that runs, one that waits for it, one that is finished: their UIDs.
async fn one_of_each(setup: &Setup, plane: &ControlPlane) -> Result<[String; 3]> {
    let never = bundles::never_ends(plane.registry()).await?.reference;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    setup.apply(&mk_object("finished", &succeeds, "default/deployment/other")).await?;
    setup.apply(&mk_object("running", &never, TARGET)).await?;
    setup.until_phase("running", Phase::Running).await?;
    setup.apply(&mk_object("waiting", &never, TARGET)).await?;
    setup.until("waiting", "is blocked", |status| condition(status, "Blocked").0 == "True").await?;
    setup.until_phase("finished", Phase::Completed).await?;
    Ok([uid(setup, "running").await?, uid(setup, "waiting").await?, uid(setup, "finished").await?])
}

async fn delete_namespace(setup: &Setup) -> Result<()> {
    let name = setup.namespace.name();
    setup.kubectl.run(&["delete", "namespace", name, "--timeout=120s"]).await?;
    let namespaces = Api::<v1::Namespace>::all(setup.namespace.client().clone());
    ensure!(namespaces.get_opt(name).await?.is_none(), "{name} is still there");
    Ok(())
}

#[tokio::test]
async fn a_namespace_of_objects_goes_and_their_runs_in_another_one_are_stopped() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |runs_namespace| {
        let arguments = Arguments { runs: Some(runs_namespace), ..Arguments::default() };
        with_arguments(&plane, &arguments, async |setup| {
            let [running, waiting, finished] = one_of_each(setup, &plane).await?;
            assert_eq!(live_runs(setup).await?, 1);
            delete_namespace(setup).await?;
            assert_eq!(live_runs(setup).await?, 0);
            assert_eq!(until_over(setup, &running).await?.state(), State::Cancelled);
            assert_eq!(until_over(setup, &waiting).await?.state(), State::Cancelled);
            assert_eq!(until_over(setup, &finished).await?.state(), State::Succeeded);
            let requests: BTreeSet<String> =
                runs(setup).await?.into_iter().map(|run| run.0).collect();
            assert_eq!(requests, BTreeSet::from([running, finished]));
            assert_eq!(setup.count("wfe_bridge_events_lost_total", &[]).await?, 0);
            let removed = "wfe_bridge_finalizers_removed_total";
            assert_eq!(setup.count(removed, &["outcome=\"settled\""]).await?, 3);
            nothing_is_left(setup).await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_namespace_of_objects_and_runs_goes() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_bridge(&plane, &[], async |setup| {
        let [running, waiting, finished] = one_of_each(setup, &plane).await?;
        delete_namespace(setup).await?;
        // The run is stopped or is removed first: either way the execution has ended.
        for request in [&running, &waiting] {
            let state = until_over(setup, request).await?.state();
            assert!(matches!(state, State::Cancelled | State::Failed), "{state:?}");
        }
        assert_eq!(until_over(setup, &finished).await?.state(), State::Succeeded);
        assert_eq!(setup.count("wfe_bridge_events_lost_total", &[]).await?, 0);
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn what_runs_is_stopped_also_when_somebody_took_the_finalizer_off() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        setup.until_phase("x", Phase::Running).await?;
        let request = uid(setup, "x").await?;
        let take_off = ["patch", "wfe/x", "--type=merge", "-p", NO_FINALIZERS, "-o", "json"];
        let answer: Value = serde_json::from_str(&setup.kubectl.run(&take_off).await?)?;
        assert_eq!(answer["metadata"]["finalizers"], Value::Null);
        eventually(PATIENCE, "the finalizer is back", || async {
            let object = setup.objects().get("x").await.map_err(|error| error.to_string())?;
            let held = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
            if held { Ok(()) } else { Err(format!("{:?}", object.metadata)) }
        })
        .await?;

        // The bridge cannot act before the objects are gone. Of the one it hears first that it is deleted, of the other
        // that its finalizer is off.
        setup.apply(&mk_object("y", &never, "default/deployment/other")).await?;
        setup.until_phase("y", Phase::Running).await?;
        let other = uid(setup, "y").await?;
        setup.bridge.pause()?;
        begin_to_delete(setup, "x").await?;
        setup.kubectl.run(&take_off).await?;
        setup.kubectl.run(&["patch", "wfe/y", "--type=merge", "-p", NO_FINALIZERS]).await?;
        delete(setup, "y").await?;
        ensure!(setup.objects().get_opt("x").await?.is_none(), "x is still there");
        assert_eq!(live_runs(setup).await?, 2);
        setup.bridge.resume()?;
        for request in [&request, &other] {
            assert_eq!(until_over(setup, request).await?.state(), State::Cancelled);
        }
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn a_finalizer_of_others_stays_and_ours_goes() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        let mut object = mk_object("x", &never, TARGET);
        object["metadata"]["finalizers"] = json!(["example.com/first"]);
        setup.apply(&object).await?;
        setup.until_phase("x", Phase::Running).await?;
        let last = r#"[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/last"}]"#;
        setup.kubectl.run(&["patch", "wfe/x", "--type=json", "-p", last]).await?;
        let all = setup.objects().get("x").await?;
        assert_eq!(all.finalizers(), ["example.com/first", FINALIZER, "example.com/last"]);

        begin_to_delete(setup, "x").await?;
        let released = eventually(PATIENCE, "ours is gone", || async {
            let object = setup.objects().get("x").await.map_err(|error| error.to_string())?;
            let held = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
            if held { Err(format!("{:?}", object.metadata)) } else { Ok(object) }
        })
        .await?;
        assert_eq!(live_runs(setup).await?, 0);
        assert_eq!(released.finalizers(), ["example.com/first", "example.com/last"]);
        assert_eq!(released.status.unwrap_or_default().phase, Some(Phase::Failed));
        setup.until_nothing_is_followed().await?;
        let later = setup.objects().get("x").await?;
        assert_eq!(later.resource_version(), released.metadata.resource_version);
        setup.kubectl.run(&["patch", "wfe/x", "--type=merge", "-p", NO_FINALIZERS]).await?;
        setup.until_gone("x").await?;
        nothing_is_left(setup).await
    })
    .await
}

#[tokio::test]
async fn another_object_by_the_same_name_is_another_execution() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        setup.until_phase("x", Phase::Running).await?;
        let first = uid(setup, "x").await?;
        let replace = ["replace", "--force", "-f", "-", "--timeout=60s"];
        let other = mk_object("x", &succeeds, TARGET).to_string();
        setup.kubectl.run_with(&replace, &other).await?;
        setup.until_phase("x", Phase::Completed).await?;
        let second = uid(setup, "x").await?;
        assert_eq!(until_over(setup, &first).await?.state(), State::Cancelled);
        assert_eq!(until_over(setup, &second).await?.state(), State::Succeeded);

        // So fast that the bridge sees the end of the one and the beginning of the other at once.
        setup.bridge.pause()?;
        setup.apply(&mk_object("y", &never, "default/deployment/other")).await?;
        let unseen = uid(setup, "y").await?;
        delete(setup, "y").await?;
        setup.apply(&mk_object("y", &succeeds, "default/deployment/other")).await?;
        setup.bridge.resume()?;
        setup.until_phase("y", Phase::Completed).await?;
        let seen = uid(setup, "y").await?;
        let requests: BTreeSet<String> = runs(setup).await?.into_iter().map(|run| run.0).collect();
        assert!(unseen != seen && first != second);
        assert_eq!(requests, BTreeSet::from([first, second, seen]));
        delete(setup, "x").await?;
        delete(setup, "y").await?;
        nothing_is_left(setup).await
    })
    .await
}
