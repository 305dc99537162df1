//! Whom the API server believes to be the webhook: the `caBundle` in a MutatingWebhookConfiguration.
//! Every replica keeps it, so nobody has to lead: they all write the same.

use std::time::Duration;

use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wfe_crds::names::BRIDGE_FIELD_MANAGER;
use wfe_runtime::{
    cluster::{CallError, call},
    error::chain,
};

/// Somebody may have changed it: it is looked at so often.
const LOOK: Duration = Duration::from_mins(1);
/// After it could not be looked at or written.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps the `caBundle` of every webhook in the configuration `name`, until `stopping`.
pub(super) async fn keep(
    client: &Client,
    name: &str,
    mut authority: watch::Receiver<Vec<u8>>,
    stopping: &CancellationToken,
) {
    let api = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let mut told = None;
    loop {
        let current = authority.borrow_and_update().clone();
        let problem = trust(&api, name, &current).await.err().map(|error| chain(&error));
        if let Some(problem) = problem.as_ref().filter(|problem| told.as_ref() != Some(*problem)) {
            tracing::warn!(
                configuration = name,
                problem,
                "the API server cannot be told whom to trust as the webhook"
            );
        }
        let pause = if problem.is_none() { LOOK } else { AGAIN };
        told = problem;
        tokio::select! {
            () = stopping.cancelled() => return,
            // Without a sender nothing changes any more; somebody else may still change the other side.
            Ok(()) = authority.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Writes the authority where it is not, and nothing where it is.
async fn trust(
    api: &Api<MutatingWebhookConfiguration>,
    name: &str,
    authority: &[u8],
) -> Result<(), CallError> {
    let found = Box::pin(call(api.get(name))).await?;
    let wanted = ByteString(authority.to_owned());
    let webhooks = found.webhooks.unwrap_or_default();
    let stale = webhooks
        .iter()
        .enumerate()
        .filter(|(_, webhook)| webhook.client_config.ca_bundle.as_ref() != Some(&wanted));
    let mut changes = Vec::new();
    for (index, webhook) in stale {
        let at = format!("/webhooks/{index}");
        // The list may have changed since it was read.
        changes.push(json!({"op": "test", "path": format!("{at}/name"), "value": webhook.name}));
        let path = format!("{at}/clientConfig/caBundle");
        changes.push(json!({"op": "add", "path": path, "value": wanted}));
    }
    if changes.is_empty() {
        return Ok(());
    }
    let patch = serde_json::from_value(json!(changes)).map_err(CallError::unreadable)?;
    let params = PatchParams {
        field_manager: Some(BRIDGE_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    Box::pin(call(api.patch(name, &params, &Patch::Json::<()>(patch)))).await?;
    tracing::info!(configuration = name, "the API server trusts the webhook's certificate");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wfe_runtime::cluster::testing::ApiServer;

    use super::*;

    const PATH: &str =
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/wfe-bridge";

    fn mk_configuration(bundles: &[&[u8]]) -> Value {
        let webhook = |(index, bundle): (usize, &&[u8])| {
            json!({
                "name": format!("w{index}.example"),
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"url": "https://x", "caBundle": ByteString(bundle.to_vec())},
            })
        };
        let webhooks: Vec<Value> = bundles.iter().enumerate().map(webhook).collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "wfe-bridge"},
            "webhooks": webhooks,
        })
    }

    async fn until_read(api_server: &mut ApiServer, answer: &Value) {
        let read = api_server.next().await;
        assert_eq!((read.method.as_str(), read.path.as_str()), ("GET", PATH));
        read.answer(200, answer);
    }

    #[tokio::test]
    async fn only_what_differs_is_written_and_only_as_it_was_seen() {
        let mut api_server = ApiServer::start().await;
        let (authority, trusted) = watch::channel(b"one".to_vec());
        let (client, stopping) = (api_server.client.clone(), CancellationToken::new());
        let stop = stopping.clone();
        let keeping =
            tokio::spawn(async move { keep(&client, "wfe-bridge", trusted, &stop).await });
        until_read(&mut api_server, &mk_configuration(&[b"one", b"old"])).await;
        let write = api_server.next().await;
        assert_eq!((write.method.as_str(), write.path.as_str()), ("PATCH", PATH));
        let expected = json!([
            {"op": "test", "path": "/webhooks/1/name", "value": "w1.example"},
            {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "b25l"},
        ]);
        assert_eq!(write.body, expected);
        write.answer(200, &mk_configuration(&[b"one", b"one"]));
        // A new authority is told at once, and what is right is left alone.
        authority.send_replace(b"two".to_vec());
        until_read(&mut api_server, &mk_configuration(&[b"two", b"two"])).await;
        authority.send_replace(b"three".to_vec());
        until_read(&mut api_server, &mk_configuration(&[])).await;
        stopping.cancel();
        keeping.await.unwrap();
    }
}
