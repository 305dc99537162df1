//! `cargo xtask fixtures`: records what Tekton says of runs that end in every way, for the tests of the failure analysis.
//!
//! Owns how `record.yaml` is played; what is played, and what it means, are written there. Keeps the objects as the API
//! server gives them, without what no decision rests on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use wfe_control_plane::wait::eventually;

mod objects;

use objects::{pod_status, replaced, task, trimmed};

use crate::control_plane::{self, BIN, read_env};
use crate::interrupt::Interrupts;
use crate::lend::Lend;

const HOME: &str = "server/src/tekton/fixtures";

/// Longer than Tekton's limit of one minute for what no resolver answers.
const PATIENCE: Duration = Duration::from_secs(75);

/// On what to record, and what.
#[derive(ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    control_plane: Lend,
    /// Only fixtures whose name contains this
    filter: Option<String>,
}

#[derive(Deserialize)]
struct Script {
    pods: BTreeMap<String, Value>,
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    name: String,
    #[serde(default)]
    tasks: Vec<Map<String, Value>>,
    #[serde(default)]
    finally: Vec<Map<String, Value>>,
    #[serde(default)]
    pipeline: Map<String, Value>,
    #[serde(default)]
    spec: Map<String, Value>,
    #[serde(default)]
    labels: Map<String, Value>,
    #[serde(default)]
    objects: Vec<Value>,
    #[serde(default)]
    then: Vec<Act>,
    until: Option<String>,
    from: Option<String>,
    version: Option<String>,
    edit: Option<Edit>,
}

#[derive(Deserialize)]
#[serde(untagged, rename_all = "camelCase")]
enum Act {
    Until {
        until: String,
    },
    UntilTask {
        #[serde(rename = "untilTask")]
        until_task: String,
    },
    UntilTaskSays {
        #[serde(rename = "untilTaskSays")]
        until_task_says: String,
    },
    Apply {
        apply: Value,
    },
    Run {
        run: Value,
    },
    Pod {
        pod: String,
        status: String,
    },
    Custom {
        custom: String,
        status: Value,
    },
    Delete {
        delete: String,
        task: String,
    },
    Task {
        task: String,
        patch: Value,
    },
}

#[derive(Deserialize)]
struct Edit {
    task: Option<String>,
    reason: String,
    message: String,
}

/// Plays every record and writes its fixture.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut interrupts = Interrupts::catch()?;
    let Args { control_plane, filter } = args;
    let filter = filter.unwrap_or_default();
    control_plane.to(&mut interrupts, async |dir, _| record_all(dir, &filter).await).await
}

async fn record_all(dir: &Path, filter: &str) -> Result<ExitStatus> {
    let text = std::fs::read_to_string(Path::new(HOME).join("record.yaml"))?;
    let script: Script = serde_yaml_ng::from_str(&text).context("read record.yaml")?;
    let version = control_plane::tekton_version(dir)?.unwrap_or_else(|| "unknown".to_owned());
    let cluster = Cluster { dir, variables: read_env(dir)?, pods: &script.pods };
    let mut failed = 0;
    let wanted = || script.records.iter().filter(|record| record.name.contains(filter));
    for record in wanted().filter(|record| record.from.is_none()) {
        let mut fixture = match cluster.record(record, &version).await {
            Ok(fixture) => fixture,
            Err(error) => {
                say!("{} FAILED: {error:#}", record.name);
                failed += 1;
                continue;
            }
        };
        if let Some(edit) = &record.edit {
            edit.apply(&mut fixture)?;
        }
        write(&record.name, &fixture)?;
    }
    for record in wanted() {
        let Some(from) = &record.from else { continue };
        let text = std::fs::read_to_string(Path::new(HOME).join(format!("{from}.json")))
            .with_context(|| format!("{} is made from {from}", record.name))?;
        let mut fixture: Value = serde_json::from_str(&text)?;
        if let Some(version) = &record.version {
            fixture["tekton"] = json!(version);
        }
        record.edit.as_ref().context("a copy is edited")?.apply(&mut fixture)?;
        write(&record.name, &fixture)?;
    }
    if failed > 0 {
        bail!("{failed} fixtures were not recorded");
    }
    Ok(ExitStatus::default())
}

