//! A service whose callers are told apart by a reviewer that the test scripts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use wfe_proto::v1::{self, execution_service_client::ExecutionServiceClient};
use wfe_runtime::cluster::CallError;
use wfe_server::{
    auth::{Authentication, Guard, Identity, ReviewError, Reviewer, Right, Token, Verdict},
    clock::SystemClock,
};

use crate::support::*;

pub(crate) const BRIDGE: &str = "system:serviceaccount:kubernaut-system:wfe-bridge";

pub(crate) type Grant = (&'static str, &'static str, &'static str);

/// Says what the test says: whose token it is, and who may do what where.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) tokens: BTreeMap<String, String>,
    pub(crate) grants: BTreeSet<Grant>,
    pub(crate) away: bool,
}

pub(crate) struct Scripted(Arc<Mutex<Script>>);

pub(crate) fn answer<T>(script: &Script, answer: T) -> Result<T, ReviewError> {
    let source = CallError::Unanswered(Duration::ZERO);
    if script.away { Err(ReviewError { review: "a review", source }) } else { Ok(answer) }
}

#[tonic::async_trait]
impl Reviewer for Scripted {
    async fn authenticate(&self, token: &Token) -> Result<Authentication, ReviewError> {
        let script = self.0.lock().unwrap();
        let user = script.tokens.get(token.expose()).cloned();
        let known = user.map(|user| {
            let (uid, groups) = (Some("uid-1".to_owned()), vec!["people".to_owned()]);
            Authentication::Known(Arc::new(Identity { user, uid, groups, extra: Vec::new() }))
        });
        answer(&script, known.unwrap_or(Authentication::Unknown))
    }

    async fn authorize(&self, who: &Identity, right: &Right) -> Result<Verdict, ReviewError> {
        let script = self.0.lock().unwrap();
        let has = script.grants.iter().any(|(user, verb, namespace)| {
            who.user == *user
                && right.verb.as_str() == *verb
                && right.scope.namespace() == *namespace
        });
        answer(&script, if has { Verdict::Allowed } else { Verdict::Denied })
    }
}

/// Puts a token into each call.
#[derive(Clone)]
pub(crate) struct With(Option<String>);

impl Interceptor for With {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        Ok(request)
    }
}

pub(crate) type Caller = ExecutionServiceClient<InterceptedService<Channel, With>>;

pub(crate) struct Guarded {
    pub(crate) stack: Stack,
    pub(crate) script: Arc<Mutex<Script>>,
}

pub(crate) const ALL: [&str; 6] = ["create", "get", "list", "watch", "cancel", "clearblock"];

impl Guarded {
    /// `root` may do everything everywhere, and so may the bridge; `grants` are those of others. What
    /// the reviewer says is believed for a millisecond.
    pub(crate) async fn start(grants: &[Grant]) -> Self {
        let mut script = Script { grants: grants.iter().copied().collect(), ..Script::default() };
        for user in ["root", "alice", "bob", BRIDGE] {
            script.tokens.insert(format!("token-of-{user}"), user.to_owned());
        }
        script.grants.extend(ALL.map(|verb| ("root", verb, "")));
        script.grants.extend(ALL.map(|verb| (BRIDGE, verb, "")));
        let script = Arc::new(Mutex::new(script));
        let guard = Guard::reviewed(
            Arc::new(Scripted(Arc::clone(&script))),
            [BRIDGE.to_owned()].into_iter().collect(),
            Duration::from_millis(1),
            Arc::new(SystemClock),
        );
        let this = Self { stack: Stack::guarded(guard).await, script };
        let mut root = this.caller("root").await;
        eventually("the watches are complete", async || {
            let request =
                v1::StartRequest { validate_only: true, ..mk_start("probe", "pod/probe") };
            root.start(request).await.ok().map(|_| ())
        })
        .await;
        this
    }

    pub(crate) async fn with(&self, authorization: Option<String>) -> Caller {
        let channel = self.stack.channel().await;
        ExecutionServiceClient::with_interceptor(channel, With(authorization))
    }

    pub(crate) async fn caller(&self, user: &str) -> Caller {
        self.with(Some(format!("Bearer token-of-{user}"))).await
    }

    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Script)) {
        edit(&mut self.script.lock().unwrap());
    }

    /// Starts something that does not end by itself, as this user.
    pub(crate) async fn begin(&self, user: &str, request: v1::StartRequest) -> v1::Execution {
        let mut caller = self.caller(user).await;
        caller.start(request).await.unwrap().into_inner().execution.unwrap()
    }
}

pub(crate) fn mk_endless(request_id: &str, target: &str) -> v1::StartRequest {
    mk_start_of("never-ends", request_id, target)
}

/// As a bridge starts it for an object in `namespace`.
pub(crate) fn mk_from(namespace: &str, request_id: &str, target: &str) -> v1::StartRequest {
    let name = "an-object".to_owned();
    let source = v1::Source { namespace: namespace.to_owned(), name, uid: String::new() };
    v1::StartRequest { source: Some(source), ..mk_endless(request_id, target) }
}
