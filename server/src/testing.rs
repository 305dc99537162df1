//! Builders for the tests of this crate. What they build is what the service would: new executions
//! and inputs, never states put together by hand.

use std::{collections::BTreeMap, sync::LazyLock};

use jiff::Timestamp;
use uuid::Uuid;
use wfe_core::{
    actor::Actor,
    admit::Circumstances,
    clear::Clearance,
    execution::{Cancellation, PlannedRun},
    failure::{Failure, FailureReason},
    gates::{Mode, Policy},
    ids::{ClusterId, Epoch, ExecutionId, RequestId},
    lock::ForeignRuns,
    observe::RunEnd,
    parameter::{DigestValues as _, Parameter},
    progress::Progress,
    request::{StartRequest, WhenBlocked, WhenCooling, WhenLocked},
    settle::{Settlement, settle},
    start::{NewExecution, StartDecision, StartView, decide},
    target::TargetKey,
    transition::Input,
    withdraw::{self, WithdrawDecision, Withdrawal},
    workflow::BundleWorkflow,
};

use crate::{
    clock::Ids,
    store::{SettleError, Store, StoreError},
    tekton::{Birth, RunRequest},
    vault::{Opened, ParameterKey, Vault},
};

/// A moment, so many seconds after the tests begin.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn mk_id(n: u32) -> ExecutionId {
    ExecutionId::new(Uuid::from_u128(u128::from(n)))
}

/// The vault of all tests.
pub(crate) fn vault() -> &'static Vault {
    static VAULT: LazyLock<Vault> =
        LazyLock::new(|| Vault::new(&ParameterKey::new([7; 32])).unwrap());
    &VAULT
}

/// A target in the local cluster.
pub(crate) fn mk_key(target: &str) -> TargetKey {
    TargetKey { cluster: ClusterId::local(), target: target.parse().unwrap() }
}

/// A request that gives nothing but what must be given.
pub(crate) fn mk_minimal(request_id: &str, target: &str, bundle: &str) -> StartRequest {
    let workflow = BundleWorkflow::new(bundle, "", "").unwrap();
    StartRequest::new(request_id.parse().unwrap(), workflow, mk_key(target), target)
}

/// The run of the first hold of a target, for a request that gives nothing but what must be given.
pub(crate) fn mk_run_request(target: &str, bundle: &str) -> RunRequest {
    RunRequest {
        run: PlannedRun::new(&mk_key(target), Epoch(1), Timestamp::UNIX_EPOCH),
        execution: Ids::default().execution(Timestamp::UNIX_EPOCH),
        request: mk_minimal("r", target, bundle),
        opened: Opened::default(),
        timeout: None,
        birth: Birth::Ready,
    }
}

/// The request `request-<n>`.
pub(crate) fn mk_request(n: u32, target: &str, when_locked: WhenLocked) -> StartRequest {
    StartRequest {
        parameters: BTreeMap::from([(
            "REASON".to_owned(),
            "a \"test\"
"
            .into(),
        )]),
        when_locked,
        when_cooling: WhenCooling::Wait,
        when_blocked: WhenBlocked::Wait,
        ..mk_minimal(&format!("request-{n}"), target, "registry.example/wfe/restart:v1")
    }
}

/// What the caller of `request-<n>` brings `n` seconds after the tests begin.
pub(crate) fn mk_new(n: u32, target: &str, when_locked: WhenLocked) -> NewExecution {
    NewExecution {
        id: mk_id(n),
        request: mk_request(n, target, when_locked),
        actor: Actor::anonymous(Some("192.0.2.1".to_owned())),
        now: at(i64::from(n)),
    }
}

pub(crate) fn run_exists() -> Input {
    Input::RunExists { uid: "uid-1".to_owned(), created_at: at(0) }
}

pub(crate) fn run_succeeded() -> Input {
    Input::RunEnded { end: RunEnd::Succeeded { at: at(0) }, progress: Progress::default() }
}

/// A step ran and failed.
pub(crate) fn run_failed() -> Input {
    let summary = "A step exited with 1.".to_owned();
    let failure = Failure {
        was_execution_failure: true,
        ..Failure::before_execution(FailureReason::TaskFailed, "Failed", "exit 1", summary, at(0))
    };
    Input::RunEnded { end: RunEnd::Failed(failure), progress: Progress::default() }
}

/// Who clears a block so many seconds after the tests begin.
pub(crate) fn mk_clearance(second: i64) -> Clearance {
    Clearance {
        actor: Actor::anonymous(Some("192.0.2.3".to_owned())),
        at: at(second),
        reason: format!("looked at it at \"{second}\"").parse().unwrap(),
        ticket: (second % 2 == 0).then(|| format!("INC-{second}")),
    }
}

pub(crate) fn cancel() -> Input {
    Input::Cancel(Cancellation::immediate(
        "not needed any more".to_owned(),
        Actor::anonymous(None),
        at(0),
    ))
}

/// Nothing of the run is alive, and it never was.
pub(crate) fn quiet() -> Input {
    Input::Quiet { end: None, progress: None }
}

/// What decisions rest on at a target that only its lock holds.
pub(crate) fn around(foreign: &ForeignRuns, now: Timestamp) -> Circumstances<'_> {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::all(Mode::Off));
    Circumstances { foreign: Some(foreign), policy: &POLICY, now }
}

/// What decisions rest on when every gate holds.
pub(crate) fn at_gates(foreign: &ForeignRuns, now: Timestamp) -> Circumstances<'_> {
    static POLICY: LazyLock<Policy> = LazyLock::new(Policy::default);
    Circumstances { foreign: Some(foreign), policy: &POLICY, now }
}

/// Starts as the service does, when the cluster holds no foreign run.
pub(crate) async fn start(
    store: &dyn Store,
    new: &NewExecution,
) -> Result<StartDecision, StoreError> {
    let foreign = ForeignRuns::default();
    let decide = |view: StartView<'_>| decide(view, new, around(&foreign, new.now), vault());
    store.start(new, &decide).await
}

/// What withdraws `request-<n>` so many seconds after the tests begin.
pub(crate) fn mk_withdrawal(n: u32, second: i64) -> Withdrawal {
    Withdrawal {
        request_id: format!("request-{n}").parse().unwrap(),
        reason: format!("not needed at \"{second}\""),
        actor: Actor::anonymous(Some("192.0.2.2".to_owned())),
        at: at(second),
    }
}

/// Cancels a request as the service does.
pub(crate) async fn withdraw(
    store: &dyn Store,
    new: &Withdrawal,
) -> Result<WithdrawDecision, StoreError> {
    store.withdraw(&new.request_id, &|view| withdraw::decide(view, new)).await
}

/// Moves an execution as the service does, when the cluster holds no foreign run.
pub(crate) async fn advance(
    store: &dyn Store,
    id: ExecutionId,
    input: Input,
) -> Result<Settlement, SettleError> {
    let foreign = ForeignRuns::default();
    let decide = |view: wfe_core::settle::View<'_>| {
        let now = view.execution.updated_at + std::time::Duration::from_secs(1);
        settle(view, input.clone(), &Actor::service(), around(&foreign, now))
    };
    store.settle("test", id, &decide).await
}

/// The value of a sensitive parameter as it is kept.
pub(crate) fn mk_sealed(request: &RequestId, name: &str, value: &str) -> Parameter {
    // The same every time, so that simulations are.
    let mut nonce = [0; 12];
    let digest = vault().digest(name, value).0;
    nonce.copy_from_slice(&digest[..12]);
    Parameter::Sensitive(vault().seal_with(nonce, request, name, value).unwrap())
}
