use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wfe_crds::workflow_execution::{BlockClearance, ClearMethod, Phase};
use wfe_proto::v1::{self, State};

use super::{
    GENERATION, Holder, STATES, View, condition, line, mk_execution, mk_holder, mk_waiting, now,
    project, shown, since, stamp, time, without_run,
};

#[test]
fn every_state_has_its_phase_and_its_conditions() {
    let rows = vec![
        (
            mk_execution(State::Waiting),
            Phase::Pending,
            "False:ResourceBusy Unknown:ResourceBusy Unknown:ResourceBusy False:ResourceBusy \
             Unknown:ResourceBusy True:ResourceBusy True:ResourceBusy -",
        ),
        (
            mk_execution(State::Starting),
            Phase::Pending,
            "False:Starting Unknown:Starting Unknown:Starting False:Starting Unknown:Starting - \
             True:Starting -",
        ),
        (
            mk_execution(State::Running),
            Phase::Running,
            "False:Running Unknown:Running True:ExecutionCreated True:ExecutionStarted \
             Unknown:Running - True:Running -",
        ),
        (
            mk_execution(State::Cancelling),
            Phase::Running,
            "False:Cancelling Unknown:Cancelling True:ExecutionCreated True:ExecutionStarted \
             Unknown:Cancelling - True:Cancelling -",
        ),
        (
            without_run(mk_execution(State::Cancelling)),
            Phase::Pending,
            "False:Cancelling Unknown:Cancelling Unknown:Cancelling False:Cancelling \
             Unknown:Cancelling - True:Cancelling -",
        ),
        (
            mk_execution(State::Succeeded),
            Phase::Completed,
            "True:Ready True:ExecutionSucceeded True:ExecutionCreated False:ExecutionSucceeded \
             True:ExecutionSucceeded - - -",
        ),
        (
            mk_execution(State::Failed),
            Phase::Failed,
            "False:TaskFailed False:TaskFailed True:ExecutionCreated False:TaskFailed \
             False:TaskFailed - - True:TaskFailed",
        ),
        (
            without_run(mk_execution(State::Failed)),
            Phase::Failed,
            "False:TaskFailed False:TaskFailed False:ExecutionCreationFailed \
             False:ExecutionFailedToStart False:TaskFailed - - True:TaskFailed",
        ),
        (
            mk_execution(State::Cancelled),
            Phase::Failed,
            "False:Cancelled False:Cancelled True:ExecutionCreated False:Cancelled \
             False:Cancelled - - True:Cancelled",
        ),
        (
            without_run(mk_execution(State::Cancelled)),
            Phase::Failed,
            "False:Cancelled False:Cancelled False:Cancelled False:ExecutionFailedToStart \
             False:Cancelled - - True:Cancelled",
        ),
        (
            mk_execution(State::Unspecified),
            Phase::Pending,
            "False:UnknownState Unknown:UnknownState Unknown:UnknownState False:UnknownState \
             Unknown:UnknownState - True:UnknownState -",
        ),
    ];
    for (execution, phase, conditions) in rows {
        let status = shown(&execution);
        let state = execution.state();
        assert_eq!(
            (status.phase.as_ref(), line(&status).as_str()),
            (Some(&phase), conditions),
            "{state:?}"
        );
        assert_eq!(status.observed_generation, Some(GENERATION));
        assert_eq!(status.execution_id.as_deref(), Some(execution.id.as_str()));
        assert_eq!(status.execution_revision, Some(execution.revision));
    }
}

#[test]
fn every_gate_says_what_it_waits_for_and_until_when() {
    let rows = [
        (v1::Gate::Lock, "ResourceBusy", None, "-"),
        (v1::Gate::Cooldown, "RecentlyRemediated", Some(time("10:05:01")), "-"),
        (v1::Gate::Backoff, "BackoffActive", Some(time("10:05:01")), "-"),
        (v1::Gate::Block, "PreviousExecutionFailed", None, "True:PreviousExecutionFailed"),
        (v1::Gate::Unspecified, "Waiting", None, "-"),
    ];
    for (gate, reason, until, stalled) in rows {
        let mut execution = mk_execution(State::Waiting);
        execution.waiting = Some(mk_waiting(gate));
        let status = shown(&execution);
        assert_eq!(condition(&status, "Blocked"), format!("True:{reason}"), "{gate:?}");
        assert_eq!(condition(&status, "Ready"), format!("False:{reason}"), "{gate:?}");
        assert_eq!(status.cooldown_until.as_ref().map(|time| time.0), until, "{gate:?}");
        assert!(line(&status).ends_with(stalled), "{gate:?}: {}", line(&status));
        let message = &status.conditions[0].message;
        let told = execution.waiting.unwrap().message;
        assert!(message.contains(&told), "{message}");
        assert_eq!(message.contains("until 2026-01-02T10:05:01Z"), until.is_some(), "{message}");
    }
}

