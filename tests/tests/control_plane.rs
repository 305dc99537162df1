//! The control plane does what the tests that build on it believe it does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{
    TokenRequest, TokenRequestSpec, TokenReview, TokenReviewSpec,
};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use wfe_tests::bundles::{self, Fate, Task, Workflow};
use wfe_tests::control_plane::API_SERVER;
use wfe_tests::permissions::{Permission, Usage, granted, in_force};
use wfe_tests::tekton::{Condition, condition, ended, pipeline_run, tasks_of};
use wfe_tests::wait::{PATIENCE, RECOVERY, eventually, within};
use wfe_tests::{Account, ControlPlane, Namespace};

async fn start(namespace: &Namespace, name: &str, bundle: &str) -> Result<()> {
    let run = pipeline_run(name, bundle, &json!({}))?;
    namespace.runs().create(&PostParams::default(), &run).await?;
    Ok(())
}

async fn run_to_end(
    namespace: &Namespace,
    bundle: &str,
) -> Result<(Condition, Vec<DynamicObject>)> {
    start(namespace, "run", bundle).await?;
    let run = ended(&namespace.runs(), "run", PATIENCE).await?;
    Ok((condition(&run).context("a condition")?, tasks_of(&namespace.tasks(), "run").await?))
}

/// How a run of one task ended: the run, its task, and that task's step. The object is the task.
async fn only_task(bundle: &str) -> Result<(Condition, Condition, Value, DynamicObject)> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let (run, mut tasks) = run_to_end(namespace, bundle).await?;
        assert_eq!(tasks.len(), 1);
        let object = tasks.remove(0);
        let task = condition(&object).context("a condition")?;
        let step = object.data["status"]["steps"][0].clone();
        Ok((run, task, step, object))
    })
    .await
}

fn status_and_reason(condition: &Condition) -> (&str, &str) {
    (&condition.status, &condition.reason)
}

#[tokio::test]
async fn a_pod_without_a_fate_succeeds() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::succeeds(plane.registry()).await?;
    let (run, task, step, _) = only_task(&pushed.reference).await?;
    assert_eq!(status_and_reason(&run), ("True", "Succeeded"));
    assert_eq!(status_and_reason(&task), ("True", "Succeeded"));
    assert_eq!(step["terminated"]["exitCode"], 0);
    assert!(step["terminated"]["startedAt"].is_string(), "{step}");
    assert!(step["terminated"]["finishedAt"].is_string(), "{step}");
    Ok(())
}

#[tokio::test]
async fn a_bundle_is_found_by_its_digest_too() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::succeeds(plane.registry()).await?;
    let (run, ..) = only_task(&format!("{}@{}", pushed.reference, pushed.digest)).await?;
    assert_eq!(status_and_reason(&run), ("True", "Succeeded"));
    Ok(())
}

#[tokio::test]
async fn a_step_fails_with_exit_code_1_by_default() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::step_exits_1(plane.registry()).await?;
    let (run, task, step, _) = only_task(&pushed.reference).await?;
    assert_eq!(status_and_reason(&run), ("False", "Failed"));
    assert_eq!(status_and_reason(&task), ("False", "StepFailed"));
    assert_eq!(step["terminated"]["exitCode"], 1);
    Ok(())
}

#[tokio::test]
async fn a_step_fails_with_the_chosen_exit_code() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let workflow = Workflow::new([Task::new("only").fate(Fate::Fail { exit_code: 42 })]);
    let pushed = bundles::push(plane.registry(), "step-exits-42", "v1", &workflow).await?;
    let (_, task, step, _) = only_task(&pushed.reference).await?;
    assert_eq!(status_and_reason(&task), ("False", "StepFailed"));
    assert_eq!(step["terminated"]["exitCode"], 42);
    Ok(())
}

