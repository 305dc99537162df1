//! The manifests in `deploy` on the control plane, each time under names of their own, so that tests that install
//! them do not meet.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Component, Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, bail};
use futures::FutureExt;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DeleteParams;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::wait::{PATIENCE, within};
use crate::{Account, ControlPlane, Namespace, namespace};

/// The namespaces and accounts in the manifests.
const SYSTEM: &str = "kubernaut-system";
const WORKFLOWS: &str = "kubernaut-workflows";
const SERVER: &str = "wfe-server";
const BRIDGE: &str = "wfe-bridge";
/// The MutatingWebhookConfiguration in the manifests.
const WEBHOOKS: &str = "wfe-bridge";

// Custom resource definitions keep their names, and two who create the same one at the same time are refused.
static APPLYING: Mutex<()> = Mutex::const_new(());

/// The manifests, applied. Their namespaces and cluster-wide roles have names of their own; the custom resource
/// definitions are everybody's and stay.
pub struct Installation {
    client: Client,
    suffix: String,
    directory: tempfile::TempDir,
    objects: Vec<Value>,
    warnings: String,
}

impl Installation {
    /// Applies the manifests, runs `test` and removes them. When the test fails or panics, what is in the namespace of
    /// the runs is printed first.
    ///
    /// # Errors
    ///
    /// What the test answered, or what the API server refused.
    pub async fn with<T>(
        plane: &ControlPlane,
        test: impl AsyncFnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let mut installation = Self {
            client: plane.client().await?,
            suffix: hex::encode(rand::random::<[u8; 4]>()),
            directory: tempfile::tempdir()?,
            objects: Vec::new(),
            warnings: String::new(),
        };
        let tested = AssertUnwindSafe(async {
            installation.apply().await?;
            test(&installation).await
        });
        let tested = tested.catch_unwind().await;
        if !matches!(tested, Ok(Ok(_)))
            && let Ok(runs) = installation.runs().await
        {
            eprintln!("{}", runs.describe().await);
        }
        let removed = installation.remove().await;
        let answer = tested.unwrap_or_else(|panic| resume_unwind(panic))?;
        removed?;
        Ok(answer)
    }

    /// The namespace of the processes.
    #[must_use]
    pub fn system(&self) -> String {
        self.own(SYSTEM)
    }

    /// The namespace of the runs.
    #[must_use]
    pub fn workflows(&self) -> String {
        self.own(WORKFLOWS)
    }

    /// The namespace of the runs, ready for some.
    ///
    /// # Errors
    ///
    /// When no default `ServiceAccount` appears in it.
    pub async fn runs(&self) -> Result<Namespace> {
        Namespace::existing(self.client.clone(), self.workflows()).await
    }

    /// The account of the server.
    #[must_use]
    pub fn server(&self) -> Account {
        Account::new(&self.system(), SERVER)
    }

    /// The account of the bridge.
    #[must_use]
    pub fn bridge(&self) -> Account {
        Account::new(&self.system(), BRIDGE)
    }

    /// The Secret with the server's certificate.
    #[must_use]
    pub fn tls_secret(&self) -> String {
        format!("{}/{SERVER}-tls", self.system())
    }

    /// The ConfigMap with the newest checkpoint of the server's log.
    #[must_use]
    pub fn checkpoint_map(&self) -> String {
        format!("{}/wfe-audit-checkpoint", self.system())
    }

    /// What something cluster-wide is called here.
    #[must_use]
    pub fn own(&self, name: &str) -> String {
        format!("{name}-{}", self.suffix)
    }

    /// A client with all rights.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// All objects as they were applied.
    #[must_use]
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// The objects of this kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// What kubectl and the API server had to say about them.
    #[must_use]
    pub fn warnings(&self) -> &str {
        &self.warnings
    }

