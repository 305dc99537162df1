//! A server that tells its callers apart, accounts with rights, and every call.

use std::path::PathBuf;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use tonic::{Code, Status};
use wfe_proto::v1;
use wfe_runtime::grpc::Bearer;
use wfe_tests::server::Client;
use wfe_tests::{Account, ControlPlane, Namespace, ServerProcess, access};

/// Every verb that the server asks about.
pub(crate) const ALL: [&str; 6] = ["create", "get", "list", "watch", "cancel", "clearblock"];

/// A server, its authorities, and the namespace of everything.
pub(crate) struct Guarded<'a> {
    pub(crate) plane: &'a ControlPlane,
    pub(crate) namespace: &'a Namespace,
    pub(crate) server: ServerProcess,
    pub(crate) ca: PathBuf,
    pub(crate) directory: tempfile::TempDir,
}

impl<'a> Guarded<'a> {
    /// Whose bridge is the account `bridge` of the namespace.
    pub(crate) async fn start(plane: &'a ControlPlane, namespace: &'a Namespace) -> Result<Self> {
        Self::start_with(plane, namespace, &[]).await
    }

    pub(crate) async fn start_with(
        plane: &'a ControlPlane,
        namespace: &'a Namespace,
        more: &[&str],
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let secret = format!("{}/tls", namespace.name());
        let bridge = Account::new(namespace.name(), "bridge").username();
        let flags = [&access::server_flags(&secret, &bridge)[..], more].concat();
        let kubeconfig = plane.kubeconfig();
        let server = ServerProcess::start_as(kubeconfig, namespace.name(), &flags).await?;
        let ca = access::authorities(namespace.client(), &secret, directory.path()).await?;
        Ok(Self { plane, namespace, server, ca, directory })
    }

    /// A client with this token.
    pub(crate) fn client(&self, bearer: Bearer) -> Result<Client> {
        self.server.secure_client(access::trusting(&self.ca), bearer)
    }

    /// A client of an account.
    pub(crate) async fn client_of(&self, account: &Account) -> Result<Client> {
        self.client(access::bearer(self.plane, account).await?)
    }

    /// A new account of the namespace.
    pub(crate) async fn account(&self, name: &str) -> Result<Account> {
        let account = ServiceAccount {
            metadata: kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
            ..ServiceAccount::default()
        };
        let (client, namespace) = (self.namespace.client().clone(), self.namespace.name());
        let accounts = Api::<ServiceAccount>::namespaced(client, namespace);
        accounts.create(&PostParams::default(), &account).await?;
        Ok(Account::new(namespace, name))
    }

    /// Gives a subject these verbs in a namespace.
    pub(crate) async fn grant(
        &self,
        namespace: &Namespace,
        subject: &Subject,
        verbs: &[&str],
    ) -> Result<()> {
        let name = subject.slug();
        let role = json!({ "metadata": { "name": name }, "rules": [rule(verbs)] });
        let binding = json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": RBAC, "kind": "Role", "name": name },
            "subjects": [subject.json()],
        });
        let (client, params) = (namespace.client().clone(), PostParams::default());
        let roles = Api::<Role>::namespaced(client.clone(), namespace.name());
        roles.create(&params, &serde_json::from_value(role)?).await?;
        let bindings = Api::<RoleBinding>::namespaced(client, namespace.name());
        bindings.create(&params, &serde_json::from_value(binding)?).await?;
        Ok(())
    }

    /// Takes from a subject what it was given in a namespace.
    pub(crate) async fn revoke(&self, namespace: &Namespace, subject: &Subject) -> Result<()> {
        let client = namespace.client().clone();
        let bindings = Api::<RoleBinding>::namespaced(client, namespace.name());
        bindings.delete(&subject.slug(), &DeleteParams::default()).await?;
        Ok(())
    }

    /// Gives a subject these verbs in the whole cluster while `during` goes on.
    pub(crate) async fn everywhere<T>(
        &self,
        subject: &Subject,
        verbs: &[&str],
        during: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<T> {
        let name = format!("{}-{}", self.namespace.name(), subject.slug());
        let role = json!({ "metadata": { "name": name }, "rules": [rule(verbs)] });
        let binding = json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": name },
            "subjects": [subject.json()],
        });
        let (client, params) = (self.namespace.client().clone(), PostParams::default());
        let roles = Api::<ClusterRole>::all(client.clone());
        roles.create(&params, &serde_json::from_value(role)?).await?;
        let bindings = Api::<ClusterRoleBinding>::all(client);
        bindings.create(&params, &serde_json::from_value(binding)?).await?;
        let done = during().await;
        bindings.delete(&name, &DeleteParams::default()).await?;
        roles.delete(&name, &DeleteParams::default()).await?;
        done
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

