//! Every stable error code has a page, and the pages say what the service does.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tonic_types::StatusExt as _;
use uuid::Uuid;
use wfe_core::{
    access::Verb,
    actor::Actor,
    audit::Position,
    execution::{Closed, Hold},
    gates::BlockReason,
    ids::{ClusterId, ExecutionId},
    invalid::Violations,
    target::TargetKey,
    withdraw::Withdrawal,
};
use wfe_runtime::cluster::CallError;
use wfe_server::{
    audit::Doubt,
    auth::{AccessError, ReviewError, Subject, Unauthenticated},
    error::{Code, ServiceError},
    grpc::to_status,
    store::StoreError,
};

fn pages() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors"))
}

fn page(code: Code) -> String {
    let file = pages().join(format!("{}.md", code.as_str()));
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn index() -> String {
    fs::read_to_string(pages().join("README.md")).unwrap()
}

/// The gRPC status that a page names.
fn named_status(page: &str) -> &str {
    let line = page.lines().find_map(|line| line.strip_prefix("gRPC status: `"));
    line.and_then(|rest| rest.strip_suffix('`')).unwrap_or("none")
}

/// A code as gRPC writes it: `InvalidArgument` is `INVALID_ARGUMENT`.
fn screaming(code: tonic::Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// One error of each kind that a handler can answer.
fn errors() -> Vec<ServiceError> {
    let id = ExecutionId::new(Uuid::from_u128(1));
    let target =
        TargetKey { cluster: ClusterId::local(), target: "node/worker-1".parse().unwrap() };
    let closed = |why| {
        let hold = Hold { why, message: "it is closed".to_owned() };
        let left = hold.until().map(|_| Duration::from_secs(7));
        ServiceError::GateClosed { target: Box::new(target.clone()), hold: Box::new(hold), left }
    };
    let until = Timestamp::UNIX_EPOCH;
    let alice = Actor { user: "alice".to_owned(), ..Actor::anonymous(None) };
    let row = |table| StoreError::Inconsistent {
        table,
        row: "1".to_owned(),
        column: "state",
        problem: "unknown".to_owned(),
    };
    vec![
        Violations::one("target", "is required").into(),
        ServiceError::no_execution(id),
        closed(Closed::Lock { holder: Some(id) }),
        closed(Closed::Cooldown { cause: id, until }),
        closed(Closed::Backoff { cause: id, until }),
        closed(Closed::Block { cause: id, reason: BlockReason::PreviousExecutionFailed }),
        closed(Closed::Block { cause: id, reason: BlockReason::RetriesExhausted }),
        ServiceError::NotBlocked { target: Box::new(target.clone()) },
        ServiceError::BlockChanged { target: Box::new(target.clone()), blocking: id },
        ServiceError::RequestIdReused { request_id: "r-1".to_owned(), field: "target" },
        ServiceError::RequestWithdrawn(Box::new(Withdrawal {
            request_id: "r-1".parse().unwrap(),
            reason: "its object was deleted".to_owned(),
            actor: Actor::anonymous(None),
            at: Timestamp::UNIX_EPOCH,
        })),
        ServiceError::CursorAhead { id, asked: 9, newest: 7 },
        ServiceError::LogCursorAhead { asked: 9, newest: 7 },
        ServiceError::CursorExpired { asked: 3, oldest: 7 },
        ServiceError::LogDamaged(Doubt::Missing(Position(3))),
        ServiceError::NotAvailable { feature: "an export of the log" },
        ServiceError::StoreUnavailable(row("executions")),
        ServiceError::ClusterUnavailable,
        ServiceError::AuditLagging {
            lag: Duration::from_hours(2),
            allowed: Duration::from_hours(1),
        },
        ServiceError::Draining { cursor: 7 },
        AccessError::from(Unauthenticated::Nothing).into(),
        AccessError::Denied {
            actor: Box::new(alice.clone()),
            verb: Verb::Cancel,
            subject: Subject::Execution(id),
        }
        .into(),
        AccessError::NotTrusted { actor: Box::new(alice) }.into(),
        AccessError::Unavailable(Arc::new(ReviewError {
            review: "TokenReview",
            source: CallError::Unanswered(Duration::from_secs(10)),
        }))
        .into(),
        ServiceError::Internal(Box::new(row("executions"))),
    ]
}

#[test]
fn the_pages_are_those_of_the_codes() {
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    let pages: BTreeSet<String> = fs::read_dir(pages())
        .unwrap()
        .filter_map(|entry| {
            Some(entry.unwrap().file_name().to_str()?.strip_suffix(".md")?.to_owned())
        })
        .filter(|name| name != "README")
        .collect();
    assert_eq!(codes, pages);
}

#[test]
fn each_page_opens_with_its_code_and_names_a_grpc_status() {
    let known: Vec<String> =
        (0..=16).map(|number| screaming(tonic::Code::from_i32(number))).collect();
    for code in Code::ALL {
        let page = page(code);
        assert!(page.starts_with(&format!("# {}\n", code.as_str())), "{code:?}");
        let status = named_status(&page).to_owned();
        assert!(known.contains(&status), "{code:?}: {status}");
    }
}

#[test]
fn the_index_has_every_page_with_the_status_that_the_page_names() {
    let index = index();
    for code in Code::ALL {
        let (name, page) = (code.as_str(), page(code));
        let entry = format!("| [{name}]({name}.md) | `{}` |", named_status(&page));
        assert!(index.contains(&entry), "{entry}");
    }
}

#[test]
fn an_error_has_the_status_and_the_reason_of_its_page() {
    let answered: BTreeSet<&str> = errors().iter().map(|error| error.code().as_str()).collect();
    // These two are given to what tonic refuses before a handler is reached.
    let before_a_handler = [Code::MessageTooLarge, Code::Malformed].map(Code::as_str);
    let all: BTreeSet<&str> = Code::ALL.map(Code::as_str).into();
    assert_eq!(answered.union(&before_a_handler.into()).copied().collect::<BTreeSet<_>>(), all);

    for error in errors() {
        let (code, status) = (error.code(), to_status(&error));
        assert_eq!(screaming(status.code()), named_status(&page(code)), "{code:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (code.as_str(), "execution.kubernaut.ai")
        );
    }
}

#[test]
fn a_page_mentions_every_kind_of_detail_that_its_error_carries() {
    for error in errors() {
        let (code, details) = (error.code(), to_status(&error).get_error_details());
        let page = page(code);
        let carried = [
            ("BadRequest", details.bad_request().is_some()),
            ("ResourceInfo", details.resource_info().is_some()),
            ("RetryInfo", details.retry_info().is_some()),
            ("PreconditionFailure", details.precondition_failure().is_some()),
        ];
        for (kind, carried) in carried {
            assert_eq!(page.contains(&format!("`{kind}`")), carried, "{code:?}: {kind}");
        }
        let metadata = details.error_info().map(|info| info.metadata.clone()).unwrap_or_default();
        for key in metadata.keys() {
            assert!(page.contains(&format!("`{key}`")), "{code:?}: {key}");
        }
    }
}