fn write(name: &str, fixture: &Value) -> Result<()> {
    let path = Path::new(HOME).join(format!("{name}.json"));
    std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(fixture)?))?;
    say!("{name}");
    Ok(())
}

impl Edit {
    fn apply(&self, fixture: &mut Value) -> Result<()> {
        let object = match &self.task {
            None => &mut fixture["pipelineRun"],
            Some(task) => {
                let tasks = fixture["taskRuns"].as_array_mut().context("no TaskRuns")?;
                tasks
                    .iter_mut()
                    .find(|found| pipeline_task(found) == task)
                    .context("no such task")?
            }
        };
        let condition = &mut object["status"]["conditions"][0];
        condition["reason"] = json!(self.reason);
        condition["message"] = json!(self.message);
        fixture["edited"] = json!(
            "reason and message of a condition: this cannot be brought about on the control plane"
        );
        Ok(())
    }
}

fn pipeline_task(object: &Value) -> &str {
    object["metadata"]["labels"]["tekton.dev/pipelineTask"].as_str().unwrap_or_default()
}

/// Why, as the first condition of an object says; empty before it has one.
fn reason_of(object: &Value) -> &str {
    object["status"]["conditions"][0]["reason"].as_str().unwrap_or_default()
}

fn is_over(object: &Value) -> bool {
    matches!(object["status"]["conditions"][0]["status"].as_str(), Some("True" | "False"))
}

struct Cluster<'a> {
    dir: &'a Path,
    variables: Vec<(String, String)>,
    pods: &'a BTreeMap<String, Value>,
}

