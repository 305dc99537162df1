//! A sensitive value reaches its run and nothing else.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use wfe_proto::v1::{self, State};
use wfe_tests::server::Client;
use wfe_tests::wait::eventually;
use wfe_tests::{ControlPlane, Namespace, ServerProcess, bundles};

use crate::calls::*;

/// Marked by the caller; the first parameter of its run.
const MARKED: &str = "swordfish \"and\" more-77aa";
/// Found by the name of its parameter.
const BY_PATTERN: &str = "correct-horse-battery-6b1f";

fn mk_sensitive(bundle: &str, id: &str) -> v1::StartRequest {
    let mut request = mk_start(bundle, id, &format!("default/pod/{id}"));
    request.parameters.insert("CODE".to_owned(), MARKED.to_owned());
    request.parameters.insert("DB_PASSWORD".to_owned(), BY_PATTERN.to_owned());
    v1::StartRequest { sensitive_parameters: vec!["CODE".to_owned()], ..request }
}

/// Refuses to make runs in a namespace, and repeats their first parameter.
struct Policy {
    policies: Api<ValidatingAdmissionPolicy>,
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    name: String,
}

impl Policy {
    async fn begin(namespace: &Namespace) -> Result<Self> {
        let (client, name) = (namespace.client().clone(), namespace.name().to_owned());
        let policy = json!({
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": ["tekton.dev"],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pipelineruns"],
                }] },
                "validations": [{
                    "expression": "false",
                    "messageExpression": "'not wanted: ' + string(object.spec.params[0].value)",
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
        let policy_of =
            Self { policies: Api::all(client.clone()), bindings: Api::all(client), name };
        let params = PostParams::default();
        policy_of.policies.create(&params, &serde_json::from_value(policy)?).await?;
        policy_of.bindings.create(&params, &serde_json::from_value(binding)?).await?;
        Ok(policy_of)
    }

    async fn end(self) -> Result<()> {
        self.bindings.delete(&self.name, &DeleteParams::default()).await?;
        self.policies.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// Starts executions until one is refused by the policy, which takes a moment to be in force.
async fn until_refused(client: &Client, bundle: &str) -> Result<v1::Execution> {
    let number = AtomicU32::new(0);
    eventually(PATIENCE, "the policy refuses a run", async || {
        let id = format!("try-{}", number.fetch_add(1, Ordering::Relaxed));
        match start_and_follow(client.clone(), mk_sensitive(bundle, &id)).await {
            Ok(execution) if execution.state() == State::Failed => Ok(execution),
            Ok(execution) => Err(format!("{execution:?}")),
            Err(error) => Err(format!("{error:#}")),
        }
    })
    .await
}

async fn start_and_follow(mut client: Client, request: v1::StartRequest) -> Result<v1::Execution> {
    let execution = start(&mut client, request).await?;
    follow(&mut client, &execution.id, 0).await
}

fn check_files(directory: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files += check_files(&path)?;
            continue;
        }
        files += 1;
        let bytes = fs::read(&path)?;
        for value in [MARKED, BY_PATTERN] {
            let escaped = serde_json::to_string(value)?;
            let twice = serde_json::to_string(&escaped)?;
            for form in [
                value.to_owned(),
                escaped.trim_matches('"').to_owned(),
                twice.trim_matches(['"', '\\']).to_owned(),
                STANDARD.encode(value).trim_end_matches('=').to_owned(),
                hex::encode(value),
            ] {
                let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
                ensure!(!found, "{form} is in {}", path.display());
            }
        }
    }
    Ok(files)
}

#[tokio::test]
async fn a_sensitive_value_reaches_its_run_and_neither_the_database_nor_the_log() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    Namespace::with(plane.client().await?, async |namespace| {
        let flags = ["--log", "trace"];
        let mut server =
            ServerProcess::start_with_arguments(&plane, namespace.name(), &flags).await?;
        let mut client = server.client().await?;
        let accepted = start(&mut client, mk_sensitive(&bundle, "first")).await?;
        let done = follow(&mut client, &accepted.id, 0).await?;
        assert_eq!(done.state(), State::Succeeded, "{done:?}");
        for name in ["CODE", "DB_PASSWORD"] {
            let shown = &done.parameters[name];
            assert!(shown.starts_with("sensitive:hmac-sha256:"), "{shown}");
        }
        let run = namespace.runs().get(&done.run.context("a run")?.name).await?;
        let params = run.data["spec"]["params"].as_array().context("parameters")?.clone();
        let value = |name: &str| -> Option<Value> {
            Some(params.iter().find(|param| param["name"] == name)?["value"].clone())
        };
        assert_eq!(value("CODE"), Some(json!(MARKED)));
        assert_eq!(value("DB_PASSWORD"), Some(json!(BY_PATTERN)));
        let metadata = serde_json::to_string(&run.metadata)?;
        assert!(!metadata.contains("swordfish") && !metadata.contains(BY_PATTERN), "{metadata}");

        let policy = Policy::begin(namespace).await?;
        let refused = until_refused(&client, &bundle).await;
        policy.end().await?;
        let failure = refused?.failure.context("a failure")?;
        assert!(failure.message.contains("not wanted: [sensitive]"), "{failure:?}");

        server.kill().await?;
        let files = check_files(server.directory())?;
        ensure!(files >= 3, "{files} files");
        Ok(())
    })
    .await
}
