//! Workflow bundles: a Tekton Pipeline that says how its pods end, and pushing it to the registry over plain HTTP.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::plain;

/// The name of the pipeline inside of every bundle.
pub const PIPELINE: &str = "workflow";

/// The pod annotation that chooses a fate.
pub const OUTCOME: &str = "wfe.test/outcome";
/// The pod annotation that says after how long the fate comes, as a Go duration.
pub const AFTER: &str = "wfe.test/after";
/// The pod annotation with the exit code of a step that fails.
pub const EXIT_CODE: &str = "wfe.test/exit-code";

/// A resource that a namespace may have a quota of.
pub const RATIONED: &str = "wfe.test/rationed";

/// How the pod of a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Every step exits 0.
    Succeed,
    /// The last step exits with this code.
    Fail {
        /// From 1 to 255.
        exit_code: u8,
    },
    /// The last step exits 1 in the first attempt, and 0 in later ones.
    FailFirst,
    /// The last step is killed for its memory.
    OutOfMemory,
    /// The node evicts the pod while it runs, for lack of memory.
    Evicted,
    /// A container cannot be made: it refers to a Secret that does not exist.
    ConfigError,
    /// No container ever starts.
    ImageMissing,
    /// No container ever starts, and the image is tried to be pulled for ever.
    ImagePulling,
    /// It asks for more than any node has.
    NoNodeHasRoom,
    /// It asks for a [`RATIONED`] resource.
    NoQuota,
    /// The steps run for ever.
    Hang,
    /// No container ever starts: the node does not get the volumes of the pod.
    NoVolume,
}

/// A task of one step.
#[derive(Clone, Debug)]
pub struct Task {
    name: String,
    run_after: Vec<String>,
    fate: Fate,
    after: Option<Duration>,
    more: Value,
    step: Value,
}

impl Task {
    /// A task that succeeds at the pace that the fake kubelet has by default.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            run_after: Vec::new(),
            fate: Fate::Succeed,
            after: None,
            more: Value::Null,
            step: Value::Null,
        }
    }

    /// Lets it wait for another task of the workflow.
    #[must_use]
    pub fn run_after(mut self, task: &str) -> Self {
        self.run_after.push(task.to_owned());
        self
    }

    /// Chooses how it ends.
    #[must_use]
    pub fn fate(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }

    /// Chooses how long it runs (for a missing image: how long it is pulled), in whole milliseconds.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }

    /// Calls its step otherwise than `main`; the name chooses what it writes, see [`crate::logs`].
    #[must_use]
    pub fn step_named(self, name: &str) -> Self {
        self.step_with(json!({ "name": name }))
    }

    /// Lays these fields over the task of the pipeline, such as `retries`.
    #[must_use]
    pub fn with(mut self, fields: Value) -> Self {
        lay(&mut self.more, fields);
        self
    }

    /// Lays these fields over its step, such as `name`.
    #[must_use]
    pub fn step_with(mut self, fields: Value) -> Self {
        lay(&mut self.step, fields);
        self
    }

    fn annotations(&self) -> Value {
        let mut annotations = serde_json::Map::new();
        let outcome = match self.fate {
            Fate::Succeed => "succeed",
            Fate::Fail { exit_code } => {
                annotations.insert(EXIT_CODE.to_owned(), json!(exit_code.to_string()));
                "fail"
            }
            Fate::FailFirst => "fail-first",
            Fate::OutOfMemory => "oom",
            Fate::Evicted => "evicted",
            Fate::ConfigError => "config",
            Fate::ImageMissing => "image",
            Fate::ImagePulling => "pulling",
            // It is never bound, so that no kubelet has a say.
            Fate::NoNodeHasRoom | Fate::NoQuota | Fate::Hang => "hang",
            Fate::NoVolume => "no-volume",
        };
        annotations.insert(OUTCOME.to_owned(), json!(outcome));
        if let Some(after) = self.after {
            annotations.insert(AFTER.to_owned(), json!(format!("{}ms", after.as_millis())));
        }
        Value::Object(annotations)
    }

    fn to_json(&self) -> Value {
        let resources = match self.fate {
            Fate::NoNodeHasRoom => json!({ "requests": { "cpu": "100k" } }),
            Fate::NoQuota => json!({ "requests": { RATIONED: "1" }, "limits": { RATIONED: "1" } }),
            Fate::Succeed
            | Fate::Fail { .. }
            | Fate::FailFirst
            | Fate::OutOfMemory
            | Fate::Evicted
            | Fate::ConfigError
            | Fate::ImageMissing
            | Fate::ImagePulling
            | Fate::Hang
            | Fate::NoVolume => json!({}),
        };
        let mut task = json!({
            "name": self.name,
            "runAfter": self.run_after,
            "taskSpec": {
                "metadata": { "annotations": self.annotations() },
                // Without a command Tekton would ask the image's registry for its entry point.
                "steps": [{
                    "name": "main",
                    "image": "wfe.test/step",
                    "command": ["/step"],
                    "computeResources": resources,
                    // What a restricted namespace asks of every container.
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "capabilities": { "drop": ["ALL"] },
                    },
                }],
            },
        });
        lay(&mut task["taskSpec"]["steps"][0], self.step.clone());
        lay(&mut task, self.more.clone());
        task
    }
}

