//! The PipelineRun of a request. Pure.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{PodSecurityContext, SeccompProfile},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use wfe_core::{
    request::{StartRequest, TARGET_PARAMETER},
    target::label_value,
    workflow::{BundleWorkflow, Workflow},
};
use wfe_crds::{
    names::{annotation, label},
    tekton::{
        CANCELLED, ConfigMapSource, Param, PipelineRef, PipelineRun, PipelineRunSpec, PodTemplate,
        SecretSource, TaskRunTemplate, Timeouts, Workspace,
    },
};

use super::{Birth, RunRequest};

mod steps;

/// Tekton takes a time-out of zero for none at all.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Tekton gives a pod one and a half times the time-out of its task, and a pod may be given 2^31 - 1
/// seconds. That is 45 years; a deadline beyond is the service's own to keep.
const MAX_TIMEOUT: Duration = Duration::from_secs((i32::MAX as u64) / 3 * 2);

/// The PipelineRun to be created.
pub(super) fn pipeline_run(run: &RunRequest, namespace: &str) -> PipelineRun {
    let request = &run.request;
    let (params, workspaces) = (parameters(run), workspaces(request));
    let timeout = run.timeout.map(|timeout| timeout.clamp(MIN_TIMEOUT, MAX_TIMEOUT));
    let (pipeline_ref, pipeline_spec) = match &request.workflow {
        Workflow::Bundle(bundle) => (Some(in_bundle(bundle)), None),
        Workflow::Inline(inline) => {
            (None, Some(steps::pipeline(inline, &params, &workspaces, timeout)))
        }
    };
    let metadata = ObjectMeta {
        name: Some(run.run.name.to_string()),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels(run)),
        annotations: Some(annotations(run)),
        ..ObjectMeta::default()
    };
    let spec = PipelineRunSpec {
        pipeline_ref,
        pipeline_spec,
        params,
        workspaces,
        task_run_template: Some(TaskRunTemplate {
            service_account_name: request.service_account.clone(),
            pod_template: Some(PodTemplate { security_context: Some(restricted()) }),
        }),
        timeouts: timeout.map(timeouts),
        status: match run.birth {
            Birth::Ready => None,
            Birth::Cancelled => Some(CANCELLED.to_owned()),
        },
    };
    PipelineRun::new(metadata, spec)
}

fn in_bundle(bundle: &BundleWorkflow) -> PipelineRef {
    PipelineRef {
        resolver: Some("bundles".to_owned()),
        params: vec![
            Param::new("bundle", bundle.pinned_reference()),
            Param::new("name", bundle.pipeline()),
            // The resolver looks for a task when it is not told.
            Param::new("kind", "pipeline"),
        ],
    }
}

fn labels(run: &RunRequest) -> BTreeMap<String, String> {
    let request = &run.request;
    let source = request.source.as_ref();
    let shown = [
        (label::WORKFLOW_EXECUTION, source.map_or("", |source| &source.name)),
        (label::SOURCE_NAMESPACE, source.map_or("", |source| &source.namespace)),
        (label::WORKFLOW_ID, &request.identity.id),
        (label::TARGET_RESOURCE, &request.target_as_given),
    ];
    let shown = shown.into_iter().map(|(name, text)| (name, label_value(text)));
    let exact = [
        (label::EXECUTION_ID, run.execution.to_string()),
        (label::TARGET_HASH, request.target.hash()),
    ];
    not_empty(shown.chain(exact))
}

fn annotations(run: &RunRequest) -> BTreeMap<String, String> {
    let request = &run.request;
    let source = request.source.as_ref();
    let correlation = request.correlation_id.as_ref();
    let originals = [
        (annotation::TARGET_RESOURCE, request.target_as_given.as_str()),
        (annotation::CLUSTER_ID, request.target.cluster.as_str()),
        (annotation::REQUEST_ID, request.request_id.as_str()),
        (annotation::CORRELATION_ID, correlation.map_or("", |id| id.as_str())),
        (annotation::WORKFLOW_ID, &request.identity.id),
        (annotation::WORKFLOW_NAME, &request.identity.name),
        (annotation::WORKFLOW_VERSION, &request.identity.version),
        (annotation::WORKFLOW_EXECUTION, source.map_or("", |source| &source.name)),
        (annotation::SOURCE_UID, source.map_or("", |source| &source.uid)),
    ];
    let originals = originals.into_iter().map(|(name, text)| (name, text.to_owned()));
    not_empty(originals.chain([(annotation::EPOCH, run.run.epoch.to_string())]))
}

fn not_empty(entries: impl Iterator<Item = (&'static str, String)>) -> BTreeMap<String, String> {
    let entries = entries.filter(|(_, value)| !value.is_empty());
    entries.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// In the order of their names; the target is the service's own and comes last.
fn parameters(run: &RunRequest) -> Vec<Param> {
    let RunRequest { request, opened, .. } = run;
    let given = request.effective_parameters().filter(|(name, _)| *name != TARGET_PARAMETER);
    let given = given.map(|(name, parameter)| match opened.get(name) {
        Some(value) => Param::new(name, value),
        // What is not opened is not needed in clear: nothing runs with it.
        None => Param::new(name, parameter.shown()),
    });
    given.chain([Param::new(TARGET_PARAMETER, request.target_as_given.as_str())]).collect()
}

fn workspaces(request: &StartRequest) -> Vec<Workspace> {
    let secrets = request.secrets.iter().map(|name| Workspace {
        name: format!("secret-{name}"),
        secret: Some(SecretSource { secret_name: name.clone() }),
        config_map: None,
    });
    let config_maps = request.config_maps.iter().map(|name| Workspace {
        name: format!("configmap-{name}"),
        secret: None,
        config_map: Some(ConfigMapSource { name: name.clone() }),
    });
    secrets.chain(config_maps).collect()
}

/// What the Pod Security Standard "restricted" asks of a pod. Containers are the bundle's own.
fn restricted() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// `tasks` says the same as `pipeline`, so that a single task may take all of the time: without it
/// Tekton stops each TaskRun after its own default, mostly an hour. Finally tasks then have what
/// remains, as they do when only `pipeline` is given.
fn timeouts(timeout: Duration) -> Timeouts {
    let timeout = go_duration(timeout);
    Timeouts { pipeline: Some(timeout.clone()), tasks: Some(timeout) }
}

/// `duration` as Go writes it, in whole milliseconds: `1h0m0s`, `1m30s`, `1.5s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = match duration.subsec_millis() {
        0 => String::new(),
        millis => format!(".{millis:03}").trim_end_matches('0').to_owned(),
    };
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

#[cfg(test)]
mod tests;