impl Cluster<'_> {
    async fn record(&self, record: &Record, version: &str) -> Result<Value> {
        let namespace = format!("fixture-{}", record.name);
        let _ =
            self.kubectl(&["delete", "namespace", &namespace, "--ignore-not-found"], None).await?;
        let labels = Value::Object(record.labels.clone());
        let mut objects = vec![json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels },
        })];
        objects.extend(record.objects.iter().cloned().map(|mut object| {
            object["metadata"]["namespace"] = json!(namespace);
            object
        }));
        for object in objects {
            self.kubectl(&["apply", "-f", "-"], Some(&object)).await?;
        }
        self.until("its service account", async || {
            self.kubectl(&["get", "serviceaccount", "default", "-n", &namespace], None)
                .await
                .map(Some)
        })
        .await?;
        self.kubectl(&["create", "-f", "-"], Some(&self.pipeline_run(record, &namespace))).await?;
        for act in &record.then {
            self.act(act, &namespace).await?;
        }
        let what = record.until.as_deref().unwrap_or("the end");
        let (run, tasks) = self
            .until(what, async || {
                let (run, tasks) = self.objects(&namespace).await?;
                let is_so = match &record.until {
                    Some(reason) => reason_of(&run) == reason,
                    // What is stopped ends a moment after its run.
                    None => [&run].into_iter().chain(&tasks).all(is_over),
                };
                Ok(is_so.then_some((run, tasks)))
            })
            .await?;
        self.kubectl(&["delete", "namespace", &namespace, "--wait=false"], None).await?;
        Ok(json!({ "tekton": version, "edited": null, "pipelineRun": run, "taskRuns": tasks }))
    }

    fn pipeline_run(&self, record: &Record, namespace: &str) -> Value {
        let mut spec = Map::new();
        if !record.tasks.is_empty() {
            let tasks = |list: &[Map<String, Value>]| list.iter().map(task).collect::<Vec<_>>();
            let mut pipeline = record.pipeline.clone();
            pipeline.insert("tasks".to_owned(), json!(tasks(&record.tasks)));
            pipeline.insert("finally".to_owned(), json!(tasks(&record.finally)));
            spec.insert("pipelineSpec".to_owned(), Value::Object(pipeline));
        }
        spec.extend(record.spec.clone());
        let run = json!({
            "apiVersion": "tekton.dev/v1",
            "kind": "PipelineRun",
            "metadata": { "name": "run", "namespace": namespace },
            "spec": spec,
        });
        let registry = self.variables.iter().find(|(name, _)| name == "WFE_REGISTRY");
        let registry = registry.map_or("", |(_, value)| value.as_str());
        replaced(run, &[("$REGISTRY", registry)])
    }

    async fn act(&self, act: &Act, namespace: &str) -> Result<()> {
        let patch = async |kind: &str, name: &str, status: bool, patch: &Value| {
            let text = patch.to_string();
            let mut args = vec!["patch", kind, name, "-n", namespace, "--type=merge", "-p", &text];
            if status {
                args.push("--subresource=status");
            }
            self.kubectl(&args, None).await
        };
        match act {
            Act::Until { until } => {
                self.until(until, async || {
                    let (run, _) = self.objects(namespace).await?;
                    Ok((reason_of(&run) == until).then_some(()))
                })
                .await?;
            }
            Act::UntilTask { until_task } => {
                self.until(until_task, async || {
                    let (_, tasks) = self.objects(namespace).await?;
                    Ok(tasks.iter().any(|task| reason_of(task) == until_task).then_some(()))
                })
                .await?;
            }
            Act::UntilTaskSays { until_task_says } => {
                self.until(until_task_says, async || {
                    let (_, tasks) = self.objects(namespace).await?;
                    let said = |task: &Value| {
                        let message = task["status"]["conditions"][0]["message"].as_str();
                        message.is_some_and(|message| message.contains(until_task_says))
                    };
                    Ok(tasks.iter().any(said).then_some(()))
                })
                .await?;
            }
            Act::Apply { apply } => {
                let mut object = apply.clone();
                object["metadata"]["namespace"] = json!(namespace);
                self.kubectl(&["apply", "-f", "-"], Some(&object)).await?;
            }
            Act::Run { run } => {
                patch("pipelinerun", "run", false, run).await?;
            }
            Act::Task { task, patch: wish } => {
                patch("taskrun", &format!("run-{task}"), false, wish).await?;
            }
            Act::Custom { custom, status } => {
                let status = json!({ "status": status });
                patch("customrun", &format!("run-{custom}"), true, &status).await?;
            }
            Act::Delete { delete, task } => {
                let name = match delete.as_str() {
                    "pod" => format!("run-{task}-pod"),
                    _ => format!("run-{task}"),
                };
                self.kubectl(&["delete", delete, &name, "-n", namespace], None).await?;
            }
            Act::Pod { pod, status } => {
                let wanted = self.pods.get(status).context("no such status of a pod")?;
                let selector = format!("tekton.dev/pipelineTask={pod}");
                let found = self
                    .until("its pod", async || {
                        let mut pods = self.get(&["pods", "-l", &selector], namespace).await?;
                        let bound = pods.iter().rposition(|pod| {
                            pod["status"]["phase"] == "Pending"
                                && pod["spec"]["nodeName"].is_string()
                        });
                        Ok(match bound {
                            Some(bound) => Some(pods.swap_remove(bound)),
                            None if status == "evicted" => pods.pop(),
                            None => None,
                        })
                    })
                    .await?;
                let name = found["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                patch("pod", &name, true, &json!({ "status": pod_status(&found, wanted) })).await?;
            }
        }
        Ok(())
    }

    async fn objects(&self, namespace: &str) -> Result<(Value, Vec<Value>)> {
        let run = self.get(&["pipelineruns"], namespace).await?.into_iter().map(trimmed).next();
        let tasks = self.get(&["taskruns"], namespace).await?.into_iter().map(trimmed).collect();
        Ok((run.unwrap_or_default(), tasks))
    }

    async fn get(&self, what: &[&str], namespace: &str) -> Result<Vec<Value>> {
        let args = [&["get"], what, &["-n", namespace, "-o", "json"]].concat();
        let mut list: Value = serde_json::from_str(&self.kubectl(&args, None).await?)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Looks until there is something to be seen.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        eventually(PATIENCE, what, async || match look().await {
            Ok(found) => found.ok_or_else(|| "it is not so yet".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        })
        .await
    }

    async fn kubectl(&self, args: &[&str], input: Option<&Value>) -> Result<String> {
        let mut command = Command::new(self.dir.join(BIN).join("kubectl"));
        command.args(args).envs(self.variables.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        if let Some(input) = input {
            stdin.write_all(input.to_string().as_bytes()).await?;
        }
        drop(stdin);
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!("kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
