//! Cases: a workflow, what is asked for, and what the service must say of its end.

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, stream};
use kube::api::{DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use wfe_proto::v1::{self, FailureReason, State, start_request, watch_request, watch_response};
use wfe_tests::bundles::{Workflow, push};
use wfe_tests::server::Client;
use wfe_tests::{ControlPlane, Namespace, ServerProcess};

/// How long one case may take on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(3);

/// How many cases run at once.
const AT_ONCE: usize = 6;

/// One execution, and what becomes of it.
pub(crate) struct Case {
    name: &'static str,
    bundle: Bundle,
    ask: fn(&mut v1::StartRequest),
    expected: Expected,
}

enum Bundle {
    Pushed(Workflow),
    Missing,
}

/// What the failure says. What is not set is expected to be absent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    reason: FailureReason,
    ran: Ran,
    /// One, or several between bars where Tekton says now this and now that.
    raw_reason: &'static str,
    task: &'static str,
    step: &'static str,
    exit_code: Option<i32>,
    attempt: i32,
    /// Parts of the sentence for a person.
    says: Vec<&'static str>,
    /// Part of what is told while it lasts.
    waits: Option<&'static str>,
}

/// Whether any step had started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    Yes,
    No,
}

impl Expected {
    /// In `task`, which had no second attempt.
    pub(crate) fn in_task(
        reason: FailureReason,
        ran: Ran,
        raw_reason: &'static str,
        task: &'static str,
    ) -> Self {
        Self { task, attempt: 1, ..Self::of_run(reason, ran, raw_reason) }
    }

    /// In no task.
    pub(crate) fn of_run(reason: FailureReason, ran: Ran, raw_reason: &'static str) -> Self {
        Self {
            reason,
            ran,
            raw_reason,
            task: "",
            step: "",
            exit_code: None,
            attempt: 0,
            says: Vec::new(),
            waits: None,
        }
    }

    /// In this step.
    pub(crate) fn step(self, step: &'static str) -> Self {
        Self { step, ..self }
    }

    /// With this code.
    pub(crate) fn exit_code(self, code: i32) -> Self {
        Self { exit_code: Some(code), ..self }
    }

    /// In this attempt, from 1; 0 when none is known.
    pub(crate) fn attempt(self, attempt: i32) -> Self {
        Self { attempt, ..self }
    }

    /// In these words.
    pub(crate) fn says(self, says: &[&'static str]) -> Self {
        Self { says: says.to_vec(), ..self }
    }

    /// After it was told, while it lasted, that it waits for this.
    pub(crate) fn waits(self, waits: &'static str) -> Self {
        Self { waits: Some(waits), ..self }
    }
}

impl Case {
    /// A workflow that is pushed under `name`, which is also the target.
    pub(crate) fn new(name: &'static str, workflow: Workflow, expected: Expected) -> Self {
        Self { name, bundle: Bundle::Pushed(workflow), ask: |_| (), expected }
    }

    /// A workflow that nobody pushed.
    pub(crate) fn missing(name: &'static str, expected: Expected) -> Self {
        Self { name, bundle: Bundle::Missing, ask: |_| (), expected }
    }

    /// Asks for more than the workflow.
    pub(crate) fn asks(self, ask: fn(&mut v1::StartRequest)) -> Self {
        Self { ask, ..self }
    }

    async fn play(self, plane: &ControlPlane, server: &ServerProcess) -> Result<()> {
        let Self { name, bundle, ask, expected } = self;
        let mut client = server.client().await?;
        let reference = reference(plane, name, &bundle).await?;
        let mut request = mk_start(&reference, name);
        ask(&mut request);
        let told = run(&mut client, request).await.context(name)?;
        let done = &told.done;
        ensure!(done.state() == State::Failed, "{name}: {done:?}");
        ensure!(done.obstacle.is_empty(), "{name}: {done:?}");
        let failure = done.failure.clone().context("a failure")?;
        let found = Expected {
            reason: failure.reason(),
            ran: if failure.was_execution_failure { Ran::Yes } else { Ran::No },
            task: some(expected.task, &failure.task),
            step: some(expected.step, &failure.step),
            raw_reason: some(expected.raw_reason, &failure.raw_reason),
            exit_code: failure.exit_code,
            attempt: failure.attempt,
            says: expected
                .says
                .iter()
                .copied()
                .filter(|part| failure.summary.contains(part))
                .collect(),
            waits: expected
                .waits
                .filter(|part| told.obstacles.iter().any(|told| told.contains(part))),
        };
        ensure!(
            found == expected,
            "{name}: found {found:#?}, expected {expected:#?}: {failure:#?} {:?}",
            told.obstacles
        );
        ensure!(
            !failure.message.contains('\0') && !failure.summary.is_empty(),
            "{name}: {failure:?}"
        );
        Ok(())
    }
}

/// `wanted` when it, or one of what is between bars in it, was found; else what was found, for a message that says it.
fn some(wanted: &'static str, found: &str) -> &'static str {
    if wanted.split('|').any(|one| one == found) {
        wanted
    } else {
        Box::leak(found.to_owned().into_boxed_str())
    }
}

async fn reference(plane: &ControlPlane, name: &str, bundle: &Bundle) -> Result<String> {
    let name = format!("failures-{name}");
    match bundle {
        Bundle::Pushed(workflow) => {
            Ok(push(plane.registry(), &name, "v1", workflow).await?.reference)
        }
        Bundle::Missing => Ok(wfe_tests::bundles::reference(plane.registry(), &name, "v1")),
    }
}

pub(crate) fn mk_start(bundle: &str, name: &str) -> v1::StartRequest {
    v1::StartRequest {
        request_id: name.to_owned(),
        target: format!("default/pod/{}", name.to_ascii_lowercase()),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: bundle.to_owned(),
            ..v1::BundleWorkflow::default()
        })),
        ..v1::StartRequest::default()
    }
}

