//! A server and a bridge of a test's own, and WorkflowExecutions as people and services write them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::FutureExt;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wfe_crds::workflow_execution::{Phase, WorkflowExecution, WorkflowExecutionStatus};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{
    BridgeOptions, BridgeProcess, ControlPlane, Forward, Kubectl, Namespace, ServerProcess, crd,
};

/// A namespace with a server and a bridge that serve it alone. Runs and WorkflowExecutions are both in it.
pub struct Setup {
    pub namespace: Namespace,
    pub server: ServerProcess,
    /// The address of the server that the bridge knows.
    pub service: Forward,
    pub bridge: BridgeProcess,
    pub kubectl: Kubectl,
}

/// Runs a test with a bridge that got these arguments. When the test fails, what is known of it is printed.
pub async fn with_bridge(
    plane: &ControlPlane,
    arguments: &[&str],
    test: impl AsyncFnOnce(&mut Setup) -> Result<()>,
) -> Result<()> {
    let client = plane.client().await?;
    crd::apply(&client).await?;
    Namespace::with(client, async |namespace| {
        let server = ServerProcess::start(plane, namespace.name()).await?;
        let service = Forward::start().await?;
        service.point_to(Some(server.addresses().grpc));
        let options = BridgeOptions::new(plane, service.address(), namespace.name());
        let bridge = BridgeProcess::start(options.with(arguments)).await?;
        bridge.until_ready().await?;
        let kubectl = Kubectl::new(plane, namespace.name());
        let mut setup = Setup { namespace: namespace.clone(), server, service, bridge, kubectl };
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
    pub fn objects(&self) -> Api<WorkflowExecution> {
        Api::namespaced(self.namespace.client().clone(), self.namespace.name())
    }

    /// Applies one WorkflowExecution with kubectl.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        self.kubectl.apply(&object.to_string()).await.map(drop)
    }

    pub async fn status(&self, name: &str) -> Result<WorkflowExecutionStatus> {
        Ok(self.objects().get(name).await?.status.unwrap_or_default())
    }

    /// Waits until the status is as it should be, and answers it.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&WorkflowExecutionStatus) -> bool,
    ) -> Result<WorkflowExecutionStatus> {
        self.until_within(PATIENCE, name, what, is_so).await
    }

    pub async fn until_within(
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

    pub async fn until_phase(&self, name: &str, phase: Phase) -> Result<WorkflowExecutionStatus> {
        let status = self
            .until(name, &format!("{phase}"), |status| {
                status.phase.as_ref() == Some(&phase)
                    || matches!(status.phase, Some(Phase::Completed | Phase::Failed))
            })
            .await?;
        anyhow::ensure!(status.phase == Some(phase.clone()), "{name} is not {phase}: {status:#?}");
        Ok(status)
    }

    /// Waits until there is no such object any more.
    pub async fn until_gone(&self, name: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{name} is gone"), || async {
            match self.objects().get_opt(name).await.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(object) => Err(format!("{:?}", object.metadata)),
            }
        })
        .await
    }

    /// The Kubernetes events about an object, as reason and note, in the order of their time.
    pub async fn events(&self, name: &str) -> Result<Vec<(String, String)>> {
        let api = Api::<Event>::namespaced(self.namespace.client().clone(), self.namespace.name());
        let mut events: Vec<Event> = api.list(&ListParams::default()).await?.items;
        events.retain(|event| {
            event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref()) == Some(name)
        });
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let text = |text: Option<String>| text.unwrap_or_default();
        Ok(events.into_iter().map(|event| (text(event.reason), text(event.note))).collect())
    }

    /// The parameters of the run of an object, without TARGET_RESOURCE.
    pub async fn parameters_of_run(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let run = self.status(name).await?.execution_ref.context("a run")?.name;
        let run = self.namespace.runs().get(&run).await?;
        let given = run.data["spec"]["params"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut given: BTreeMap<_, _> =
            given.iter().map(|given| (text(&given["name"]), text(&given["value"]))).collect();
        given.remove("TARGET_RESOURCE");
        Ok(given)
    }

    /// Waits until nothing that Tekton made is alive: every PipelineRun and TaskRun is over, no pod runs.
    pub async fn until_nothing_is_alive(&self) -> Result<()> {
        eventually(PATIENCE, "nothing is alive", || async {
            let mut alive = Vec::new();
            for api in [self.namespace.runs(), self.namespace.tasks()] {
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
            let pods = self.namespace.pods().list(&ListParams::default()).await;
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

/// The least that a person has to write.
pub fn mk_object(name: &str, bundle: &str, target: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": { "name": name },
        "spec": {
            "remediationRequestRef": { "name": format!("rr-{name}") },
            "workflowRef": {
                "workflowId": "0b4a5a6e-0000-4000-8000-000000000001",
                "workflowName": "restart",
                "actionType": "RestartPod",
                "version": "1.0.0",
                "executionBundle": bundle,
                "executionEngine": "tekton",
            },
            "targetResource": target,
        },
    })
}

/// The status of a condition; empty when there is none of this type.
pub fn condition(status: &WorkflowExecutionStatus, kind: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    found.map_or_else(Default::default, |condition| {
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    })
}

/// Sends a signal to a process of the test.
pub fn signal(process: Option<u32>, signal: Signal) -> Result<()> {
    let process = i32::try_from(process.context("a process that runs")?)?;
    kill(Pid::from_raw(process), signal).with_context(|| format!("send {signal}"))
}
