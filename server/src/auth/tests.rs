use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use wfe_runtime::{clock::ManualClock, cluster::CallError};

use super::*;
use crate::testing::{at, mk_id, mk_key, mk_new};

const BRIDGE: &str = "bridge";

/// Says what the test says, and counts how often it was asked.
#[derive(Default)]
struct Scripted {
    rights: Mutex<BTreeSet<(&'static str, &'static str, &'static str)>>,
    users: Mutex<BTreeMap<String, String>>,
    away: Mutex<bool>,
    asked: AtomicUsize,
}

impl Scripted {
    fn with(rights: &[(&'static str, &'static str, &'static str)]) -> Arc<Self> {
        let this = Self::default();
        this.rights.lock().unwrap().extend(rights);
        for user in ["alice", BRIDGE] {
            this.users.lock().unwrap().insert(format!("token-of-{user}"), user.to_owned());
        }
        Arc::new(this)
    }

    fn answer<T>(&self, answer: T) -> Result<T, ReviewError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if *self.away.lock().unwrap() {
            let source = CallError::Unanswered(Duration::ZERO);
            return Err(ReviewError { review: "a review", source });
        }
        Ok(answer)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Reviewer for Scripted {
    async fn authenticate(&self, token: &Token) -> Result<Authentication, ReviewError> {
        tokio::task::yield_now().await;
        let user = self.users.lock().unwrap().get(token.expose()).cloned();
        self.answer(user.map_or(Authentication::Unknown, |user| {
            let (uid, groups, extra) = (None, Vec::new(), Vec::new());
            Authentication::Known(Arc::new(Identity { user, uid, groups, extra }))
        }))
    }

    async fn authorize(&self, who: &Identity, right: &Right) -> Result<Verdict, ReviewError> {
        tokio::task::yield_now().await;
        let has = self.rights.lock().unwrap().iter().any(|(user, verb, namespace)| {
            *user == who.user
                && *verb == right.verb.as_str()
                && *namespace == right.scope.namespace()
        });
        self.answer(if has { Verdict::Allowed } else { Verdict::Denied })
    }
}

fn mk_guard(reviewer: &Arc<Scripted>, lifetime: Duration) -> Guard {
    let bridges = [BRIDGE.to_owned()].into_iter().collect();
    let clock = Arc::new(ManualClock::new(at(0)));
    Guard::reviewed(Arc::clone(reviewer) as Arc<dyn Reviewer>, bridges, lifetime, clock)
}

fn with_token(text: &str) -> Shown {
    Shown { authorization: Authorization::Bearer(Token::new(text)), ..Shown::default() }
}

fn with_certificate(name: Option<&str>, not_after: i64) -> Shown {
    let certificate = Facts {
        common_name: name.map(ToOwned::to_owned),
        organizations: vec!["team".to_owned()],
        names: Vec::new(),
        not_before: at(-10),
        not_after: at(not_after),
    };
    Shown { certificate: Some(certificate), ..with_token("token-of-bridge") }
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_caller_is_who_the_certificate_says_else_who_the_token_says() {
    let guard = mk_guard(&Scripted::with(&[]), HOUR);
    let by_token = guard.admit(with_token("token-of-alice")).await.unwrap();
    assert_eq!(by_token.actor().user, "alice");
    assert_eq!(by_token.actor().method, AuthenticationMethod::Token);
    let by_certificate = guard.admit(with_certificate(Some("carol"), 10)).await.unwrap();
    let Actor { user, groups, method, .. } = by_certificate.actor();
    assert_eq!((user.as_str(), *method), ("carol", AuthenticationMethod::Certificate));
    assert_eq!(*groups, ["team", "system:authenticated"]);
}

#[tokio::test]
async fn whoever_is_not_known_is_told_what_is_missing() {
    let guard = mk_guard(&Scripted::with(&[]), HOUR);
    let malformed = Shown { authorization: Authorization::Malformed, ..Shown::default() };
    let table = [
        (Shown::default(), Unauthenticated::Nothing),
        (malformed, Unauthenticated::Malformed),
        (with_token("made up"), Unauthenticated::NotAccepted),
        (with_certificate(Some("carol"), -1), Unauthenticated::CertificateExpired),
        (with_certificate(None, 10), Unauthenticated::CertificateWithoutName),
        (with_certificate(Some(""), 10), Unauthenticated::CertificateWithoutName),
    ];
    for (shown, expected) in table {
        let refused = guard.admit(shown).await.unwrap_err();
        assert!(
            matches!(refused, AccessError::Unauthenticated(problem) if problem == expected),
            "{refused:?} is not {expected:?}"
        );
    }
}

#[tokio::test]
async fn a_right_in_the_cluster_or_in_the_namespace_is_enough() {
    let reviewer = Scripted::with(&[("alice", "cancel", "pay"), (BRIDGE, "cancel", "")]);
    let guard = mk_guard(&reviewer, HOUR);
    #[rustfmt::skip]
    let table = [
        ("alice", Verb::Cancel, "pay/deployment/api", Verdict::Allowed),
        ("alice", Verb::Cancel, "other/deployment/api", Verdict::Denied),
        ("alice", Verb::Cancel, "node/worker-1", Verdict::Denied),
        ("alice", Verb::Get, "pay/deployment/api", Verdict::Denied),
        (BRIDGE, Verb::Cancel, "pay/deployment/api", Verdict::Allowed),
        (BRIDGE, Verb::Cancel, "node/worker-1", Verdict::Allowed),
        (BRIDGE, Verb::ClearBlock, "pay/deployment/api", Verdict::Denied),
    ];
    for (user, verb, target, expected) in table {
        let access = guard.admit(with_token(&format!("token-of-{user}"))).await.unwrap();
        let key = mk_key(target);
        let scope = Scope::of_target(&key.target);
        let required = access.require(verb, scope, Subject::Target(Box::new(key))).await;
        assert_eq!(required.is_ok(), expected == Verdict::Allowed, "{user} {verb:?} {target}");
    }
}

#[tokio::test]
async fn an_answer_is_asked_for_once_and_no_answer_every_time() {
    let reviewer = Scripted::with(&[("alice", "get", "")]);
    let guard = mk_guard(&reviewer, HOUR);
    let calls = (0..20).map(|_| async {
        let access = guard.admit(with_token("token-of-alice")).await?;
        access.everywhere(Verb::Get).await
    });
    for verdict in futures::future::join_all(calls).await {
        assert_eq!(verdict.unwrap(), Verdict::Allowed);
    }
    assert_eq!(reviewer.asked(), 2, "one review of each kind for all callers");

    *reviewer.away.lock().unwrap() = true;
    let access = guard.admit(with_token("token-of-alice")).await.unwrap();
    for _ in 0..2 {
        let refused = access.everywhere(Verb::List).await.unwrap_err();
        assert!(matches!(refused, AccessError::Unavailable(_)), "{refused:?}");
    }
    assert_eq!(reviewer.asked(), 4);
    *reviewer.away.lock().unwrap() = false;
    assert_eq!(access.everywhere(Verb::List).await.unwrap(), Verdict::Denied);
}

#[tokio::test]
async fn a_stream_ends_when_the_right_or_the_token_is_gone() {
    let lifetime = Duration::from_millis(1);
    let reviewer = Scripted::with(&[("alice", "watch", "pay")]);
    let guard = mk_guard(&reviewer, lifetime);
    let access = guard.admit(with_token("token-of-alice")).await.unwrap();
    let new = mk_new(1, "pay/deployment/api", wfe_core::request::WhenLocked::Reject);
    let execution = mk_execution(&new);
    let renewal = access.renewal(Method::Watch, &execution);
    renewal.check().await.unwrap();

    reviewer.rights.lock().unwrap().clear();
    let ended = until_refused(&renewal).await;
    assert!(matches!(ended, AccessError::Denied { .. }), "{ended:?}");

    reviewer.rights.lock().unwrap().insert(("alice", "watch", "pay"));
    let renewal = access.renewal(Method::Watch, &execution);
    until_allowed(&renewal).await;
    reviewer.users.lock().unwrap().clear();
    let ended = until_refused(&renewal).await;
    assert!(matches!(ended, AccessError::Unauthenticated(_)), "{ended:?}");
}

async fn until_refused(renewal: &Renewal) -> AccessError {
    let refused = async {
        loop {
            if let Err(refused) = renewal.check().await {
                return refused;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.unwrap()
}

async fn until_allowed(renewal: &Renewal) {
    let allowed = async {
        while renewal.check().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), allowed).await.unwrap();
}

fn mk_execution(new: &wfe_core::start::NewExecution) -> Execution {
    Execution {
        id: mk_id(1),
        request: new.request.clone(),
        actor: new.actor.clone(),
        created_at: at(0),
        revision: wfe_core::ids::Revision(1),
        updated_at: at(0),
        clearance: None,
        state: wfe_core::execution::State::Cancelled {
            run: None,
            cancellation: wfe_core::execution::Cancellation::immediate(
                String::new(),
                new.actor.clone(),
                at(0),
            ),
            ended_at: at(0),
        },
    }
}

#[tokio::test]
async fn whom_somebody_acts_for_is_believed_of_a_bridge_alone() {
    let guard = mk_guard(&Scripted::with(&[]), HOUR);
    let somebody = || Some(OnBehalfOf { user: "bob".to_owned(), uid: None, groups: Vec::new() });
    let bridge = guard.admit(with_token("token-of-bridge")).await.unwrap();
    assert_eq!(bridge.acting_for(somebody()).unwrap().person(), "bob");
    let alice = guard.admit(with_token("token-of-alice")).await.unwrap();
    let refused = alice.acting_for(somebody()).unwrap_err();
    assert!(matches!(refused, AccessError::NotTrusted { .. }), "{refused:?}");
    assert_eq!(alice.acting_for(None).unwrap().person(), "alice");
}

#[tokio::test]
async fn without_authentication_everybody_is_nobody_in_particular_and_may_do_everything() {
    let shown = Shown { address: Some("127.0.0.1".to_owned()), ..with_token("made up") };
    let access = Guard::open().admit(shown).await.unwrap();
    assert_eq!(*access.actor(), Actor::anonymous(Some("127.0.0.1".to_owned())));
    assert_eq!(access.everywhere(Verb::ClearBlock).await.unwrap(), Verdict::Allowed);
}
