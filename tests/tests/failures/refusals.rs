//! What is refused before anything runs: the definition, the rights, the policies of the cluster.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use wfe_proto::v1::FailureReason::{ConfigurationError, Forbidden, ResourceExhausted};
use wfe_tests::bundles::{Task, Workflow, push};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{Account, ControlPlane, Namespace, ServerProcess};

use crate::support::Ran::No;
use crate::support::*;

fn workflow() -> Workflow {
    Workflow::new([Task::new("only")])
}

fn declares(parameter: &Value) -> Workflow {
    let target = json!({ "name": "TARGET_RESOURCE", "type": "string" });
    workflow().with(json!({ "params": [target, parameter] }))
}

#[tokio::test]
async fn a_definition_that_is_wrong_is_named_and_nothing_of_it_runs() -> Result<()> {
    let cases = vec![
        Case::missing(
            "never-pushed",
            Expected::of_run(ConfigurationError, No, "CouldntGetPipeline")
                .says(&["The definition of the run is wrong", "failures-never-pushed"]),
        ),
        Case::new(
            "parameter-missing",
            declares(&json!({ "name": "REPLICAS", "type": "string" })),
            Expected::of_run(ConfigurationError, No, "ParameterMissing")
                .says(&["missing parameters: [REPLICAS]"]),
        ),
        Case::new(
            "parameter-type",
            declares(&json!({ "name": "REPLICAS", "type": "array" })),
            Expected::of_run(ConfigurationError, No, "ParameterTypeMismatch")
                .says(&["mismatching types", "REPLICAS"]),
        )
        .asks(|request| {
            request.parameters.insert("REPLICAS".to_owned(), "3".to_owned());
        }),
        Case::new(
            "workspace-missing",
            workflow().with(json!({ "workspaces": [{ "name": "secret-credentials" }] })),
            Expected::of_run(ConfigurationError, No, "InvalidWorkspaceBindings")
                .says(&["secret-credentials"]),
        ),
        Case::new(
            "account-missing",
            workflow(),
            Expected::in_task(ConfigurationError, No, "PodCreationFailed", "only")
                .says(&["serviceaccounts \"nobody\" not found"]),
        )
        .asks(|request| request.service_account = "nobody".to_owned()),
    ];
    play(&[], as_it_is, cases).await
}

#[tokio::test]
async fn a_bundle_that_does_not_exist_is_told_before_tekton_gives_up() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let server = ServerProcess::start(&plane, namespace.name()).await?;
        let bundle = wfe_tests::bundles::missing(plane.registry());
        let done = run(&mut server.client().await?, mk_start(&bundle, "missing")).await?.done;
        let took = done.failure.context("a failure")?.time_until_failure.context("a time")?;
        // The limit of a resolution is a minute.
        ensure!((0..30).contains(&took.seconds), "{took:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_that_violates_pod_security_is_forbidden() -> Result<()> {
    let privileged = Task::new("privileged")
        .step_with(json!({ "securityContext": { "allowPrivilegeEscalation": true } }));
    let cases = vec![Case::new(
        "pod-security",
        Workflow::new([privileged]),
        Expected::in_task(Forbidden, No, "PodAdmissionFailed", "privileged").says(&[
            "Kubernetes refused the task privileged",
            "violates PodSecurity \"restricted:latest\"",
        ]),
    )];
    let restricted = async |namespace: &Namespace| {
        let labels = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
        let namespaces = Api::<v1::Namespace>::all(namespace.client().clone());
        namespaces.patch(namespace.name(), &PatchParams::default(), &Patch::Merge(&labels)).await?;
        Ok(())
    };
    play(&[], restricted, cases).await
}

/// A policy that forbids the creation of `resource` in the namespace, in words of other failures; returns when it does.
async fn forbid(namespace: &Namespace, group: &str, resource: &str) -> Result<()> {
    let name = format!("{}-{resource}", namespace.name());
    let policy = json!({
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource],
            }] },
            "validations": [{ "expression": "false", "message": "invalid: zoom exceeded quota, OOMKilled" }],
        },
    });
    let binding = json!({
        "metadata": { "name": name },
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace.name() } } },
        },
    });
    let group = "admissionregistration.k8s.io";
    create(namespace, (group, "v1", "ValidatingAdmissionPolicy"), &policy).await?;
    create(namespace, (group, "v1", "ValidatingAdmissionPolicyBinding"), &binding).await?;
    Ok(())
}

async fn forget(namespace: &Namespace, resource: &str) -> Result<()> {
    use k8s_openapi::api::admissionregistration::v1::{
        ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    };
    let name = format!("{}-{resource}", namespace.name());
    let client = || namespace.client().clone();
    let background = kube::api::DeleteParams::background();
    Api::<ValidatingAdmissionPolicyBinding>::all(client()).delete(&name, &background).await?;
    Api::<ValidatingAdmissionPolicy>::all(client()).delete(&name, &background).await?;
    Ok(())
}

