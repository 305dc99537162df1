//! Whatever a service of any version sends, the status is one that an API server takes, that settles,
//! and that never goes back.

use std::sync::LazyLock;

use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;
use wfe_crds::workflow_execution::Phase;
use wfe_proto::v1;
use wfe_runtime::text::shown;

use super::{
    super::{View, project},
    GENERATION, WorkflowExecutionStatus, assert_settled, mk_execution, now, read_back,
    schema::Schema,
};
use crate::request::{Cause, Holder, Refusal, Trouble, TroubleKind};

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of_status);

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        6 => ".{0,30}",
        2 => "[a-z0-9-]{1,20}",
        1 => Just("ü\n".repeat(40_000)),
        1 => Just("\u{1b}[2J\u{9b}31m\0\r\u{202e}a\u{2067}b\u{200b}c\u{feff}\u{e0041}".to_owned()),
        1 => Just("🦀\u{202e}".repeat(20_000)),
    ]
}

/// Valid and invalid times, times that have passed and far ones.
fn stamp() -> impl Strategy<Value = Option<prost_types::Timestamp>> {
    let seconds = prop_oneof![
        8 => 1_767_340_000_i64..1_767_350_000,
        1 => -70_000_000_000_i64..300_000_000_000,
        1 => any::<i64>(),
    ];
    let nanos = prop_oneof![4 => 0..1_000_000_000, 1 => any::<i32>()];
    option::weighted(
        0.8,
        (seconds, nanos).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
    )
}

/// A value of an enum with `known` values, or one of a later version.
fn tag(known: i32) -> impl Strategy<Value = i32> {
    prop_oneof![9 => 0..known, 1 => any::<i32>()]
}

fn count() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 0..9, 1 => any::<i32>()]
}

prop_compose! {
    fn waiting()(
        gate in tag(5), message in text(), holder in text(), until in stamp(),
        block_reason in tag(3), cause in text(),
    ) -> v1::Waiting {
        v1::Waiting {
            gate, message, holder_execution_id: holder, until, block_reason,
            cause_execution_id: cause,
        }
    }
}

prop_compose! {
    fn run()(namespace in text(), name in text(), uid in text(), create_time in stamp()) -> v1::Run {
        v1::Run { namespace, name, uid, epoch: 1, create_time }
    }
}

prop_compose! {
    fn step()(name in text(), state in tag(7), start_time in stamp()) -> v1::StepProgress {
        v1::StepProgress { name, state, start_time, ..v1::StepProgress::default() }
    }
}

prop_compose! {
    fn task()(name in "[ab]?", state in tag(7), attempts in count(), steps in vec(step().boxed(), 0..3))
        -> v1::TaskProgress
    {
        v1::TaskProgress { name, state, attempts, steps, ..v1::TaskProgress::default() }
    }
}

prop_compose! {
    fn progress()(
        counts in (count(), count(), count(), count()),
        tasks in vec(task().boxed(), 0..4),
        reason in text(),
        message in text(),
        step_started in any::<bool>(),
    ) -> v1::Progress {
        let (total, succeeded, failed, skipped) = counts;
        v1::Progress { total, succeeded, failed, skipped, tasks, reason, message, step_started }
    }
}

prop_compose! {
    fn failure()(
        reason in tag(9),
        was_execution_failure in any::<bool>(),
        names in ("[ab]?", text(), text()),
        exit_code in option::of(any::<i32>()),
        texts in (text(), text(), text(), text()),
        took in option::of((any::<i64>(), any::<i32>())),
        attempt in count(),
        evidence in option::of((text(), text(), text())),
    ) -> v1::Failure {
        let (task, task_run, step) = names;
        let (message, summary, raw_reason, log_tail) = texts;
        v1::Failure {
            reason, was_execution_failure, task, task_run, step, exit_code, message, summary,
            raw_reason, attempt, log_tail,
            evidence:
                evidence.map(|(object, field, value)| v1::Evidence { object, field, value }),
            time_until_failure:
                took.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos }),
        }
    }
}

prop_compose! {
    fn cancellation()(reason in text(), user in option::of(text())) -> v1::Cancellation {
        v1::Cancellation {
            reason,
            actor: user.map(|user| v1::Actor { user, ..v1::Actor::default() }),
            ..v1::Cancellation::default()
        }
    }
}

prop_compose! {
    fn execution()(
        id in text(),
        target in text(),
        state in tag(8),
        revision in prop_oneof![9 => 1..99_i64, 1 => any::<i64>()],
        // Boxed, since a strategy for all of it at once does not fit on a stack.
        parts in (
            option::of(waiting().boxed()), option::of(run().boxed()),
            option::of(progress().boxed()), option::of(failure().boxed()),
            option::of(cancellation().boxed()),
        ).boxed(),
        times in (stamp(), stamp(), stamp(), stamp()),
        (obstacle, stop_cause) in (text(), text()),
    ) -> v1::Execution {
        let (waiting, run, progress, failure, cancellation) = parts;
        let (create_time, start_time, end_time, update_time) = times;
        v1::Execution {
            id, target, state, revision, waiting, run, progress, failure, cancellation,
            create_time, start_time, end_time, update_time, obstacle, stop_cause,
            ..v1::Execution::default()
        }
    }
}