/// Lays `fields` over `object`, and objects in it over those that are there.
fn lay(object: &mut Value, fields: Value) {
    let Value::Object(fields) = fields else { return };
    for (name, value) in fields {
        let field = &mut object[name.as_str()];
        if field.is_object() && value.is_object() {
            lay(field, value);
        } else {
            *field = value;
        }
    }
}

/// A pipeline, ready to be put into a bundle.
#[derive(Clone, Debug)]
pub struct Workflow {
    params: Vec<Value>,
    tasks: Vec<Task>,
    finally: Vec<Task>,
    more: Value,
}

impl Workflow {
    /// A workflow of these tasks. It declares the parameter `TARGET_RESOURCE`.
    #[must_use]
    pub fn new(tasks: impl IntoIterator<Item = Task>) -> Self {
        let tasks = tasks.into_iter().collect();
        let empty = Self { params: Vec::new(), tasks, finally: Vec::new(), more: Value::Null };
        empty.param("TARGET_RESOURCE")
    }

    /// Adds a task that runs at the end, whatever became of the others.
    #[must_use]
    pub fn finally(mut self, task: Task) -> Self {
        self.finally.push(task);
        self
    }

    /// Lays these fields over the specification of the pipeline, such as `workspaces`.
    #[must_use]
    pub fn with(mut self, fields: Value) -> Self {
        lay(&mut self.more, fields);
        self
    }

    /// Declares another parameter, a string that is empty by default.
    #[must_use]
    pub fn param(self, name: &str) -> Self {
        self.declare(json!({ "name": name, "type": "string", "default": "" }))
    }

    /// Declares another parameter, as Tekton reads it.
    #[must_use]
    pub fn declare(mut self, param: Value) -> Self {
        self.params.push(param);
        self
    }

    /// The Pipeline as Tekton reads it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut spec = json!({
            "params": self.params,
            "tasks": self.tasks.iter().map(Task::to_json).collect::<Vec<_>>(),
            "finally": self.finally.iter().map(Task::to_json).collect::<Vec<_>>(),
        });
        lay(&mut spec, self.more.clone());
        json!({
            "apiVersion": "tekton.dev/v1",
            "kind": "Pipeline",
            "metadata": { "name": PIPELINE },
            "spec": spec,
        })
    }
}

/// Where a bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// `host:port/wfe/<name>:<tag>`.
    pub reference: String,
    /// `sha256:` and the hash of its manifest.
    pub digest: String,
}

/// The reference of a bundle in `registry`, whether or not it was ever pushed.
#[must_use]
pub fn reference(registry: &str, name: &str, tag: &str) -> String {
    format!("{registry}/{}:{tag}", repository(name))
}

// The registry wants at least two characters, and one prefix keeps what tests push together.
fn repository(name: &str) -> String {
    format!("wfe/{name}")
}

/// Pushes `workflow` as `wfe/<name>:<tag>`.
///
/// # Errors
///
/// When the registry cannot be reached or refuses a part.
pub async fn push(registry: &str, name: &str, tag: &str, workflow: &Workflow) -> Result<Pushed> {
    let reference = reference(registry, name, tag);
    let digest = push_parts(registry, &repository(name), tag, workflow)
        .await
        .with_context(|| format!("push {reference}"))?;
    Ok(Pushed { reference, digest })
}

async fn push_parts(
    registry: &str,
    repository: &str,
    tag: &str,
    workflow: &Workflow,
) -> Result<String> {
    const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
    const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
    const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

    let http = plain::client()?;
    let base = Url::parse(&format!("http://{registry}/v2/{repository}/"))?;
    let config = b"{}".to_vec();
    let layer = serde_json::to_vec(&workflow.to_json())?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config, &json!({})),
        "layers": [descriptor(LAYER_TYPE, &layer, &json!({
            "dev.tekton.image.apiVersion": "v1",
            "dev.tekton.image.kind": "pipeline",
            "dev.tekton.image.name": PIPELINE,
        }))],
    }))?;
    for blob in [config, layer] {
        push_blob(&http, &base, blob).await?;
    }
    let digest = digest(&manifest);
    let url = base.join(&format!("manifests/{tag}"))?;
    accepted(http.put(url).header(CONTENT_TYPE, MANIFEST_TYPE).body(manifest).send().await?)
        .await?;
    Ok(digest)
}

async fn push_blob(http: &Client, base: &Url, blob: Vec<u8>) -> Result<()> {
    let opened = accepted(http.post(base.join("blobs/uploads/")?).send().await?).await?;
    let location = opened.headers().get(LOCATION).context("an upload without a location")?;
    let mut url = base.join(location.to_str()?)?;
    url.query_pairs_mut().append_pair("digest", &digest(&blob));
    accepted(http.put(url).body(blob).send().await?).await?;
    Ok(())
}

async fn accepted(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let url = response.url().clone();
    let text = response.text().await.unwrap_or_default();
    bail!("{url} answered {status}: {text}")
}

fn descriptor(media_type: &str, content: &[u8], annotations: &Value) -> Value {
    json!({
        "mediaType": media_type,
        "digest": digest(content),
        "size": content.len(),
        "annotations": annotations,
    })
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}
