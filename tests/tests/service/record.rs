//! What was observed on the control plane is what stands on record, and an auditor can prove it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::api::ListParams;
use serde_json::Value;
use tokio::process::Command;
use wfe_proto::v1::{self, ExecutionEvent, State, watch_request, watch_response};
use wfe_tests::server::{Client, binary};
use wfe_tests::{ControlPlane, ServerProcess, bundles};

use crate::calls::*;

/// Every event of an execution, as a watch from the beginning tells them.
async fn observe(client: &mut Client, id: &str) -> Result<Vec<ExecutionEvent>> {
    let scope = Some(watch_request::Scope::ExecutionId(id.to_owned()));
    let request = v1::WatchRequest { scope, after: Some(0) };
    let mut stream = client.watch(request).await?.into_inner();
    let mut events = Vec::new();
    while let Some(message) = stream.message().await? {
        match message.update {
            Some(watch_response::Update::Event(event)) => events.push(event),
            Some(watch_response::Update::Terminal(_)) => return Ok(events),
            Some(
                watch_response::Update::Snapshot(_)
                | watch_response::Update::Heartbeat(_)
                | watch_response::Update::Synced(_)
                | watch_response::Update::Decision(_),
            )
            | None => {}
        }
    }
    anyhow::bail!("the watch of {id} ended before the execution")
}

/// `wfe audit`, with what it printed.
async fn audit(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = Command::new(binary("wfe")?).arg("audit").args(arguments).output().await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(said)?))
}

/// The public key that the server wrote beside its own.
fn public_key(server: &ServerProcess) -> Result<PathBuf> {
    let files = std::fs::read_dir(server.directory())?;
    let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
    paths.find(|path| path.extension().is_some_and(|e| e == "pub")).context("a public key")
}

async fn export(server: &ServerProcess, to: &Path) -> Result<Vec<Value>> {
    let address = format!("http://{}", server.addresses().grpc);
    let path = to.to_str().context("a path of text")?;
    let (code, said) = audit(&["export", path, "--server", &address]).await?;
    assert_eq!(code, Some(0), "{said}");
    let text = std::fs::read_to_string(to)?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// A name of the contract as the record spells it.
fn plain(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

/// What an event says, as its entry says it.
fn line_of(event: &ExecutionEvent) -> (i64, String, String, String) {
    let state = |state: State| plain(state.as_str_name(), "STATE_");
    (
        event.revision,
        plain(event.r#type().as_str_name(), "EVENT_TYPE_"),
        state(event.state()),
        event.actor.as_ref().map(|actor| actor.user.clone()).unwrap_or_default(),
    )
}

fn line_of_entry(entry: &Value) -> (i64, String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        entry["revision"].as_i64().unwrap_or_default(),
        text(&entry["what"]["event"]["type"]),
        text(&entry["what"]["after"]),
        text(&entry["actor"]["user"]),
    )
}

#[tokio::test]
async fn what_was_observed_is_on_record_once_and_the_export_proves_it() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    let never_ends = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let mut ids = Vec::new();
        for (n, bundle) in [&succeeds, &fails, &never_ends, &succeeds].into_iter().enumerate() {
            let request = mk_start(bundle, &format!("r-{n}"), &format!("default/pod/p-{n}"));
            ids.push(start(&mut client, request).await?.id);
        }
        let refused = mk_start(&succeeds, "refused", "default/pod/p-2");
        let refusal = client.start(refused).await.err().context("a held target was given away")?;
        assert_eq!(refusal.code(), tonic::Code::Aborted, "{refusal:?}");
        server.kill().await?;
        server.start_again().await?;
        server.until_ready().await?;
        let mut client = server.client().await?;
        cancel(&mut client, &ids[2]).await?;
        let mut observed = BTreeMap::new();
        for id in &ids {
            let events = observe(&mut client, id).await?;
            observed.insert(id.clone(), events.iter().map(line_of).collect::<Vec<_>>());
        }

        let file = server.directory().join("export.ndjson");
        let lines = export(server, &file).await?;
        let key = public_key(server)?;
        let (file, key) = (file.to_str().context("text")?, key.to_str().context("text")?);
        let (code, said) = audit(&["verify", file, "--key", key]).await?;
        assert_eq!(code, Some(0), "{said}");

        let entries: Vec<&Value> =
            lines.iter().map(|line| &line["entry"]).filter(|entry| entry.is_object()).collect();
        let mut on_record: BTreeMap<String, Vec<_>> = BTreeMap::new();
        let mut created: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in &entries {
            if entry["what"]["type"] != "transition" {
                continue;
            }
            let id = entry["about"]["execution"].as_str().context("an execution")?.to_owned();
            if entry["what"]["event"]["type"] == "run_created" {
                let uid = entry["what"]["event"]["run"]["uid"].as_str().context("a uid")?;
                created.entry(id.clone()).or_default().push(uid.to_owned());
            }
            on_record.entry(id).or_default().push(line_of_entry(entry));
        }
        assert_eq!(on_record, observed);

        let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for run in namespace.runs().list(&ListParams::default()).await? {
            let labels = run.metadata.labels.context("labels")?;
            let uids = runs.entry(labels["kubernaut.ai/execution-id"].clone()).or_default();
            uids.push(run.metadata.uid.context("a uid")?);
        }
        assert_eq!(created, runs, "each run in the cluster is on record, once, and no other");

        let refusals = entries.iter().filter(|entry| entry["what"]["type"] == "refused");
        let codes: Vec<&Value> = refusals.map(|entry| &entry["what"]["code"]).collect();
        assert_eq!(codes, ["TARGET_LOCKED"]);
        Ok(())
    })
    .await
}