#[tokio::test]
async fn a_step_is_killed_for_its_memory() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::oom_killed(plane.registry()).await?;
    let (run, task, step, _) = only_task(&pushed.reference).await?;
    assert_eq!(status_and_reason(&run), ("False", "Failed"));
    assert_eq!(status_and_reason(&task), ("False", "StepOOM"));
    assert_eq!(step["terminated"]["exitCode"], 137);
    assert_eq!(step["terminated"]["reason"], "OOMKilled");
    Ok(())
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_starts_no_step() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::image_cannot_be_pulled(plane.registry()).await?;
    let (run, task, step, object) = only_task(&pushed.reference).await?;
    assert_eq!(status_and_reason(&run), ("False", "Failed"));
    assert_eq!(status_and_reason(&task), ("False", "TaskRunImagePullFailed"));
    // Tekton makes up an end for a step that it gave up, with the task's creation as its start; only the reason tells.
    assert_eq!(step["terminated"]["reason"], "TaskRunImagePullFailed");
    let created = serde_json::to_value(&object.metadata.creation_timestamp)?;
    assert_eq!(step["terminated"]["startedAt"], created);
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_was_never_pushed_ends_its_run_before_any_task() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::missing(plane.registry());
    Namespace::with(plane.client().await?, async |namespace| {
        let (run, tasks) = run_to_end(namespace, &bundle).await?;
        assert_eq!(status_and_reason(&run), ("False", "CouldntGetPipeline"));
        assert!(run.message.contains("cannot retrieve the oci image"), "{}", run.message);
        assert!(tasks.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_task_that_never_ends_runs_until_its_run_is_cancelled() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let hangs = Task::new("hangs").fate(Fate::Hang);
    // Ends long after the time at which a pod ends by default.
    let ends = Task::new("ends").after(Duration::from_secs(1));
    let workflow = Workflow::new([hangs, ends]);
    let pushed = bundles::push(plane.registry(), "hangs-beside-another", "v1", &workflow).await?;
    Namespace::with(plane.client().await?, async |namespace| {
        start(namespace, "run", &pushed.reference).await?;
        let tasks = namespace.tasks();
        ended(&tasks, "run-ends", PATIENCE).await?;
        let running = condition(&tasks.get("run-hangs").await?).context("a condition")?;
        assert_eq!(status_and_reason(&running), ("Unknown", "Running"));

        let cancel = json!({ "spec": { "status": "Cancelled" } });
        let cancel = kube::api::Patch::Merge(cancel);
        namespace.runs().patch("run", &kube::api::PatchParams::default(), &cancel).await?;
        let task = ended(&tasks, "run-hangs", PATIENCE).await?;
        let task = condition(&task).context("a condition")?;
        assert_eq!(status_and_reason(&task), ("False", "TaskRunCancelled"));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn tasks_run_in_the_order_that_the_pipeline_asks_for() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::three_tasks_in_order(plane.registry()).await?;
    Namespace::with(plane.client().await?, async |namespace| {
        let (run, tasks) = run_to_end(namespace, &pushed.reference).await?;
        assert_eq!(status_and_reason(&run), ("True", "Succeeded"));
        let names: Vec<String> = tasks.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["run-a", "run-b", "run-c"]);
        for pair in tasks.windows(2) {
            let ended = pair[0].data["status"]["completionTime"].as_str();
            let began = pair[1].data["status"]["startTime"].as_str();
            assert!(ended.is_some() && ended <= began, "{ended:?} {began:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_runs_for_as_long_as_it_was_told() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let long = Duration::from_secs(3);
    let workflow = Workflow::new([Task::new("short"), Task::new("long").after(long)]);
    let pushed = bundles::push(plane.registry(), "short-and-long", "v1", &workflow).await?;
    Namespace::with(plane.client().await?, async |namespace| {
        start(namespace, "run", &pushed.reference).await?;
        let tasks = namespace.tasks();
        ended(&tasks, "run-short", PATIENCE).await?;
        let still = condition(&tasks.get("run-long").await?).context("a condition")?;
        assert_eq!(still.status, "Unknown", "the long task ended before the short one");

        let task = ended(&tasks, "run-long", PATIENCE).await?;
        let step = &task.data["status"]["steps"][0]["terminated"];
        let seconds = |field: &str| -> Result<i64> {
            let time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time =
                serde_json::from_value(step[field].clone())?;
            Ok(time.0.as_second())
        };
        let took = seconds("finishedAt")? - seconds("startedAt")?;
        assert!((3..=10).contains(&took), "it ran for {took} s");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_run_takes_its_tasks_and_pods_along() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::never_ends(plane.registry()).await?;
    Namespace::with(plane.client().await?, async |namespace| {
        start(namespace, "run", &pushed.reference).await?;
        let running =
            await_condition(namespace.tasks(), "run-only", |task: Option<&DynamicObject>| {
                task.and_then(condition).is_some_and(|condition| condition.reason == "Running")
            });
        within(PATIENCE, "a running task", running).await?;
        assert_eq!(namespace.pods().list(&ListParams::default()).await?.items.len(), 1);

        namespace.runs().delete("run", &DeleteParams::background()).await?;
        eventually(PATIENCE, "nothing left of the run", || async {
            let all = ListParams::default();
            let tasks = namespace.tasks().list(&all).await.map_err(|error| error.to_string())?;
            let pods = namespace.pods().list(&all).await.map_err(|error| error.to_string())?;
            match (tasks.items.len(), pods.items.len()) {
                (0, 0) => Ok(()),
                (tasks, pods) => Err(format!("{tasks} tasks, {pods} pods")),
            }
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_user_without_a_role_may_not_start_anything() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let alice = plane.client_as("alice").await?;
    Namespace::with(plane.client().await?, async |namespace| {
        let runs = wfe_tests::tekton::pipeline_runs(&alice, namespace.name());
        let run = pipeline_run("run", &bundles::missing(plane.registry()), &json!({}))?;
        let refused = runs.create(&PostParams::default(), &run).await;
        let Err(kube::Error::Api(status)) = refused else { anyhow::bail!("{refused:?}") };
        assert_eq!(status.code, 403);
        assert!(status.message.contains("\"alice\" cannot create"), "{}", status.message);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_service_account_token_is_believed_for_its_audience_only() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let accounts =
            Api::<ServiceAccount>::namespaced(namespace.client().clone(), namespace.name());
        let reviews = Api::<TokenReview>::all(namespace.client().clone());
        let mut believed = BTreeMap::new();
        for audience in ["wfe", "https://kubernetes.default.svc"] {
            let spec =
                TokenRequestSpec { audiences: vec![audience.to_owned()], ..Default::default() };
            let request = TokenRequest { spec, ..Default::default() };
            let token = accounts
                .create_token_request("default", &PostParams::default(), &request)
                .await?
                .status
                .context("a token")?
                .token;
            let spec =
                TokenReviewSpec { token: Some(token), audiences: Some(vec!["wfe".to_owned()]) };
            let review = TokenReview { spec, ..Default::default() };
            let review = reviews.create(&PostParams::default(), &review).await?;
            let status = review.status.context("an answer")?;
            let user = status.user.and_then(|user| user.username);
            believed.insert(audience, status.authenticated.unwrap_or_default().then_some(user));
        }
        let account = format!("system:serviceaccount:{}:default", namespace.name());
        assert_eq!(believed["wfe"], Some(Some(account)));
        assert_eq!(believed["https://kubernetes.default.svc"], None);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_an_account_does_and_what_it_may_not_do_is_in_the_audit_log() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let account = Account::new(namespace.name(), "default");
        let role = json!({
            "metadata": { "name": "reader" },
            "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }],
        });
        let binding = json!({
            "metadata": { "name": "reader" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader",
            },
            "subjects": [{
                "kind": "ServiceAccount", "name": account.name, "namespace": account.namespace,
            }],
        });
        let (administrator, params) = (namespace.client(), PostParams::default());
        let roles = Api::<Role>::namespaced(administrator.clone(), namespace.name());
        roles.create(&params, &serde_json::from_value(role)?).await?;
        let bindings = Api::<RoleBinding>::namespaced(administrator.clone(), namespace.name());
        bindings.create(&params, &serde_json::from_value(binding)?).await?;

        let permission = |verb: &str| Permission {
            verb: verb.to_owned(),
            resource: "configmaps".to_owned(),
            group: String::new(),
            namespace: Some(namespace.name().to_owned()),
            name: None,
        };
        let granted = granted(administrator, &account).await?;
        assert_eq!(granted, [permission("get"), permission("list")].into());
        in_force(administrator, &account, &granted).await?;

        let directory = tempfile::tempdir()?;
        let kubeconfig = account.kubeconfig(&plane, directory.path()).await?;
        let client = wfe_control_plane::cluster::client(&kubeconfig).await?;
        let maps = Api::<ConfigMap>::namespaced(client, namespace.name());
        maps.list(&ListParams::default()).await?;
        maps.delete("any", &DeleteParams::default()).await.unwrap_err();

        let usage = Usage::of(&plane, &account).await?;
        assert_eq!(usage.allowed, [permission("list")].into());
        let named = Permission { name: Some("any".to_owned()), ..permission("delete") };
        assert_eq!(usage.refused, [named].into());
        assert_eq!(usage.unused(&granted), [permission("get")].into());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_api_server_comes_back_with_its_data_and_runs_go_on() -> Result<()> {
    ControlPlane::alone(async |plane| {
        let client = plane.client().await?;
        let pushed = bundles::three_tasks_in_order(plane.registry()).await?;
        Namespace::with(client.clone(), async |namespace| {
            start(namespace, "run", &pushed.reference).await?;
            // Tekton gives up a pipeline that is not there within a minute, and its resolvers may need
            // longer than that to find their feet afterwards.
            eventually(PATIENCE, "the pipeline is resolved", || async {
                let run = namespace.runs().get("run").await.map_err(|error| error.to_string())?;
                let tasks = run.data["status"]["pipelineSpec"]["tasks"].as_array();
                if tasks.is_some() { Ok(()) } else { Err(run.data["status"].to_string()) }
            })
            .await?;
            plane.stop_component(API_SERVER).await?;
            let answer = wfe_control_plane::cluster::ready(&client).await;
            assert!(answer.is_err(), "a stopped API server answered");

            plane.start_component(API_SERVER).await?;
            eventually(RECOVERY, "the end of the run", || async {
                let run = namespace.runs().get("run").await.map_err(|error| error.to_string())?;
                match condition(&run) {
                    Some(end) if end.status == "True" => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_frozen_api_server_answers_nothing_until_it_goes_on() -> Result<()> {
    ControlPlane::alone(async |plane| {
        let maps = Api::<ConfigMap>::default_namespaced(plane.client().await?);
        plane.pause_component(API_SERVER)?;
        let everything = ListParams::default();
        let asked = tokio::time::timeout(Duration::from_secs(1), maps.list(&everything));
        assert!(asked.await.is_err(), "a frozen API server answered");

        plane.resume_component(API_SERVER)?;
        within(PATIENCE, "an answer", maps.list(&everything)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_run_created_cancelled_never_starts_a_task() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let pushed = bundles::succeeds(plane.registry()).await?;
    Namespace::with(plane.client().await?, async |namespace| {
        for index in 0..20 {
            let name = format!("cancelled-{index}");
            let run = pipeline_run(&name, &pushed.reference, &json!({ "status": "Cancelled" }))?;
            namespace.runs().create(&PostParams::default(), &run).await?;
            let run = ended(&namespace.runs(), &name, PATIENCE).await?;
            let end = condition(&run).context("a condition")?;
            assert_eq!(status_and_reason(&end), ("False", "Cancelled"));
            assert_eq!(run.data["status"]["childReferences"], Value::Null);
        }
        // When a run that was created later has ended, a task of an earlier one would be there.
        start(namespace, "later", &pushed.reference).await?;
        ended(&namespace.runs(), "later", PATIENCE).await?;
        let tasks = namespace.tasks().list(&ListParams::default()).await?;
        let names: Vec<String> = tasks.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["later-only"]);
        Ok(())
    })
    .await
}