fn mk_blocked(reason: v1::BlockReason, cause: &str) -> v1::Execution {
    let mut waiting = mk_waiting(v1::Gate::Block);
    waiting.set_block_reason(reason);
    waiting.cause_execution_id = cause.to_owned();
    v1::Execution { waiting: Some(waiting), ..mk_execution(State::Waiting) }
}

#[test]
fn every_block_says_why_and_that_a_person_is_needed() {
    for (reason, word) in [
        (v1::BlockReason::Unspecified, "PreviousExecutionFailed"),
        (v1::BlockReason::PreviousExecutionFailed, "PreviousExecutionFailed"),
        (v1::BlockReason::RetriesExhausted, "ExhaustedRetries"),
    ] {
        let status = shown(&mk_blocked(reason, ""));
        for type_ in ["Blocked", "Stalled"] {
            assert_eq!(condition(&status, type_), format!("True:{word}"), "{reason:?}");
        }
        assert_eq!(condition(&status, "Ready"), format!("False:{word}"));
        assert_eq!(
            (condition(&status, "Reconciling"), &status.cooldown_until),
            (String::new(), &None)
        );
    }
}

#[test]
fn who_waits_for_a_person_says_what_the_person_has_to_do() {
    let message = |cause: &str, holder: Option<&Holder>| {
        let execution = mk_blocked(v1::BlockReason::PreviousExecutionFailed, cause);
        let view = View::Execution { execution: &execution, holder };
        project(&view, None, GENERATION, now()).conditions[0].message.clone()
    };
    let holder = mk_holder();
    let id = holder.execution_id.as_str();
    let known = message(id, Some(&holder));
    assert!(known.contains("WorkflowExecution demo/first"), "{known}");
    let command = "kubectl patch wfe first -n demo --subresource=status --type=merge -p \
                   '{\"status\":{\"blockClearanceRequest\":{\"clearReason\":\"...\"}}}'";
    assert!(known.ends_with(command), "{known}");
    // Without an object there is nothing to patch.
    let nameless = Holder { name: None, ..mk_holder() };
    for holder in [None, Some(&nameless)] {
        let direct = message(id, holder);
        assert!(direct.contains(id) && direct.contains("ClearBlock"), "{direct}");
        assert!(!direct.contains("kubectl"), "{direct}");
    }
}

#[test]
fn a_clearance_is_told_with_the_person_behind_it() {
    let actor = v1::Actor { user: "bridge".into(), ..v1::Actor::default() };
    let alice = v1::OnBehalfOf { user: "alice".into(), ..v1::OnBehalfOf::default() };
    for (on_behalf_of, by, method) in [
        (Some(alice), "alice", ClearMethod::StatusField),
        (None, "bridge", ClearMethod::ApiEndpoint),
    ] {
        let mut execution = mk_execution(State::Failed);
        execution.clearance = Some(v1::Clearance {
            actor: Some(v1::Actor { on_behalf_of, ..actor.clone() }),
            clear_time: Some(stamp("11:00:00.7")),
            reason: "looked at it by hand".into(),
            ticket: String::new(),
        });
        let status = shown(&execution);
        let expected = BlockClearance {
            cleared_at: Some(Time(time("11:00:00"))),
            cleared_by: by.into(),
            clear_reason: "looked at it by hand".into(),
            clear_method: method,
        };
        assert_eq!(status.block_clearance, Some(expected));
        assert_eq!(
            (status.phase, status.failure_reason.as_deref()),
            (Some(Phase::Failed), Some("TaskFailed"))
        );
    }
}

#[test]
fn an_execution_that_waits_no_more_tells_no_gate() {
    let mut execution = mk_execution(State::Running);
    execution.waiting = Some(mk_waiting(v1::Gate::Cooldown));
    let status = shown(&execution);
    assert_eq!(
        (status.cooldown_until.as_ref(), condition(&status, "Blocked").as_str()),
        (None, "")
    );
}

