//! A server, and a bridge with its webhook, that serve one namespace alone; and people with rights of their own in it.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::FutureExt;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use wfe_crds::workflow_execution::{Phase, WorkflowExecution, WorkflowExecutionStatus};
pub(crate) use wfe_tests::objects::{condition, mk_object};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{
    Account, BridgeOptions, BridgeProcess, ControlPlane, Forward, Kubectl, Namespace,
    ServerProcess, crd,
};

/// The account that ends executions by their phase.
pub(crate) const ORCHESTRATOR: &str = "orchestrator";
/// May write statuses and clear blocks.
pub(crate) const ALICE: &str = "alice";
/// As alice.
pub(crate) const BOB: &str = "bob";
/// May write statuses, and nothing else.
pub(crate) const CAROL: &str = "carol";

/// What is asked for when nothing is wrong with it.
pub(crate) const REASON: &str = "looked at it by hand, all is well";

const BRIDGE: &str = "bridge";

pub(crate) struct Setup {
    pub(crate) namespace: Namespace,
    pub(crate) server: ServerProcess,
    /// The address of the server that the bridge knows.
    pub(crate) service: Forward,
    pub(crate) bridge: BridgeProcess,
    pub(crate) kubectl: Kubectl,
    configurations: Api<MutatingWebhookConfiguration>,
}

/// Runs a test. When it fails, what is known is printed.
pub(crate) async fn with_webhook(
    plane: &ControlPlane,
    test: impl AsyncFnOnce(&mut Setup) -> Result<()>,
) -> Result<()> {
    let client = plane.client().await?;
    crd::apply(&client).await?;
    Namespace::with(client, async |namespace| {
        // What is cluster-wide is removed whatever becomes of the rest.
        let played = AssertUnwindSafe(play(plane, namespace, test)).catch_unwind().await;
        let (client, params) = (namespace.client().clone(), DeleteParams::default());
        let configurations = Api::<MutatingWebhookConfiguration>::all(client.clone());
        let bindings = Api::<ClusterRoleBinding>::all(client);
        let gone = [
            configurations.delete(namespace.name(), &params).await.map(drop),
            bindings.delete(namespace.name(), &params).await.map(drop),
        ];
        let emptied = empty(namespace).await;
        played.unwrap_or_else(|panic| resume_unwind(panic))?;
        for gone in gone {
            gone?;
        }
        emptied
    })
    .await
}

async fn play(
    plane: &ControlPlane,
    namespace: &Namespace,
    test: impl AsyncFnOnce(&mut Setup) -> Result<()>,
) -> Result<()> {
    let (client, name) = (namespace.client().clone(), namespace.name());
    let bridge = accounts(namespace).await?;
    // The others would hold up tests that are not about them.
    let gates = ["--gate-block=enforce"];
    let server = ServerProcess::start_with_arguments(plane, name, &gates).await?;
    let service = Forward::start().await?;
    service.point_to(Some(server.addresses().grpc));
    let directory = tempfile::tempdir()?;
    let kubeconfig = bridge.kubeconfig(plane, directory.path()).await?;
    let (secret, orchestrator) =
        (format!("{name}/webhook"), Account::new(name, ORCHESTRATOR).username());
    let options = BridgeOptions::new(plane, service.address(), name).with(&[
        "--webhook-address",
        "127.0.0.1:0",
        "--webhook-secret",
        &secret,
        "--webhook-names",
        "127.0.0.1",
        "--webhook-configuration",
        name,
        "--cancellers",
        &orchestrator,
    ]);
    let bridge = BridgeProcess::start(BridgeOptions { kubeconfig, ..options }).await?;
    bridge.until_ready().await?;
    let kubectl = Kubectl::new(plane, name);
    let mut setup = Setup {
        namespace: namespace.clone(),
        server,
        service,
        bridge,
        kubectl,
        configurations: Api::all(client),
    };
    setup.call_the_webhook().await?;
    let tested = AssertUnwindSafe(test(&mut setup)).catch_unwind().await;
    if !matches!(tested, Ok(Ok(()))) {
        setup.describe().await;
    }
    tested.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Makes the account of the bridge, which may do everything, and the people of the test.
async fn accounts(namespace: &Namespace) -> Result<Account> {
    let (client, name) = (namespace.client().clone(), namespace.name());
    let params = PostParams::default();
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), name);
    for account in [BRIDGE, ORCHESTRATOR] {
        let account = json!({ "metadata": { "name": account } });
        accounts.create(&params, &serde_json::from_value(account)?).await?;
    }
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": BRIDGE, "namespace": name }],
    });
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings.create(&params, &serde_json::from_value(binding)?).await?;
    let roles = Api::<Role>::namespaced(client.clone(), name);
    let bindings = Api::<RoleBinding>::namespaced(client, name);
    let statuses = json!({
        "apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions", "workflowexecutions/status"],
        "verbs": ["get", "update", "patch"],
    });
    let clears = json!({
        "apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions"], "verbs": ["clearblock"],
    });
    let people: Vec<Value> = [ALICE, BOB]
        .into_iter()
        .map(str::to_owned)
        .chain((0..10).map(person))
        .map(|name| json!({ "apiGroup": group, "kind": "User", "name": name }))
        .collect();
    let others = [
        json!({ "apiGroup": group, "kind": "User", "name": CAROL }),
        json!({ "kind": "ServiceAccount", "name": ORCHESTRATOR, "namespace": name }),
    ];
    for (role, rules, subjects) in [
        ("writes", vec![&statuses], [&people[..], &others].concat()),
        ("clears", vec![&clears], people.clone()),
    ] {
        let object = json!({ "metadata": { "name": role }, "rules": rules });
        roles.create(&params, &serde_json::from_value(object)?).await?;
        let object = json!({
            "metadata": { "name": role },
            "roleRef": { "apiGroup": group, "kind": "Role", "name": role },
            "subjects": subjects,
        });
        bindings.create(&params, &serde_json::from_value(object)?).await?;
    }
    Ok(Account::new(name, BRIDGE))
}