/// An execution at its end, and what was told to be in its way before.
pub(crate) struct Told {
    pub(crate) done: v1::Execution,
    pub(crate) obstacles: Vec<String>,
}

/// Starts it and watches it to its end.
pub(crate) async fn run(client: &mut Client, request: v1::StartRequest) -> Result<Told> {
    let accepted = client.start(request).await?.into_inner().execution.context("an execution")?;
    let scope = Some(watch_request::Scope::ExecutionId(accepted.id.clone()));
    let mut stream = client.watch(v1::WatchRequest { scope, after: Some(0) }).await?.into_inner();
    let mut obstacles = Vec::new();
    let to_the_end = async {
        while let Some(message) = stream.message().await? {
            match message.update.context("an update")? {
                watch_response::Update::Event(event)
                    if event.r#type() == v1::EventType::Delayed =>
                {
                    // What is told in an event is what anybody reads meanwhile.
                    let key = Some(v1::get_request::Key::ExecutionId(accepted.id.clone()));
                    let now = client.get(v1::GetRequest { key }).await?.into_inner().execution;
                    let now = now.context("an execution")?;
                    if now.state() == State::Running {
                        obstacles.push(now.obstacle);
                    }
                }
                watch_response::Update::Terminal(done) => return Ok(Told { done, obstacles }),
                watch_response::Update::Event(_)
                | watch_response::Update::Heartbeat(_)
                | watch_response::Update::Snapshot(_)
                | watch_response::Update::Synced(_)
                | watch_response::Update::Decision(_) => {}
            }
        }
        bail!("the watch ended without an end")
    };
    tokio::time::timeout(PATIENCE, Box::pin(to_the_end)).await.context("it does not end")?
}

/// Plays the cases at the same time, in a namespace and with a server of their own. Before that, `prepare` changes the
/// namespace.
pub(crate) async fn play(
    flags: &[&str],
    prepare: impl AsyncFnOnce(&Namespace) -> Result<()>,
    cases: Vec<Case>,
) -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        prepare(namespace).await?;
        let server = ServerProcess::start_with_arguments(&plane, namespace.name(), flags).await?;
        let failed: Vec<String> = stream::iter(cases)
            .map(|case| case.play(&plane, &server))
            .buffer_unordered(AT_ONCE)
            .filter_map(async |played| played.err().map(|error| format!("{error:#}")))
            .collect()
            .await;
        ensure!(failed.is_empty(), "{}\nthe server's log:\n{}", failed.join("\n"), server.log()?);
        Ok(())
    })
    .await
}

/// Nothing to prepare.
pub(crate) async fn as_it_is(_: &Namespace) -> Result<()> {
    Ok(())
}

/// Applies an object of the namespace, or of the cluster.
pub(crate) async fn create(
    namespace: &Namespace,
    kind: (&str, &str, &str),
    object: &Value,
) -> Result<()> {
    let (group, version, kind) = kind;
    let resource = kube::api::ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = if object["metadata"]["namespace"].is_string() {
        Api::namespaced_with(namespace.client().clone(), namespace.name(), &resource)
    } else {
        Api::all_with(namespace.client().clone(), &resource)
    };
    let mut object = object.clone();
    object["apiVersion"] =
        if group.is_empty() { json!(version) } else { json!(format!("{group}/{version}")) };
    object["kind"] = json!(kind);
    let object: DynamicObject = serde_json::from_value(object)?;
    api.create(&PostParams::default(), &object).await.with_context(|| object.name_any())?;
    Ok(())
}

/// Takes away what is left of a resource in the namespace; returns when the quota has counted.
pub(crate) async fn quota(namespace: &Namespace, resource: &str) -> Result<()> {
    let object = json!({
        "metadata": { "name": "full", "namespace": namespace.name() },
        "spec": { "hard": { resource: "0" } },
    });
    create(namespace, ("", "v1", "ResourceQuota"), &object).await?;
    let quotas = Api::<k8s_openapi::api::core::v1::ResourceQuota>::namespaced(
        namespace.client().clone(),
        namespace.name(),
    );
    wfe_tests::wait::eventually(PATIENCE, "the quota is counted", async || {
        let quota = quotas.get("full").await.map_err(|error| error.to_string())?;
        let counted = quota
            .status
            .and_then(|status| status.hard)
            .is_some_and(|hard| hard.contains_key(resource));
        if counted { Ok(()) } else { Err("not counted".to_owned()) }
    })
    .await
}
