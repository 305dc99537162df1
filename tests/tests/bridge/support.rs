//! A server and a bridge of a test's own, and WorkflowExecutions as people and services write them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wfe_crds::workflow_execution::{Phase, WorkflowExecution, WorkflowExecutionStatus};
use wfe_proto::v1;
pub(crate) use wfe_tests::objects::{condition, mk_object};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{
    BridgeOptions, BridgeProcess, ControlPlane, Forward, Kubectl, Namespace, ServerProcess, crd,
};

/// A namespace with a server and a bridge that serve it alone. Runs and WorkflowExecutions are both in it, unless the
/// test asks for another one for the runs.
pub(crate) struct Setup {
    pub(crate) namespace: Namespace,
    /// Where the runs are.
    pub(crate) runs: Namespace,
    pub(crate) server: ServerProcess,
    /// The address of the server that the bridge knows.
    pub(crate) service: Forward,
    pub(crate) bridge: BridgeProcess,
    pub(crate) kubectl: Kubectl,
}

/// Runs a test with a bridge that got these arguments. When the test fails, what is known of it is printed.
pub(crate) async fn with_bridge(
    plane: &ControlPlane,
    arguments: &[&str],
    test: impl AsyncFnOnce(&mut Setup) -> Result<()>,
) -> Result<()> {
    let arguments = Arguments { bridge: arguments, ..Arguments::default() };
    with_arguments(plane, &arguments, test).await
}

/// How the processes of a test are started, beyond the usual.
#[derive(Default)]
pub(crate) struct Arguments<'a> {
    pub(crate) bridge: &'a [&'a str],
    pub(crate) server: &'a [&'a str],
    /// Where the runs are, when not beside the WorkflowExecutions.
    pub(crate) runs: Option<&'a Namespace>,
}

/// As [`with_bridge`], with more to choose.
pub(crate) async fn with_arguments(
    plane: &ControlPlane,
    arguments: &Arguments<'_>,
    test: impl AsyncFnOnce(&mut Setup) -> Result<()>,
) -> Result<()> {
    let client = plane.client().await?;
    crd::apply(&client).await?;
    Namespace::with(client, async |namespace| {
        let runs = arguments.runs.unwrap_or(namespace).clone();
        let server =
            ServerProcess::start_with_arguments(plane, runs.name(), arguments.server).await?;
        let service = Forward::start().await?;
        service.point_to(Some(server.addresses().grpc));
        let options = BridgeOptions::new(plane, service.address(), namespace.name());
        let bridge = BridgeProcess::start(options.with(arguments.bridge)).await?;
        bridge.until_ready().await?;
        let kubectl = Kubectl::new(plane, namespace.name());
        let mut setup =
            Setup { namespace: namespace.clone(), runs, server, service, bridge, kubectl };
        let tested = AssertUnwindSafe(test(&mut setup)).catch_unwind().await;
        if !matches!(tested, Ok(Ok(()))) {
            setup.describe().await;
        }
        let emptied = setup.empty().await;
        tested.unwrap_or_else(|panic| resume_unwind(panic))?;
        emptied
    })
    .await
}

impl Setup {
    pub(crate) fn objects(&self) -> Api<WorkflowExecution> {
        Api::namespaced(self.namespace.client().clone(), self.namespace.name())
    }

    /// Applies one WorkflowExecution with kubectl.
    pub(crate) async fn apply(&self, object: &Value) -> Result<()> {
        self.kubectl.apply(&object.to_string()).await.map(drop)
    }

    pub(crate) async fn status(&self, name: &str) -> Result<WorkflowExecutionStatus> {
        Ok(self.objects().get(name).await?.status.unwrap_or_default())
    }

