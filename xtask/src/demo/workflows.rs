//! The workflows of the demo, and the WorkflowExecutions that ask for them.

use std::time::Duration;

use anyhow::Result;
use wfe_control_plane::bundle::{Fate, Task, Workflow, push};

const TAG: &str = "v1";
/// Long enough to be seen.
const TASK: Duration = Duration::from_millis(1_500);

/// The exit code of the step that fails.
pub(crate) const EXIT_CODE: u8 = 3;

/// What the registry has.
pub(crate) struct Bundle {
    /// Its reference.
    pub(crate) reference: String,
    /// What becomes of it.
    pub(crate) does: &'static str,
}

/// A WorkflowExecution.
pub(crate) struct Object {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) workflow: &'static str,
    pub(crate) action: &'static str,
}

/// Succeeds.
pub(crate) const API: Object = Object {
    name: "restart-api",
    target: "default/deployment/api",
    workflow: "restart-deployment",
    action: "RestartDeployment",
};
/// Fails.
pub(crate) const DATABASE: Object = Object {
    name: "migrate-db",
    target: "default/statefulset/db",
    workflow: "migrate-schema",
    action: "MigrateSchema",
};
/// Waits until a person has looked at what failed there.
pub(crate) const CACHE: Object = Object {
    name: "flush-db",
    target: "default/statefulset/db",
    workflow: "flush-cache",
    action: "FlushCache",
};
/// The same again, a short time later.
pub(crate) const CACHE_AGAIN: Object = Object { name: "flush-db-again", ..CACHE };
/// Is the first on its target.
pub(crate) const FIRST: Object = Object {
    name: "restart-checkout",
    target: "default/deployment/checkout",
    workflow: "restart-deployment",
    action: "RestartDeployment",
};
/// Wants the same target.
pub(crate) const SECOND: Object = Object {
    name: "flush-checkout",
    target: "default/deployment/checkout",
    workflow: "flush-cache",
    action: "FlushCache",
};
/// Never ends.
pub(crate) const NODE: Object = Object {
    name: "drain-worker",
    target: "node/worker-1",
    workflow: "drain-node",
    action: "DrainNode",
};

impl Object {
    /// As it is applied.
    pub(crate) fn manifest(&self, bundles: &[Bundle]) -> String {
        let Self { name, target, workflow, action } = self;
        let is_ours = |bundle: &&Bundle| bundle.reference.ends_with(&format!("/{workflow}:{TAG}"));
        let bundle = bundles.iter().find(is_ours).map_or("", |bundle| &bundle.reference);
        format!(
            "\
apiVersion: kubernaut.ai/v1alpha1
kind: WorkflowExecution
metadata:
  name: {name}
spec:
  remediationRequestRef:
    name: rr-{name}
  workflowRef:
    workflowId: {workflow}
    workflowName: {workflow}
    actionType: {action}
    version: 1.0.0
    executionBundle: {bundle}
    executionEngine: tekton
  targetResource: {target}
"
        )
    }
}

/// Pushes every workflow to the control plane's registry.
pub(crate) async fn push_all(registry: &str) -> Result<Vec<Bundle>> {
    let task = |name| Task::new(name).after(TASK);
    let all = [
        (
            "restart-deployment",
            "three tasks in order, which succeed",
            vec![
                task("check"),
                task("restart").run_after("check"),
                task("verify").run_after("restart"),
            ],
        ),
        (
            "migrate-schema",
            "two tasks; a step of the second exits with 3",
            vec![
                task("back-up"),
                task("migrate").run_after("back-up").fate(Fate::Fail { exit_code: EXIT_CODE }),
            ],
        ),
        ("flush-cache", "one task, which succeeds", vec![task("flush")]),
        ("drain-node", "one task, which never ends", vec![Task::new("drain").fate(Fate::Hang)]),
    ];
    let mut bundles = Vec::new();
    for (name, does, tasks) in all {
        let reference = push(registry, name, TAG, &Workflow::new(tasks)).await?.reference;
        bundles.push(Bundle { reference, does });
    }
    Ok(bundles)
}
