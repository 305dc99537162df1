//! What people may do with a `WorkflowExecution`.

use anyhow::{Context, Result};
use k8s_openapi::api::authorization::v1::LocalSubjectAccessReview;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, Installation};

const RESOURCE: &str = "workflowexecutions";

#[tokio::test]
async fn whoever_may_view_looks_and_only_whom_it_was_given_starts_and_cancels() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let looking = ["get", "list", "watch"];
        let starting = ["create", "update", "patch", "delete", "deletecollection", "cancel"];
        let (changing, clearing) =
            ([&starting[..], &["clearblock", "audit"]].concat(), ["clearblock"]);
        let remediator = installation.own("kubernaut-workflowexecutions-edit");
        let clearer = installation.own("kubernaut-workflowexecutions-clear");
        let auditor = installation.own("kubernaut-workflowexecutions-audit");
        let changing_all = [&starting[..], &clearing].concat();
        let cases = [
            ("view", &looking[..], &changing[..]),
            ("edit", &looking, &changing),
            ("admin", &looking, &changing),
            (&remediator, &[&looking[..], &starting].concat(), &clearing),
            (&clearer, &[&looking[..], &clearing].concat(), &starting),
            (&auditor, &[&looking[..], &["audit"]].concat(), &changing_all),
        ];
        for (role, allowed, refused) in cases {
            bind(installation, role).await?;
            for verb in allowed {
                // Roles are aggregated by a controller, a moment after they are there.
                eventually(PATIENCE, &format!("{role}: {verb}"), async || {
                    match may(installation, role, verb, "").await {
                        Ok(true) => Ok(()),
                        other => Err(format!("{other:?}")),
                    }
                })
                .await?;
            }
            for verb in refused {
                assert!(!may(installation, role, verb, "").await?, "{role}: {verb}");
            }
            assert!(may(installation, role, "get", "status").await?, "{role}: get of the status");
            // Who clears asks for it there; the webhook lets nobody do more.
            for verb in ["update", "patch"] {
                let asks = role == clearer;
                assert_eq!(may(installation, role, verb, "status").await?, asks, "{role}: {verb}");
            }
        }
        Ok(())
    })
    .await
}

/// Gives a user of the same name the role, in the namespace of the processes.
async fn bind(installation: &Installation, role: &str) -> Result<()> {
    let binding = json!({
        "metadata": { "name": role },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": role }],
    });
    let (client, namespace) = (installation.client().clone(), installation.system());
    let bindings = Api::<RoleBinding>::namespaced(client, &namespace);
    bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
    Ok(())
}

async fn may(
    installation: &Installation,
    user: &str,
    verb: &str,
    subresource: &str,
) -> Result<bool> {
    let review = json!({
        "metadata": { "namespace": installation.system() },
        "spec": { "user": user, "resourceAttributes": {
            "namespace": installation.system(),
            "verb": verb,
            "group": "kubernaut.ai",
            "resource": RESOURCE,
            "subresource": subresource,
        } },
    });
    let (client, namespace) = (installation.client().clone(), installation.system());
    let reviews = Api::<LocalSubjectAccessReview>::namespaced(client, &namespace);
    let review = reviews.create(&PostParams::default(), &serde_json::from_value(review)?).await?;
    Ok(review.status.context("an answer")?.allowed)
}