#[test]
fn the_holder_is_named_as_well_as_it_is_known() {
    let mut execution = mk_execution(State::Waiting);
    let message = |execution: &v1::Execution, holder: Option<&Holder>| {
        let view = View::Execution { execution, holder };
        project(&view, None, GENERATION, now()).conditions[0].message.clone()
    };
    let id = "0199c0de-7a3c-7bb0-9c11-0000000000ff";
    let named = message(&execution, Some(&mk_holder()));
    assert!(named.starts_with("Waits for WorkflowExecution demo/first: execution"), "{named}");
    assert!(named.ends_with("since 2026-01-02T09:58:00.5Z"), "{named}");
    let nameless = Holder { name: None, ..mk_holder() };
    let another = Holder { execution_id: "another".into(), ..mk_holder() };
    for holder in [None, Some(&nameless), Some(&another)] {
        let message = message(&execution, holder);
        assert!(message.starts_with(&format!("Waits for execution {id}: ")), "{message}");
    }
    let foreign = "PipelineRun by-hand, which is not ours, acts on default/deployment/api";
    execution.waiting = Some(v1::Waiting {
        gate: v1::Gate::Lock.into(),
        message: foreign.into(),
        ..v1::Waiting::default()
    });
    assert_eq!(message(&execution, None), format!("Waits for its target: {foreign}"));
    execution.waiting.as_mut().unwrap().message.clear();
    assert_eq!(message(&execution, None), "Waits for its target.");
}

#[test]
fn times_are_whole_seconds_and_the_duration_is_as_go_prints_it() {
    let status = shown(&mk_execution(State::Succeeded));
    assert_eq!(status.start_time.map(|time| time.0), Some(time("10:00:01")));
    assert_eq!(status.completion_time.map(|time| time.0), Some(time("10:01:31")));
    // 90.1 seconds.
    assert_eq!(status.duration.as_deref(), Some("1m30s"));
}

#[test]
fn progress_is_told_as_soon_as_there_is_a_run() {
    for state in STATES {
        let told = shown(&mk_execution(state)).execution_status;
        let expected = match state {
            State::Unspecified | State::Waiting | State::Starting => None,
            State::Running | State::Cancelling => Some(("Unknown", 1)),
            State::Succeeded => Some(("True", 2)),
            State::Failed | State::Cancelled => Some(("False", 1)),
        };
        let told = told.map(|told| {
            assert_eq!((told.total_tasks, told.retry_count), (Some(2), Some(1)));
            (told.status.to_string(), told.completed_tasks.unwrap())
        });
        assert_eq!(told, expected.map(|(status, done)| (status.to_owned(), done)), "{state:?}");
    }
    let mut fresh = mk_execution(State::Running);
    fresh.progress = None;
    let told = shown(&fresh).execution_status.unwrap();
    assert_eq!((told.status.as_str(), told.total_tasks), ("Unknown", None));
}

#[test]
fn what_is_in_the_way_is_told() {
    for (state, reason) in [
        (State::Starting, "ExecutionDelayed"),
        (State::Running, "Running"),
        (State::Cancelling, "Cancelling"),
    ] {
        let mut execution = mk_execution(state);
        execution.obstacle = "the webhook does not answer".into();
        let status = shown(&execution);
        assert_eq!(condition(&status, "Ready"), format!("False:{reason}"));
        let message = &status.conditions[0].message;
        assert!(message.ends_with("the webhook does not answer"), "{message}");
    }
}

#[test]
fn a_stop_without_a_person_is_that_of_the_deadline() {
    let mut execution = mk_execution(State::Cancelling);
    execution.cancellation = None;
    let message = &shown(&execution).conditions[0].message;
    assert_eq!(message, "Its deadline has passed. It is being stopped.");
    let cause = "stuck since 2026-01-02T10:00:05Z: task apply waits for room in a quota (exceeded)";
    execution.stop_cause = cause.into();
    let message = &shown(&execution).conditions[0].message;
    assert_eq!(*message, format!("It has to stop: {cause}. It is being stopped."));
}

#[test]
fn a_condition_keeps_its_time_while_its_status_is_the_same() {
    let waiting = shown(&mk_execution(State::Waiting));
    assert_eq!(since(&waiting, "Ready"), time("10:00:00"));
    let mut before = waiting;
    for condition in &mut before.conditions {
        condition.last_transition_time.0 = time("09:00:00");
    }
    let failed = mk_execution(State::Failed);
    let view = View::Execution { execution: &failed, holder: None };
    let status = project(&view, Some(&before), GENERATION, now());
    let unchanged = ["Ready", "ExecutionRunning"];
    for type_ in unchanged {
        assert_eq!(since(&status, type_), time("09:00:00"), "{type_}");
    }
    assert_eq!(since(&status, "ExecutionCreated"), time("10:00:01"));
    for type_ in ["Succeeded", "ExecutionComplete", "Stalled"] {
        assert_eq!(since(&status, type_), time("10:01:31"), "{type_}");
    }
}

#[test]
fn the_time_of_a_condition_does_not_depend_on_when_it_was_looked_at() {
    for state in STATES {
        let execution = mk_execution(state);
        let view = View::Execution { execution: &execution, holder: None };
        let early = project(&view, None, GENERATION, time("10:02:00"));
        assert_eq!(early, project(&view, None, GENERATION, now()), "{state:?}");
    }
}
