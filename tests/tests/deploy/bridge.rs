//! The rights of the bridge are enough for what it does, and all of them are used.

use anyhow::{Context, Result};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use wfe_crds::workflow_execution::{Phase, WorkflowExecution};
use wfe_tests::permissions::Permission;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{
    BridgeOptions, BridgeProcess, ControlPlane, Installation, Namespace, ServerProcess, access,
    bundles, objects,
};

use crate::permissions::{Refusal, looks, needs_its_rights_and_no_others};

const OBJECTS: (&str, &str) = ("kubernaut.ai", "workflowexecutions");

#[tokio::test]
async fn the_bridge_needs_its_rights_and_no_others() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let (runs, account) = (installation.runs().await?, installation.bridge());
        let (secret, username) = (installation.tls_secret(), account.username());
        let flags = access::server_flags(&secret, &username);
        let server = ServerProcess::start_as(plane.kubeconfig(), runs.name(), &flags).await?;
        let directory = tempfile::tempdir()?;
        let ca = access::authorities(installation.client(), &secret, directory.path()).await?;
        let token = directory.path().join("token");
        std::fs::write(&token, account.token_for(&plane, &[access::AUDIENCE]).await?)?;
        needs_its_rights_and_no_others(&plane, &account, async |kubeconfig| {
            let ca = format!("--server-ca={}", ca.display());
            let token = format!("--server-token-file={}", token.display());
            let mut options = BridgeOptions::new(&plane, server.addresses().grpc, runs.name())
                .with(&[&ca, &token]);
            options.scheme = "https";
            options.kubeconfig = kubeconfig.to_owned();
            let secret = installation.webhook_secret();
            let configuration = installation.webhook_configuration();
            let bridge = BridgeProcess::start(options.with(&[
                "--webhook-address",
                "127.0.0.1:0",
                "--webhook-names",
                "127.0.0.1",
                "--webhook-secret",
                &secret,
                "--webhook-configuration",
                &configuration,
            ]))
            .await?;
            bridge.until_ready().await?;
            let objects = Api::<WorkflowExecution>::namespaced(runs.client().clone(), runs.name());
            let bundle = bundles::succeeds(plane.registry()).await?.reference;

            // What cannot be held makes the bridge look at it again.
            objects.create(&PostParams::default(), &mk_object("probe", &bundle)?).await?;
            until(&objects, "probe", Phase::Completed).await?;
            let refusal = nothing_can_be_held(&runs, &objects).await?;
            objects.create(&PostParams::default(), &mk_object("held", &bundle)?).await?;
            let looked = looks(&plane, &account, &runs, OBJECTS).await;
            refusal.end().await?;
            looked?;

            until(&objects, "held", Phase::Completed).await?;
            the_webhook_is_used(installation, &bridge, &runs, plane.registry()).await?;
            // What still runs is cancelled.
            let endless = bundles::never_ends(plane.registry()).await?.reference;
            objects.create(&PostParams::default(), &mk_object("endless", &endless)?).await?;
            until(&objects, "endless", Phase::Running).await?;

            // Nothing may be left that only this bridge lets go.
            let all = (DeleteParams::default(), ListParams::default());
            objects.delete_collection(&all.0, &all.1).await?;
            eventually(PATIENCE, "the objects are gone", async || {
                let left = objects.list(&all.1).await.map_err(|error| error.to_string())?;
                if left.items.is_empty() { Ok(()) } else { Err(format!("{:?}", left.items)) }
            })
            .await?;
            let metrics = server.metrics().await?;
            assert!(!denied(&metrics), "{metrics}");
            Ok([("Start", "create"), ("Cancel", "cancel"), ("ClearBlock", "clearblock")]
                .into_iter()
                .filter(|(call, _)| called(&metrics, call))
                .map(|(_, verb)| Permission {
                    verb: verb.to_owned(),
                    resource: OBJECTS.1.to_owned(),
                    group: OBJECTS.0.to_owned(),
                    namespace: None,
                    name: None,
                })
                .collect())
        })
        .await
    })
    .await
}