    /// Runs `kubectl` as the administrator; its output when it succeeds.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let home = self.directory.path();
        let mut kubectl = Command::new("kubectl");
        kubectl.args(arguments).env("HOME", home).kill_on_drop(true);
        let output = kubectl.output().await.context("run kubectl")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", arguments.join(" "), said.trim());
        }
        Ok(output)
    }

    async fn apply(&mut self) -> Result<()> {
        let original = self.render(&deploy()).await?;
        let overlay = self.directory.path().join("overlay");
        std::fs::create_dir(&overlay)?;
        let content = serde_yaml_ng::to_string(&self.overlay(&overlay, &original)?)?;
        std::fs::write(overlay.join("kustomization.yaml"), content)?;
        self.objects = self.render(&overlay).await?;

        let applying = APPLYING.lock().await;
        let overlay = utf8(&overlay)?;
        // The definition of the custom resource may have been applied by other tests, under another name.
        let apply = ["apply", "--server-side", "--force-conflicts", "-k", overlay];
        let output = self.kubectl(&apply).await?;
        drop(applying);
        self.warnings = String::from_utf8(output.stderr)?;
        self.runs().await?;
        self.custom_resources_are_served().await
    }

    async fn custom_resources_are_served(&self) -> Result<()> {
        let definitions = Api::<CustomResourceDefinition>::all(self.client.clone());
        for definition in self.of_kind("CustomResourceDefinition") {
            let name = name(definition)?;
            let served =
                await_condition(definitions.clone(), name, conditions::is_crd_established());
            within(PATIENCE, &format!("{name} is served"), served).await?;
        }
        Ok(())
    }

    async fn render(&self, directory: &Path) -> Result<Vec<Value>> {
        let output = self.kubectl(&["kustomize", utf8(directory)?]).await?;
        let documents = serde_yaml_ng::Deserializer::from_slice(&output.stdout);
        documents.map(|document| Ok(Value::deserialize(document)?)).collect()
    }

    // deploy/README.md says the same to those who want other namespaces.
    fn overlay(&self, overlay: &Path, original: &[Value]) -> Result<Value> {
        let replace = |path: &str, value: &str| {
            json!([{ "op": "replace", "path": path, "value": value }]).to_string()
        };
        let rename = |kind: &str, name: &str| {
            json!({
                "target": { "kind": kind, "name": name },
                "options": { "allowNameChange": true },
                "patch": replace("/metadata/name", &self.own(name)),
            })
        };
        let mut patches = Vec::new();
        for name in [SYSTEM, WORKFLOWS] {
            patches.push(rename("Namespace", name));
            patches.push(json!({
                "target": { "namespace": name },
                "patch": replace("/metadata/namespace", &self.own(name)),
            }));
        }
        patches.push(json!({
            "target": { "kind": "Namespace" },
            "patch": json!([{
                "op": "add",
                "path": format!("/metadata/labels/{}", namespace::LABEL.replace('/', "~1")),
                "value": "true",
            }])
            .to_string(),
        }));
        for object in original {
            if let Some(
                kind @ ("ClusterRole" | "ClusterRoleBinding" | "MutatingWebhookConfiguration"),
            ) = object["kind"].as_str()
            {
                patches.push(rename(kind, name(object)?));
            }
        }
        patches.push(json!({
            "target": { "kind": "RoleBinding|ClusterRoleBinding" },
            "patch": replace("/subjects/0/namespace", &self.system()),
        }));
        patches.push(json!({
            "target": { "kind": "Deployment", "name": SERVER },
            "patch": json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": { "name": SERVER },
                "spec": { "template": { "spec": { "containers": [{
                    "name": "server",
                    "env": [
                        { "name": "WFE_NAMESPACE", "value": self.workflows() },
                        { "name": "WFE_TRUSTED_BRIDGES", "value": self.bridge().username() },
                        { "name": "WFE_TLS_SECRET", "value": self.tls_secret() },
                        {
                            "name": "WFE_AUDIT_CHECKPOINT_CONFIG_MAP",
                            "value": self.checkpoint_map(),
                        },
                    ],
                }] } } },
            })
            .to_string(),
        }));
        patches.extend(self.webhook());
        Ok(json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [utf8(&relative(overlay, &deploy())?)?],
            "patches": patches,
        }))
    }

    /// The webhook of the bridge, for the namespaces of this installation alone: nobody answers for it, unless a test
    /// does.
    fn webhook(&self) -> Vec<Value> {
        let own = self.own(WEBHOOKS);
        let change = |op: &str, path: &str, value: Value| json!({ "op": op, "path": format!("/webhooks/0/{path}"), "value": value });
        let not_the_bridge = format!("request.userInfo.username != '{}'", self.bridge().username());
        let only_here = json!({ "matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "In",
            "values": [self.system(), self.workflows()],
        }] });
        let configuration = json!([
            change("replace", "clientConfig/service/namespace", json!(self.system())),
            change("replace", "matchConditions/0/expression", json!(not_the_bridge)),
            change("add", "namespaceSelector", only_here),
        ]);
        let variables = json!([
            { "name": "WFE_BRIDGE_WEBHOOK_SECRET", "value": self.webhook_secret() },
            {
                "name": "WFE_BRIDGE_WEBHOOK_NAMES",
                "value": format!("wfe-bridge-webhook.{}.svc", self.system()),
            },
            { "name": "WFE_BRIDGE_WEBHOOK_CONFIGURATION", "value": own },
        ]);
        let deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": BRIDGE },
            "spec": { "template": { "spec": { "containers": [{
                "name": "bridge",
                "env": variables,
            }] } } },
        });
        let named = json!([{
            "op": "replace", "path": "/rules/4/resourceNames/0", "value": own,
        }]);
        [
            ("MutatingWebhookConfiguration", WEBHOOKS, configuration),
            ("Deployment", BRIDGE, deployment),
            ("ClusterRole", "kubernaut-wfe-bridge", named),
        ]
        .map(|(kind, name, patch)| {
            json!({ "target": { "kind": kind, "name": name }, "patch": patch.to_string() })
        })
        .into()
    }

    /// The Secret of the bridge's webhook, as its settings name it.
    #[must_use]
    pub fn webhook_secret(&self) -> String {
        format!("{}/wfe-bridge-webhook", self.system())
    }

    /// The configuration of the bridge's webhook.
    #[must_use]
    pub fn webhook_configuration(&self) -> String {
        self.own(WEBHOOKS)
    }

    async fn remove(&self) -> Result<()> {
        let background = DeleteParams::background();
        let roles = Api::<ClusterRole>::all(self.client.clone());
        for role in self.of_kind("ClusterRole") {
            gone(roles.delete(name(role)?, &background).await)?;
        }
        let bindings = Api::<ClusterRoleBinding>::all(self.client.clone());
        for binding in self.of_kind("ClusterRoleBinding") {
            gone(bindings.delete(name(binding)?, &background).await)?;
        }
        let webhooks = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        for configuration in self.of_kind("MutatingWebhookConfiguration") {
            gone(webhooks.delete(name(configuration)?, &background).await)?;
        }
        let namespaces = Api::<v1::Namespace>::all(self.client.clone());
        for name in [self.workflows(), self.system()] {
            gone(namespaces.delete(&name, &background).await)?;
        }
        Ok(())
    }
}

/// The directory `deploy` of this checkout.
#[must_use]
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy")
}

fn gone<T>(deleted: kube::Result<T>) -> Result<()> {
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn name(object: &Value) -> Result<&str> {
    object["metadata"]["name"].as_str().context("a name")
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

// Kustomize wants relative paths to what it stands on.
fn relative(from: &Path, to: &Path) -> Result<PathBuf> {
    let (from, to) = (from.canonicalize()?, to.canonicalize()?);
    let up = from.components().filter(|part| matches!(part, Component::Normal(_)));
    let up: PathBuf = up.map(|_| Component::ParentDir).collect();
    Ok(up.join(to.strip_prefix("/")?))
}