    /// Waits until the status is as it should be, and answers it.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&WorkflowExecutionStatus) -> bool,
    ) -> Result<WorkflowExecutionStatus> {
        self.until_within(PATIENCE, name, what, is_so).await
    }

    pub(crate) async fn until_within(
        &self,
        deadline: Duration,
        name: &str,
        what: &str,
        is_so: impl Fn(&WorkflowExecutionStatus) -> bool,
    ) -> Result<WorkflowExecutionStatus> {
        eventually(deadline, &format!("{name}: {what}"), || async {
            let status = self.status(name).await.map_err(|error| format!("{error:#}"))?;
            if is_so(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
        .await
    }

    pub(crate) async fn until_phase(
        &self,
        name: &str,
        phase: Phase,
    ) -> Result<WorkflowExecutionStatus> {
        let status = self
            .until(name, &format!("{phase}"), |status| {
                status.phase.as_ref() == Some(&phase)
                    || matches!(status.phase, Some(Phase::Completed | Phase::Failed))
            })
            .await?;
        ensure!(status.phase == Some(phase.clone()), "{name} is not {phase}: {status:#?}");
        Ok(status)
    }

    /// Waits until there is no such object any more.
    pub(crate) async fn until_gone(&self, name: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{name} is gone"), || async {
            match self.objects().get_opt(name).await.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(object) => Err(format!("{:?}", object.metadata)),
            }
        })
        .await
    }

    /// The Kubernetes events about an object, as reason and note, in the order of their time.
    pub(crate) async fn events(&self, name: &str) -> Result<Vec<(String, String)>> {
        let text = |text: Option<String>| text.unwrap_or_default();
        let events = self.events_about(name).await?.into_iter();
        Ok(events.map(|event| (text(event.reason), text(event.note))).collect())
    }

    /// The reasons of the Warning events about an object, in the order of their time.
    pub(crate) async fn warnings(&self, name: &str) -> Result<Vec<String>> {
        let events = self.events_about(name).await?.into_iter();
        let warnings = events.filter(|event| event.type_.as_deref() == Some("Warning"));
        Ok(warnings.map(|event| event.reason.unwrap_or_default()).collect())
    }

    async fn events_about(&self, name: &str) -> Result<Vec<Event>> {
        let api = Api::<Event>::namespaced(self.namespace.client().clone(), self.namespace.name());
        let mut events: Vec<Event> = api.list(&ListParams::default()).await?.items;
        events.retain(|event| {
            event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref()) == Some(name)
        });
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        Ok(events)
    }

    /// The parameters of the run of an object, without `TARGET_RESOURCE`.
    pub(crate) async fn parameters_of_run(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let run = self.status(name).await?.execution_ref.context("a run")?.name;
        let run = self.runs.runs().get(&run).await?;
        let given = run.data["spec"]["params"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut given: BTreeMap<_, _> =
            given.iter().map(|given| (text(&given["name"]), text(&given["value"]))).collect();
        given.remove("TARGET_RESOURCE");
        Ok(given)
    }

    /// Waits until nothing that Tekton made is alive: every PipelineRun and TaskRun is over, no pod runs.
    pub(crate) async fn until_nothing_is_alive(&self) -> Result<()> {
        eventually(PATIENCE, "nothing is alive", || async {
            let mut alive = Vec::new();
            for api in [self.runs.runs(), self.runs.tasks()] {
                let list =
                    api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
                for object in list {
                    let over = wfe_tests::tekton::condition(&object)
                        .is_some_and(|condition| condition.status != "Unknown");
                    if !over {
                        alive.push(object.name_any());
                    }
                }
            }
            let pods = self.runs.pods().list(&ListParams::default()).await;
            for pod in pods.map_err(|error| error.to_string())? {
                let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
                if !matches!(phase.as_deref(), Some("Succeeded" | "Failed")) {
                    alive.push(pod.name_any());
                }
            }
            if alive.is_empty() { Ok(()) } else { Err(format!("alive: {alive:?}")) }
        })
        .await
    }

    /// What the service has on record for the request that the object with this UID stands for.
    pub(crate) async fn execution(&self, uid: &str) -> Result<Option<v1::Execution>> {
        let key = Some(v1::get_request::Key::RequestId(uid.to_owned()));
        match self.server.client().await?.get(v1::GetRequest { key }).await {
            Ok(answer) => Ok(answer.into_inner().execution),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// What the bridge counts now, summed over the labels that are not given.
    pub(crate) async fn count(&self, metric: &str, labels: &[&str]) -> Result<u64> {
        sum_of(&self.bridge.metrics().await?, metric, labels)
    }

    /// Waits until the bridge has nothing to do and nothing to wait for.
    pub(crate) async fn until_nothing_is_followed(&self) -> Result<()> {
        eventually(PATIENCE, "the bridge follows nothing", || async {
            match self.count("wfe_bridge_objects_followed", &[]).await {
                Ok(0) => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await
    }

    async fn describe(&self) {
        match self.objects().list(&ListParams::default()).await {
            Ok(list) => {
                for object in list {
                    eprintln!("{}", serde_json::to_string(&object).unwrap_or_default());
                }
            }
            Err(error) => eprintln!("{error}"),
        }
        for (whose, log) in [("bridge", self.bridge.log()), ("server", self.server.log())] {
            eprintln!("log of the {whose}:\n{}", log.unwrap_or_default());
        }
    }

    /// Removes what is left, so that the namespace can go: a finalizer whose bridge is gone would hold it for ever.
    async fn empty(&self) -> Result<()> {
        let objects = self.objects();
        objects.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        let gone = eventually(Duration::from_secs(20), "the objects are gone", || async {
            let left =
                objects.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            if left.items.is_empty() { Ok(()) } else { Err(format!("{} left", left.items.len())) }
        })
        .await;
        if gone.is_err() {
            for object in objects.list(&ListParams::default()).await? {
                let nothing = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                objects.patch(&object.name_any(), &PatchParams::default(), &nothing).await?;
            }
        }
        gone
    }
}

/// Sends a signal to a process of the test.
pub(crate) fn signal(process: Option<u32>, signal: Signal) -> Result<()> {
    let process = i32::try_from(process.context("a process that runs")?)?;
    kill(Pid::from_raw(process), signal).with_context(|| format!("send {signal}"))
}

/// The sum of the values of a metric that counts, over the labels that are not given. One that there is not at all is an
/// error, so that a misspelt name does not look like 0.
pub(crate) fn sum_of(metrics: &str, name: &str, labels: &[&str]) -> Result<u64> {
    let (mut sum, mut found) = (0, false);
    for (series, value) in metrics.lines().filter_map(|line| line.rsplit_once(' ')) {
        let (metric, given) = series.split_once('{').unwrap_or((series, ""));
        if metric == name {
            found = true;
            if labels.iter().all(|label| given.contains(label)) {
                sum += value.parse::<u64>().with_context(|| format!("{series} {value}"))?;
            }
        }
    }
    ensure!(found, "there is no {name} in:\n{metrics}");
    Ok(sum)
}