/// Lets a block be cleared, and a certificate be renewed.
async fn the_webhook_is_used(
    installation: &Installation,
    bridge: &BridgeProcess,
    runs: &Namespace,
    registry: &str,
) -> Result<()> {
    let client = installation.client().clone();
    let configurations = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let address = bridge.webhook().context("a webhook")?;
    let url = format!("https://{address}/mutate/kubernaut.ai/v1alpha1/workflowexecutions/status");
    let here = json!([
        { "op": "remove", "path": "/webhooks/0/clientConfig/service" },
        { "op": "add", "path": "/webhooks/0/clientConfig/url", "value": url },
    ]);
    let here = Patch::Json::<()>(serde_json::from_value(here)?);
    let (name, params) = (installation.webhook_configuration(), PatchParams::default());
    configurations.patch(&name, &params, &here).await?;

    let objects = Api::<WorkflowExecution>::namespaced(runs.client().clone(), runs.name());
    let fails = bundles::step_exits_1(registry).await?.reference;
    objects.create(&PostParams::default(), &mk_object("fails", &fails)?).await?;
    until(&objects, "fails", Phase::Failed).await?;
    let reason = "the rights of the bridge are enough";
    let ask = Patch::Merge(json!({
        "status": { "blockClearanceRequest": { "clearReason": reason } },
    }));
    // The webhook is called a moment after it is configured.
    eventually(PATIENCE, "the block is cleared", async || {
        let asked = objects.patch_status("fails", &params, &ask).await;
        let object = objects.get("fails").await.map_err(|error| error.to_string())?;
        let cleared = object.status.and_then(|status| status.block_clearance);
        cleared.map(drop).ok_or_else(|| format!("{asked:?}"))
    })
    .await?;

    // A Secret that lacks something is completed.
    let secrets = Api::<Secret>::namespaced(client, &installation.system());
    let incomplete = Patch::Merge(json!({ "data": { "seal.key": null } }));
    secrets.patch("wfe-bridge-webhook", &params, &incomplete).await?;
    eventually(PATIENCE, "the Secret is complete again", async || {
        let secret = secrets.get("wfe-bridge-webhook").await.map_err(|error| error.to_string())?;
        let data = secret.data.unwrap_or_default();
        if data.contains_key("seal.key") { Ok(()) } else { Err("no key for seals".to_owned()) }
    })
    .await
}

/// Whether the server has done this for the bridge, its only caller.
fn called(metrics: &str, call: &str) -> bool {
    metrics.contains(&format!("wfe_call_seconds_count{{code=\"OK\",method=\"{call}\"}}"))
}

/// Whether the server has denied something to the bridge.
fn denied(metrics: &str) -> bool {
    let counts = metrics.lines().filter(|line| line.starts_with("wfe_denials_total{"));
    counts.filter_map(|line| line.rsplit_once(' ')).any(|(_, count)| count != "0")
}

/// Refuses finalizers to objects that have one less.
async fn nothing_can_be_held(
    runs: &Namespace,
    objects: &Api<WorkflowExecution>,
) -> Result<Refusal> {
    let should_be = "!has(object.metadata.finalizers) || (has(oldObject.metadata.finalizers) && \
                     object.metadata.finalizers.size() <= oldObject.metadata.finalizers.size())";
    let hold = Patch::Merge(json!({ "metadata": { "finalizers": ["wfe.test/a", "wfe.test/b"] } }));
    let hold = async |params: PatchParams| objects.patch("probe", &params, &hold).await;
    Refusal::unless(runs, OBJECTS, should_be, hold).await
}

async fn until(objects: &Api<WorkflowExecution>, name: &str, phase: Phase) -> Result<()> {
    eventually(PATIENCE, &format!("{name} is {phase}"), async || {
        let object = objects.get(name).await.map_err(|error| error.to_string())?;
        let status = object.status.unwrap_or_default();
        if status.phase == Some(phase.clone()) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await
}

fn mk_object(name: &str, bundle: &str) -> Result<WorkflowExecution> {
    let target = format!("default/deployment/{name}");
    Ok(serde_json::from_value(objects::mk_object(name, bundle, &target))?)
}
