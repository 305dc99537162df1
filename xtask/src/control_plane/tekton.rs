//! Tekton's own manifests, changed so that its webhook may run outside of the cluster and its pods in restricted
//! namespaces. Its programs are processes like the others; their Deployments are left out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use serde_yaml_ng::Deserializer;

const WEBHOOK_SERVICE: &str = "tekton-pipelines-webhook";

/// All manifests in the order in which they are applied, as one List.
pub(crate) fn manifests(config: &Path, webhook_port: u16) -> Result<Value> {
    let mut items = Vec::new();
    for file in files(config)? {
        for mut manifest in documents(&file)? {
            point_to_port(&mut manifest, webhook_port);
            fit_restricted_namespaces(&mut manifest);
            items.push(manifest);
        }
    }
    items.push(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": WEBHOOK_SERVICE, "namespace": "tekton-pipelines" },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    }));
    // Webhooks last: until they answer, they would refuse the ConfigMaps.
    items.sort_by_key(|item| item["kind"].as_str().unwrap_or_default().contains("Webhook"));
    Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
}

fn files(config: &Path) -> Result<Vec<PathBuf>> {
    let resolvers = config.join("resolvers");
    let mut files = yaml_files(&config.join("100-namespace"))?;
    files.extend(yaml_files(&config.join("300-crds"))?);
    for directory in [&resolvers, &config.to_owned()] {
        files.extend(yaml_files(directory)?.into_iter().filter(|file| is_wanted(file)));
    }
    Ok(files)
}

// Namespaces, roles and their bindings, aggregated roles, configuration, webhooks.
fn is_wanted(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let prefixes = ["100-", "200-", "201-", "500-", "clusterrole-"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || name.contains("config")
}

fn yaml_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn documents(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let documents = Deserializer::from_str(&text).map(Value::deserialize);
    let documents: Result<Vec<Value>, _> = documents.collect();
    let documents = documents.with_context(|| format!("parse {}", file.display()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

// Wherever the webhook's Service is named to the API server, the port of the process has to stand beside it.
fn point_to_port(manifest: &mut Value, port: u16) {
    match manifest {
        Value::Object(fields) => {
            if let Some(service) = fields.get_mut("clientConfig").and_then(|c| c.get_mut("service"))
            {
                service["port"] = json!(port);
            }
            fields.values_mut().for_each(|field| point_to_port(field, port));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_to_port(item, port)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

// What deploy/README.md asks of a cluster: the containers that Tekton adds to pods are admitted where the Pod Security
// Standard "restricted" is enforced.
fn fit_restricted_namespaces(manifest: &mut Value) {
    if manifest["kind"] == "ConfigMap" && manifest["metadata"]["name"] == "feature-flags" {
        manifest["data"]["set-security-context"] = json!("true");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_stands_beside_the_webhook_wherever_the_api_server_looks_for_it() {
        let mut manifests = json!([
            {
                "kind": "ServiceAccount",
                "metadata": { "name": WEBHOOK_SERVICE, "namespace": "tekton-pipelines" },
            },
            { "webhooks": [{ "clientConfig": { "service": { "name": WEBHOOK_SERVICE } } }] },
            { "spec": { "conversion": { "webhook": {
                "clientConfig": { "service": { "name": WEBHOOK_SERVICE } },
            } } } },
        ]);
        point_to_port(&mut manifests, 1234);
        assert_eq!(manifests[0]["metadata"].get("port"), None);
        assert_eq!(manifests[1]["webhooks"][0]["clientConfig"]["service"]["port"], 1234);
        let conversion = &manifests[2]["spec"]["conversion"]["webhook"];
        assert_eq!(conversion["clientConfig"]["service"]["port"], 1234);
    }

    #[test]
    fn only_the_feature_flags_are_told_of_restricted_namespaces() {
        let mut flags = json!({
            "kind": "ConfigMap",
            "metadata": { "name": "feature-flags" },
            "data": { "set-security-context": "false", "coschedule": "workspaces" },
        });
        fit_restricted_namespaces(&mut flags);
        let data = json!({ "set-security-context": "true", "coschedule": "workspaces" });
        assert_eq!(flags["data"], data);
        let mut other = json!({ "kind": "ConfigMap", "metadata": { "name": "config-events" } });
        let before = other.clone();
        fit_restricted_namespaces(&mut other);
        assert_eq!(other, before);
    }

    #[test]
    fn no_file_with_a_deployment_is_wanted() {
        for name in ["controller.yaml", "webhook.yaml", "events.yaml", "resolvers-deployment.yaml"]
        {
            assert!(!is_wanted(Path::new(name)), "{name}");
        }
        for name in ["config-defaults.yaml", "bundleresolver-config.yaml", "500-webhooks.yaml"] {
            assert!(is_wanted(Path::new(name)), "{name}");
        }
    }
}