fn rule(verbs: &[&str]) -> serde_json::Value {
    json!({ "apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions"], "verbs": verbs })
}

/// Who is given a right.
pub(crate) enum Subject {
    Account(Account),
    User(String),
    Group(String),
}

impl Subject {
    fn slug(&self) -> String {
        match self {
            Self::Account(account) => account.name.clone(),
            Self::User(name) | Self::Group(name) => name.clone(),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Self::Account(Account { namespace, name }) => {
                json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
            }
            Self::User(name) => json!({ "apiGroup": RBAC, "kind": "User", "name": name }),
            Self::Group(name) => json!({ "apiGroup": RBAC, "kind": "Group", "name": name }),
        }
    }
}

pub(crate) fn mk_start(bundle: &str, request_id: &str, target: &str) -> v1::StartRequest {
    let workflow = v1::BundleWorkflow { reference: bundle.to_owned(), ..Default::default() };
    v1::StartRequest {
        request_id: request_id.to_owned(),
        target: target.to_owned(),
        workflow: Some(v1::start_request::Workflow::Bundle(workflow)),
        ..v1::StartRequest::default()
    }
}

pub(crate) async fn start(client: &mut Client, request: v1::StartRequest) -> Result<v1::Execution> {
    client.start(request).await?.into_inner().execution.context("an execution")
}

pub(crate) fn mk_get(id: &str) -> v1::GetRequest {
    v1::GetRequest { key: Some(v1::get_request::Key::ExecutionId(id.to_owned())) }
}

pub(crate) fn mk_watch(id: &str) -> v1::WatchRequest {
    let scope = Some(v1::watch_request::Scope::ExecutionId(id.to_owned()));
    v1::WatchRequest { scope, after: None }
}

/// Makes a call about an execution of `target`, and answers how it went. A List that holds nothing is denied.
pub(crate) async fn call(client: &mut Client, call: &str, id: &str, target: &str) -> Code {
    fn code<T>(answer: Result<T, Status>) -> Code {
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    }
    match call {
        "Start" => {
            let request = mk_start("registry.example/any:v1", "another", target);
            code(client.start(v1::StartRequest { validate_only: true, ..request }).await)
        }
        "Get" => code(client.get(mk_get(id)).await),
        "GetTarget" => {
            let target = target.to_owned();
            let request = v1::GetTargetRequest { target, ..v1::GetTargetRequest::default() };
            code(client.get_target(request).await)
        }
        "ListEvents" => {
            let execution_id = id.to_owned();
            let request =
                v1::ListEventsRequest { execution_id, ..v1::ListEventsRequest::default() };
            code(client.list_events(request).await)
        }
        "Watch" => code(client.watch(mk_watch(id)).await),
        "Cancel" => {
            let (execution_id, reason) = (id.to_owned(), "a test".to_owned());
            let request = v1::CancelRequest { execution_id, reason, ..Default::default() };
            code(client.cancel(request).await)
        }
        "ClearBlock" => {
            let (target, reason) = (target.to_owned(), "looked at it, it is fine".to_owned());
            let request = v1::ClearBlockRequest { target, reason, ..Default::default() };
            code(client.clear_block(request).await)
        }
        "List" => match client.list(v1::ListRequest::default()).await {
            Ok(listed) if listed.get_ref().executions.is_empty() => Code::PermissionDenied,
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        },
        other => panic!("{other} is no call"),
    }
}

/// Whether a call was let through: what is said about the target or the block comes after that.
pub(crate) fn let_through(code: Code) -> bool {
    const THROUGH: [Code; 4] =
        [Code::Ok, Code::Aborted, Code::FailedPrecondition, Code::Unimplemented];
    let through = THROUGH.contains(&code);
    assert!(through || code == Code::PermissionDenied, "{code:?} says neither");
    through
}