/// One of ten more people with the rights of alice.
pub(crate) fn person(number: usize) -> String {
    format!("person-{number}")
}

impl Setup {
    pub(crate) fn objects(&self) -> Api<WorkflowExecution> {
        Api::namespaced(self.namespace.client().clone(), self.namespace.name())
    }

    /// Who the orchestrator is for the API server.
    pub(crate) fn orchestrator(&self) -> String {
        Account::new(self.namespace.name(), ORCHESTRATOR).username()
    }

    /// Lets the API server call this bridge's webhook for this namespace; returns when it does.
    async fn call_the_webhook(&self) -> Result<()> {
        let address = self.bridge.webhook().context("a webhook")?;
        let (name, bridge) = (self.namespace.name(), Account::new(self.namespace.name(), BRIDGE));
        let configuration = json!({
            "metadata": { "name": name },
            "webhooks": [{
                "name": "status.wfe-bridge.kubernaut.ai",
                "clientConfig": { "url": format!(
                    "https://{address}/mutate/kubernaut.ai/v1alpha1/workflowexecutions/status"
                ) },
                "rules": [{
                    "apiGroups": ["kubernaut.ai"], "apiVersions": ["v1alpha1"],
                    "operations": ["UPDATE"], "resources": ["workflowexecutions/status"],
                }],
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } },
                "matchConditions": [{
                    "name": "not-the-bridge",
                    "expression": format!("request.userInfo.username != '{}'", bridge.username()),
                }],
                "failurePolicy": "Fail",
                "sideEffects": "NoneOnDryRun",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 5,
            }],
        });
        let params = PostParams::default();
        self.configurations.create(&params, &serde_json::from_value(configuration)?).await?;
        self.apply(&mk_object("probe", "registry.invalid/none:v1", "default/pod/probe")).await?;
        self.until_refused_by("by the bridge alone").await
    }

    /// Waits until a stranger's change of a status is refused with these words.
    pub(crate) async fn until_refused_by(&self, words: &str) -> Result<()> {
        let nonsense = r#"{"status":{"workflowName":"nonsense"}}"#;
        eventually(PATIENCE, &format!("refused: {words}"), async || {
            let patched = self.patch(CAROL, "probe", nonsense, &["--dry-run=server"]).await;
            match patched {
                Err(error) if error.to_string().contains(words) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Lets the API server call something else, or nothing.
    pub(crate) async fn point_the_webhook_to(&self, url: &str) -> Result<()> {
        let patch = json!([{
            "op": "replace", "path": "/webhooks/0/clientConfig/url", "value": url,
        }]);
        let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
        let params = PatchParams::default();
        self.configurations.patch(self.namespace.name(), &params, &patch).await?;
        Ok(())
    }

    /// Takes the webhook out of the API server's way; returns when it is.
    pub(crate) async fn remove_the_webhook(&self) -> Result<()> {
        let nothing = json!([{ "op": "replace", "path": "/webhooks", "value": [] }]);
        let patch = Patch::Json::<()>(serde_json::from_value(nothing)?);
        let params = PatchParams::default();
        self.configurations.patch(self.namespace.name(), &params, &patch).await?;
        let nonsense = r#"{"status":{"workflowName":"nonsense"}}"#;
        eventually(PATIENCE, "nobody is asked", async || {
            let patched = self.patch(CAROL, "probe", nonsense, &["--dry-run=server"]).await;
            patched.map(drop).map_err(|error| format!("{error:#}"))
        })
        .await
    }

    /// Applies one WorkflowExecution with kubectl.
    pub(crate) async fn apply(&self, object: &Value) -> Result<()> {
        self.kubectl.apply(&object.to_string()).await.map(drop)
    }

    pub(crate) async fn status(&self, name: &str) -> Result<WorkflowExecutionStatus> {
        Ok(self.objects().get(name).await?.status.unwrap_or_default())
    }

    /// Patches a status as somebody, as people do.
    pub(crate) async fn patch(
        &self,
        who: &str,
        name: &str,
        patch: &str,
        more: &[&str],
    ) -> Result<String> {
        let patching = ["patch", "wfe", name, "--subresource=status", "--type=merge", "-p", patch];
        self.kubectl.run(&[&["--as", who], &patching[..], more].concat()).await
    }

    /// What somebody is told whose patch of a status is refused.
    pub(crate) async fn refused(
        &self,
        who: &str,
        name: &str,
        patch: &str,
        more: &[&str],
    ) -> Result<String> {
        let patching = ["patch", "wfe", name, "--subresource=status", "--type=merge", "-p", patch];
        self.kubectl.refused(&[&["--as", who], &patching[..], more].concat(), "").await
    }

    /// Waits until the status is as it should be, and answers it.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&WorkflowExecutionStatus) -> bool,
    ) -> Result<WorkflowExecutionStatus> {
        eventually(PATIENCE, &format!("{name}: {what}"), || async {
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
        let over = |status: &WorkflowExecutionStatus| status.completion_time.is_some();
        let is_so = |status: &WorkflowExecutionStatus| {
            over(status) || status.phase.as_ref() == Some(&phase)
        };
        let status = self.until(name, &format!("{phase}"), is_so).await?;
        ensure!(status.phase == Some(phase.clone()), "{name} is not {phase}: {status:#?}");
        Ok(status)
    }

    /// The events about an object with this reason, as type and note, in the order of their time.
    pub(crate) async fn events(&self, name: &str, reason: &str) -> Result<Vec<String>> {
        let api = Api::<Event>::namespaced(self.namespace.client().clone(), self.namespace.name());
        let mut events: Vec<Event> = api.list(&ListParams::default()).await?.items;
        events.retain(|event| {
            event.reason.as_deref() == Some(reason)
                && event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name)
        });
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let text = |event: Event| {
            let kind = event.type_.unwrap_or_default();
            format!("{kind}: {}", event.note.unwrap_or_default())
        };
        Ok(events.into_iter().map(text).collect())
    }

    /// Waits until there is an event with this reason whose note contains these words.
    pub(crate) async fn until_event(&self, name: &str, reason: &str, words: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{name}: {reason}: {words}"), async || {
            let events = self.events(name, reason).await.map_err(|error| format!("{error:#}"))?;
            let found = events.iter().any(|note| note.contains(words));
            if found { Ok(()) } else { Err(format!("{events:#?}")) }
        })
        .await
    }

    /// How often the webhook of the bridge has answered so.
    pub(crate) async fn reviews(&self, verdict: &str) -> Result<u64> {
        let name = format!("wfe_bridge_webhook_review_seconds_count{{verdict=\"{verdict}\"}} ");
        let metrics = self.bridge.metrics().await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(value.with_context(|| format!("{name}in\n{metrics}"))?.parse()?)
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
}

/// Removes what is left, so that the namespace can go: a finalizer whose bridge is gone would hold it for ever.
async fn empty(namespace: &Namespace) -> Result<()> {
    let objects =
        Api::<WorkflowExecution>::namespaced(namespace.client().clone(), namespace.name());
    objects.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    for object in objects.list(&ListParams::default()).await? {
        let nothing = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        match objects.patch(&object.name_any(), &PatchParams::default(), &nothing).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => bail!(error),
        }
    }
    eventually(Duration::from_secs(20), "the objects are gone", || async {
        let left = objects.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        if left.items.is_empty() { Ok(()) } else { Err(format!("{} left", left.items.len())) }
    })
    .await
}

/// A request to clear, as a merge patch.
pub(crate) fn asking(request: &Value) -> String {
    json!({ "status": { "blockClearanceRequest": request } }).to_string()
}
