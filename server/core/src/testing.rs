//! Builders for the tests of this crate.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    actor::Actor,
    execution::{
        CancelMode, Cancellation, Closed, CreatedRun, Execution, Hold, PlannedRun, RunRef, State,
        StateCode, Stop,
    },
    failure::{Failure, FailureReason},
    ids::{ClusterId, Epoch, ExecutionId, Revision},
    lock::{Holder, TargetState},
    parameter::{DigestValues, Parameter, SealedValue, ValueDigest},
    progress::Progress,
    request::StartRequest,
    stuck::{Stuck, StuckOn, Wait},
    target::TargetKey,
    workflow::{BundleWorkflow, InlineWorkflow, StepDraft},
};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn mk_id(n: u128) -> ExecutionId {
    ExecutionId::new(Uuid::from_u128(n))
}

pub(crate) fn mk_key(target: &str) -> TargetKey {
    TargetKey { cluster: ClusterId::local(), target: target.parse().unwrap() }
}

/// One step that does nothing, as a workflow of its own.
pub(crate) fn mk_inline(name: &str) -> InlineWorkflow {
    let step = StepDraft {
        name: name.to_owned(),
        image: "registry.example/tools/kubectl:1.34".to_owned(),
        script: "true".to_owned(),
        ..StepDraft::default()
    };
    InlineWorkflow::new(vec![step], 0).unwrap()
}

pub(crate) fn mk_request(request_id: &str, target: &str) -> StartRequest {
    let workflow = BundleWorkflow::new("registry.example/wfe/restart:v1", "", "").unwrap();
    StartRequest::new(request_id.parse().unwrap(), workflow, mk_key(target), target)
}

/// A target that one holds under an epoch, since the beginning.
pub(crate) fn mk_held(n: u128, epoch: u64) -> TargetState {
    let holder = Some(Holder { execution: mk_id(n), since: at(0) });
    TargetState { epoch: Epoch(epoch), holder, ..TargetState::unused(mk_key("pod/x")) }
}

pub(crate) fn mk_planned(epoch: u64) -> PlannedRun {
    PlannedRun::new(&mk_key("pod/x"), Epoch(epoch), at(0))
}

pub(crate) fn mk_created(epoch: u64) -> CreatedRun {
    CreatedRun {
        planned: mk_planned(epoch),
        uid: "uid-1".to_owned(),
        created_at: at(1),
        progress: Progress::default(),
    }
}

pub(crate) fn mk_cancellation() -> Cancellation {
    Cancellation::immediate("not needed".to_owned(), Actor::anonymous(None), at(2))
}

/// A request to stop that gives time until second 100, when its mode gives any.
pub(crate) fn mk_cancel(mode: CancelMode) -> Cancellation {
    let escalate_at = mode.gives_time().then(|| at(100));
    Cancellation { mode, escalate_at, ..mk_cancellation() }
}

pub(crate) fn mk_failure() -> Failure {
    Failure::before_execution(
        FailureReason::Unknown,
        "Raw",
        "it broke",
        "It broke.".to_owned(),
        at(3),
    )
}

/// A wait of task `a`, since second 5.
pub(crate) fn mk_stuck(on: StuckOn) -> Stuck {
    let wait = Wait {
        on,
        task: Some("a".to_owned()),
        task_run: Some("run-a".to_owned()),
        step: None,
        raw_reason: "RawReason".to_owned(),
        message: "no room".to_owned(),
        began: None,
    };
    Stuck { wait, since: at(5) }
}

pub(crate) fn mk_hold() -> Hold {
    Hold { why: Closed::Lock { holder: None }, message: "held".to_owned() }
}

pub(crate) fn mk_state(code: StateCode) -> State {
    let run = mk_created(1);
    match code {
        StateCode::Waiting => State::Waiting { hold: mk_hold() },
        StateCode::Starting => State::Starting { run: mk_planned(1), obstacle: None },
        StateCode::Running => State::Running { run },
        StateCode::Cancelling => State::Cancelling {
            run: RunRef::Created(run),
            stop: Stop::Requested(mk_cancellation()),
            obstacle: None,
        },
        StateCode::Succeeded => State::Succeeded { run, late_cancel: None, ended_at: at(4) },
        StateCode::Failed => State::Failed {
            run: Some(RunRef::Created(run)),
            failure: mk_failure(),
            late_cancel: None,
            ended_at: at(4),
        },
        StateCode::Cancelled => State::Cancelled {
            run: Some(RunRef::Created(run)),
            cancellation: mk_cancellation(),
            ended_at: at(4),
        },
    }
}

pub(crate) fn mk_execution(n: u128, state: State) -> Execution {
    Execution {
        id: mk_id(n),
        request: mk_request(&format!("request-{n}"), "pod/x"),
        actor: Actor::anonymous(None),
        created_at: at(0),
        revision: Revision(2),
        updated_at: at(0),
        state,
        clearance: None,
    }
}

/// Digests without a key, for tests.
pub(crate) struct Sha;

impl DigestValues for Sha {
    fn digest(&self, name: &str, value: &str) -> ValueDigest {
        ValueDigest(Sha256::digest(format!("{name}\0{value}")).into())
    }
}

/// A sensitive value as it is kept, without a real sealed form.
pub(crate) fn mk_sealed(name: &str, value: &str) -> Parameter {
    let digest = Sha.digest(name, value);
    Parameter::Sensitive(SealedValue { digest, sealed: "c2VhbGVk".to_owned() })
}
