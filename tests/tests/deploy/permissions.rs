//! How the rights of a service account are compared with what it does with them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;
use kube::api::{DeleteParams, PatchParams, PostParams};
use serde_json::json;
use wfe_tests::permissions::{Permission, Usage, granted, in_force};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{Account, ControlPlane, Namespace};

/// Runs a scenario as `account`, with a kubeconfig of it. Afterwards the audit log must show that everything its roles
/// grant was used, and that nothing was refused. The scenario answers what was used without the API server being asked by
/// the account itself: what the server of the project asked for it.
pub(crate) async fn needs_its_rights_and_no_others(
    plane: &ControlPlane,
    account: &Account,
    scenario: impl AsyncFnOnce(&Path) -> Result<BTreeSet<Permission>>,
) -> Result<()> {
    let administrator = plane.client().await?;
    let granted = granted(&administrator, account).await?;
    assert!(!granted.is_empty(), "no role is bound to {}", account.username());
    in_force(&administrator, account, &granted).await?;
    let directory = tempfile::tempdir()?;
    let kubeconfig = account.kubeconfig(plane, directory.path()).await?;
    let played = scenario(&kubeconfig).await;
    let mut usage = Usage::of(plane, account).await?;
    // What was refused says best why the scenario failed.
    assert_eq!(listed(&usage.refused), "", "not granted, but asked for");
    usage.allowed.extend(played?);
    assert_eq!(listed(&usage.unused(&granted)), "", "granted, but not asked for");
    Ok(())
}

fn listed<'a>(permissions: impl IntoIterator<Item = &'a Permission>) -> String {
    let listed: Vec<String> = permissions.into_iter().map(ToString::to_string).collect();
    listed.join("\n")
}

/// Waits until `account` gets an object of this kind.
pub(crate) async fn looks(
    plane: &ControlPlane,
    account: &Account,
    namespace: &Namespace,
    (group, resource): (&str, &str),
) -> Result<()> {
    let look = Permission {
        verb: "get".to_owned(),
        resource: resource.to_owned(),
        group: group.to_owned(),
        namespace: Some(namespace.name().to_owned()),
        name: None,
    };
    eventually(PATIENCE, &look.to_string(), async || {
        let usage = Usage::of(plane, account).await.map_err(|error| format!("{error:#}"))?;
        let all = || [&usage.allowed, &usage.refused].into_iter().flatten();
        if all().any(|one| look.covers(one)) { Ok(()) } else { Err(listed(all())) }
    })
    .await
}

/// An admission policy that refuses, in a namespace, to make objects of a kind what they should not be.
pub(crate) struct Refusal {
    policies: Api<ValidatingAdmissionPolicy>,
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    name: String,
}

impl Refusal {
    /// `should_be` is a CEL expression about the new object. Returns when a change that makes it false is refused;
    /// `change` is such a one.
    pub(crate) async fn unless<K>(
        namespace: &Namespace,
        (group, resource): (&str, &str),
        should_be: &str,
        change: impl AsyncFn(PatchParams) -> kube::Result<K>,
    ) -> Result<Self> {
        let (client, name) = (namespace.client().clone(), namespace.name().to_owned());
        let policy = json!({
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": [group],
                    "apiVersions": ["*"],
                    "operations": ["UPDATE"],
                    "resources": [resource],
                }] },
                "validations": [{
                    "expression": should_be,
                    "message": "not now",
                    "reason": "Invalid",
                }],
            },
        });
        let binding = json!({
            "metadata": { "name": name },
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": { "namespaceSelector": { "matchLabels": {
                    "kubernetes.io/metadata.name": name,
                } } },
            },
        });
        let refusal = Self { policies: Api::all(client.clone()), bindings: Api::all(client), name };
        let params = PostParams::default();
        refusal.policies.create(&params, &serde_json::from_value(policy)?).await?;
        refusal.bindings.create(&params, &serde_json::from_value(binding)?).await?;
        let refused = eventually(PATIENCE, "the policy is in force", async || {
            match change(PatchParams::default().dry_run()).await {
                Err(kube::Error::Api(status)) if status.code == 422 => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(_) => Err("not refused".to_owned()),
            }
        });
        match refused.await {
            Ok(()) => Ok(refusal),
            Err(error) => {
                refusal.end().await?;
                Err(error)
            }
        }
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.bindings.delete(&self.name, &DeleteParams::default()).await?;
        self.policies.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}