#[tokio::test]
async fn a_policy_that_denies_is_forbidden_whatever_words_it_uses() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    for (name, group, resource, raw_reason, task) in [
        ("policy-on-runs", "tekton.dev", "pipelineruns", "Invalid", ""),
        ("policy-on-pods", "", "pods", "PodCreationFailed", "only"),
    ] {
        Namespace::with(plane.client().await?, async |namespace| {
            forbid(namespace, group, resource).await?;
            let played =
                denied(&plane, namespace, name, (group, resource), (raw_reason, task)).await;
            forget(namespace, resource).await?;
            played
        })
        .await?;
    }
    Ok(())
}

async fn denied(
    plane: &ControlPlane,
    namespace: &Namespace,
    name: &str,
    (group, resource): (&str, &str),
    (raw_reason, task): (&str, &str),
) -> Result<()> {
    until_denied(namespace, group, resource).await?;
    let server = ServerProcess::start(plane, namespace.name()).await?;
    let bundle = push(plane.registry(), &format!("failures-{name}"), "v1", &workflow()).await?;
    let done = run(&mut server.client().await?, mk_start(&bundle.reference, name)).await?.done;
    let failure = done.failure.context("a failure")?;
    let found = (
        failure.reason(),
        failure.was_execution_failure,
        failure.raw_reason.as_str(),
        failure.task.as_str(),
    );
    ensure!(found == (Forbidden, false, raw_reason, task), "{name}: {failure:#?}");
    ensure!(failure.summary.contains("zoom exceeded quota"), "{name}: {failure:#?}");
    let begins = if task.is_empty() {
        "The run could not be created"
    } else {
        "Kubernetes refused the task only"
    };
    ensure!(failure.summary.starts_with(begins), "{name}: {failure:#?}");
    Ok(())
}

/// A policy holds a moment after it was made.
async fn until_denied(namespace: &Namespace, group: &str, resource: &str) -> Result<()> {
    let (version, kind, spec) = match group {
        "" => ("v1", "Pod", json!({ "containers": [{ "name": "c", "image": "i" }] })),
        _ => ("v1", "PipelineRun", json!({ "pipelineRef": { "name": "p" } })),
    };
    let object = json!({ "metadata": { "generateName": "probe-", "namespace": namespace.name() }, "spec": spec });
    eventually(PATIENCE, &format!("{resource} are denied"), async || {
        match create(namespace, (group, version, kind), &object).await {
            Err(error) if format!("{error:#}").contains("zoom") => Ok(()),
            Err(error) => Err(format!("{error:#}")),
            Ok(()) => Err("it was let in".to_owned()),
        }
    })
    .await
}

#[tokio::test]
async fn a_quota_on_runs_is_told_as_such() -> Result<()> {
    let cases = vec![Case::new(
        "quota-on-runs",
        workflow(),
        Expected::of_run(ResourceExhausted, No, "Forbidden").says(&[
            "The run could not be created",
            "exceeded quota: full",
            "Raise the quota",
        ]),
    )];
    play(&[], async |namespace| quota(namespace, "count/pipelineruns.tekton.dev").await, cases)
        .await
}

#[tokio::test]
async fn a_server_without_the_right_to_create_runs_says_which_right_it_lacks() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let name = namespace.name();
        let reads = json!({
            "metadata": { "name": "reads", "namespace": name },
            "rules": [{
                "apiGroups": ["tekton.dev"],
                "resources": ["pipelineruns", "taskruns"],
                "verbs": ["get", "list", "watch"],
            }],
        });
        let account = json!({ "metadata": { "name": "reader", "namespace": name } });
        let binding = json!({
            "metadata": { "name": "reads", "namespace": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads" },
            "subjects": [{ "kind": "ServiceAccount", "name": "reader", "namespace": name }],
        });
        create(namespace, ("", "v1", "ServiceAccount"), &account).await?;
        create(namespace, ("rbac.authorization.k8s.io", "v1", "Role"), &reads).await?;
        create(namespace, ("rbac.authorization.k8s.io", "v1", "RoleBinding"), &binding).await?;
        let directory = tempfile::tempdir()?;
        let kubeconfig = Account::new(name, "reader").kubeconfig(&plane, directory.path()).await?;
        let server = ServerProcess::start_as(&kubeconfig, name, &[]).await?;
        let bundle = push(plane.registry(), "failures-no-right", "v1", &workflow()).await?;
        let done =
            run(&mut server.client().await?, mk_start(&bundle.reference, "no-right")).await?.done;
        let failure = done.failure.context("a failure")?;
        let found = (failure.reason(), failure.was_execution_failure, failure.raw_reason.as_str());
        ensure!(found == (Forbidden, false, "Forbidden"), "{failure:#?}");
        let right = "cannot create resource \"pipelineruns\" in API group \"tekton.dev\"";
        ensure!(
            failure.summary.contains(right) && failure.summary.contains(":reader"),
            "{failure:#?}"
        );
        Ok(())
    })
    .await
}