prop_compose! {
    fn holder()(execution_id in text(), namespace in option::of(text()), name in option::of(text()))
        -> Holder
    {
        Holder { execution_id, namespace, name }
    }
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::UnsupportedEngine),
        option::of(text()).prop_map(|field| Cause::Configuration { field }),
        Just(Cause::DeadlinePassed),
        option::of(text()).prop_map(|by| Cause::Deduplicated { by }),
        Just(Cause::Withdrawn),
    ]
}

fn trouble_kind() -> impl Strategy<Value = TroubleKind> {
    prop_oneof![
        Just(TroubleKind::Unreachable),
        Just(TroubleKind::Refuses),
        Just(TroubleKind::Incompatible),
        Just(TroubleKind::Busy),
    ]
}

/// No text of a status does anything to a terminal, or hides what stands beside it.
fn assert_harmless(status: &WorkflowExecutionStatus) {
    let status = serde_json::to_value(status).unwrap();
    let mut left = vec![&status];
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => {
                let obeyed = text.chars().find(|c| *c != '\n' && shown(*c) != *c);
                assert_eq!(obeyed, None, "{text:.200}");
            }
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn check(view: &View<'_>, previous: Option<&WorkflowExecutionStatus>, generation: i64) {
    let status = project(view, previous, generation, now());
    SCHEMA.accept(&status);
    assert_harmless(&status);
    if generation == GENERATION {
        assert_settled(view, &status);
    }
}

/// A life in the order of the table of moves, with gaps, as a watch that was cut shows it.
fn life() -> impl Strategy<Value = Vec<v1::Execution>> {
    let step = (1..5_i32, option::of(progress().boxed()), any::<bool>());
    let end = prop_oneof![Just(5), Just(6), Just(7)];
    (vec(step, 0..8), end).prop_map(|(mut steps, end)| {
        steps.sort_by_key(|(state, _, has_run)| (*state, *has_run));
        steps.push((end, None, true));
        let mut ran = false;
        let states = steps.into_iter().zip(1..).map(|((state, progress, has_run), revision)| {
            let mut execution = mk_execution(v1::State::try_from(state).unwrap());
            execution.revision = revision;
            if progress.is_some() {
                execution.progress = progress;
            }
            ran |= has_run || execution.state() == v1::State::Running;
            if execution.state() == v1::State::Cancelling && !ran {
                execution = super::without_run(execution);
            }
            execution
        });
        states.collect()
    })
}

fn rank(phase: Option<&Phase>) -> u8 {
    match phase {
        None => 0,
        Some(Phase::Pending) => 1,
        Some(Phase::Running) => 2,
        Some(Phase::Completed | Phase::Failed | Phase::Other(_)) => 3,
    }
}

proptest! {
    #[test]
    fn any_execution_is_shown_in_a_status_that_an_api_server_takes(
        execution in execution().boxed(), holder in option::of(holder()),
    ) {
        check(&View::Execution { execution: &execution, holder: holder.as_ref() }, None, GENERATION);
    }

    #[test]
    fn any_execution_follows_any_other(
        before in execution().boxed(), after in execution().boxed(), generation in any::<i64>(),
    ) {
        let view = View::Execution { execution: &before, holder: None };
        let previous = read_back(&project(&view, None, GENERATION, now()));
        check(&View::Execution { execution: &after, holder: None }, Some(&previous), generation);
        check(&View::Execution { execution: &after, holder: None }, Some(&previous), GENERATION);
        check(&View::Unrecorded, Some(&previous), GENERATION);
    }

    #[test]
    fn any_refusal_and_any_trouble_is_shown_in_a_status_that_an_api_server_takes(
        cause in cause(), kind in trouble_kind(), message in text(),
    ) {
        let refusal = Refusal { cause, message: message.clone() };
        check(&View::Refused { refusal: &refusal, at: now() }, None, GENERATION);
        let trouble = Trouble { kind, message, retry_after: None };
        check(&View::Unsent(&trouble), None, GENERATION);
    }

    #[test]
    fn the_phase_never_falls_along_a_life(life in life()) {
        let mut previous = None;
        for execution in &life {
            let view = View::Execution { execution, holder: None };
            let status = project(&view, previous.as_ref(), GENERATION, now());
            let before = previous.as_ref().and_then(|status| status.phase.as_ref());
            prop_assert!(rank(status.phase.as_ref()) >= rank(before), "{:?}", execution.state());
            previous = Some(read_back(&status));
        }
        let last = previous.unwrap();
        prop_assert!(last.completion_time.is_some() && rank(last.phase.as_ref()) == 3);
    }
}
