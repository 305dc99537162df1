use super::*;
use crate::{execution::RunRef, failure::Failure, testing::*};

fn count(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn succeeded(n: u128, second: i64) -> Execution {
    let state = State::Succeeded { run: mk_created(1), late_cancel: None, ended_at: at(second) };
    mk_execution(n, state)
}

fn failed(n: u128, was_execution_failure: bool, second: i64) -> Execution {
    let failure = Failure { was_execution_failure, at: at(second), ..mk_failure() };
    let run = Some(RunRef::Created(mk_created(1)));
    mk_execution(n, State::Failed { run, failure, late_cancel: None, ended_at: at(second) })
}

fn cancelled(n: u128, second: i64) -> Execution {
    let (run, cancellation) = (None, mk_cancellation());
    mk_execution(n, State::Cancelled { run, cancellation, ended_at: at(second) })
}

/// What these executions leave behind, one after the other.
fn history(ended: &[Execution], policy: &Policy) -> History {
    ended.iter().fold(History::default(), |history, execution| {
        let now = execution.state.ended_at().unwrap();
        history.after(execution, policy, now)
    })
}

fn key() -> WorkflowKey {
    mk_request("any", "pod/x").workflow_key()
}

fn closed_at(history: &History, policy: &Policy, second: i64) -> Vec<Closed> {
    closed(history, &key(), policy, at(second)).into_iter().map(|(_, hold)| hold.why).collect()
}

#[test]
fn the_backoff_doubles_from_10_seconds_up_to_5_minutes() {
    let backoff = Policy::default().backoff;
    let series: Vec<u64> = (1..=8).map(|n| backoff.after(count(n)).as_secs()).collect();
    assert_eq!(series, [10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(backoff.after(count(u32::MAX)).as_secs(), 300);
}

#[test]
fn failures_before_execution_back_off_longer_each_time_and_the_fifth_exhausts() {
    let policy = Policy::default();
    let mut ended = Vec::new();
    for (n, seconds) in [(1, 10), (2, 20), (3, 40), (4, 80)] {
        ended.push(failed(n, false, 1000));
        let history = history(&ended, &policy);
        let until = at(1000 + seconds);
        let expected = Closed::Backoff { cause: mk_id(n), until };
        assert_eq!(closed_at(&history, &policy, 1000 + seconds - 1), [expected]);
        assert_eq!(closed_at(&history, &policy, 1000 + seconds), [], "open at the moment itself");
    }
    ended.push(failed(5, false, 1000));
    let history = history(&ended, &policy);
    let exhausted = Closed::Block { cause: mk_id(5), reason: BlockReason::RetriesExhausted };
    assert_eq!(closed_at(&history, &policy, 1_000_000), [exhausted], "no time opens it");
}

#[test]
fn a_success_resets_the_failures_and_cools_the_target_down() {
    let policy = Policy::default();
    let history = history(&[failed(1, false, 0), failed(2, false, 10), succeeded(3, 20)], &policy);
    assert_eq!(history.failures, None);
    let until = at(20 + 300);
    assert_eq!(closed_at(&history, &policy, 319), [Closed::Cooldown { cause: mk_id(3), until }]);
    assert_eq!(closed_at(&history, &policy, 320), []);
}

#[test]
fn an_execution_failure_blocks_for_ever_and_breaks_the_row() {
    let policy = Policy::default();
    let history = history(&[failed(1, false, 0), failed(2, true, 10)], &policy);
    assert_eq!(history.failures, None);
    let reason = BlockReason::PreviousExecutionFailed;
    assert_eq!(
        closed_at(&history, &policy, 9_999_999),
        [Closed::Block { cause: mk_id(2), reason }]
    );
    assert_eq!(closed_at(&history.cleared(), &policy, 11), []);
}

#[test]
fn a_cancelled_execution_changes_nothing() {
    let policy = Policy::default();
    let before = history(&[failed(1, false, 0)], &policy);
    assert_eq!(before.after(&cancelled(2, 5), &policy, at(5)), before);
}

#[test]
fn a_clearance_opens_a_block_resets_the_failures_and_leaves_the_cooldown() {
    let policy = Policy::default();
    let mut ended = vec![succeeded(9, 0)];
    ended.extend((1..=5).map(|n| failed(n, false, 1)));
    let history = history(&ended, &policy);
    assert_eq!(history.block(&policy).map(|block| block.execution), Some(mk_id(5)));
    let cleared = history.cleared();
    assert_eq!((cleared.failures, cleared.block(&policy)), (None, None));
    assert_eq!(
        closed_at(&cleared, &policy, 2),
        [Closed::Cooldown { cause: mk_id(9), until: at(300) }]
    );
}

#[test]
fn a_cooldown_holds_its_own_workflow_or_all_as_the_policy_says() {
    let mut policy = Policy::default();
    let history = history(&[succeeded(1, 0)], &policy);
    let other = WorkflowKey::catalogued("another");
    assert_eq!(closed(&history, &other, &policy, at(1)), []);
    policy.cooldown.scope = CooldownScope::AnyWorkflow;
    assert_eq!(closed(&history, &other, &policy, at(1)).len(), 1);
}

#[test]
fn another_version_of_a_bundle_is_the_same_workflow_and_a_catalogue_id_says_which_is() {
    use crate::workflow::BundleWorkflow;
    let bundle = |reference: &str, pipeline: &str| {
        let workflow = BundleWorkflow::new(reference, "", pipeline).unwrap();
        let mut request = mk_request("any", "pod/x");
        request.workflow = workflow.into();
        request
    };
    let (one, two) =
        (bundle("registry.example/wfe/a:v1", ""), bundle("registry.example/wfe/a:v2", ""));
    assert_eq!(one.workflow_key(), two.workflow_key());
    assert_eq!(one.workflow_key().as_str(), "registry.example/wfe/a#workflow");
    assert_ne!(one.workflow_key(), bundle("registry.example/wfe/b:v1", "").workflow_key());
    assert_ne!(one.workflow_key(), bundle("registry.example/wfe/a:v1", "other").workflow_key());
    let mut catalogued = bundle("registry.example/wfe/b:v1", "");
    catalogued.identity.id = "wf-1".to_owned();
    assert_eq!(catalogued.workflow_key(), WorkflowKey::catalogued("wf-1"));
}

#[test]
fn an_end_that_is_ahead_of_the_clock_counts_from_now() {
    let policy = Policy::default();
    let history = History::default().after(&succeeded(1, 500), &policy, at(100));
    assert_eq!(closed_at(&history, &policy, 399).len(), 1);
    assert_eq!(closed_at(&history, &policy, 400), []);
}

#[test]
fn successes_whose_cooldown_is_over_are_forgotten() {
    let policy = Policy::default();
    let first = history(&[succeeded(1, 0)], &policy);
    let mut other = succeeded(2, 1000);
    other.request.identity.id = "another".to_owned();
    let after = first.after(&other, &policy, at(1000));
    assert_eq!(after.successes.len(), 1);
}

#[test]
fn a_hold_is_stored_in_the_shape_that_a_lock_always_had() {
    let stored = r#"{"gate":"lock","holder":null,"until":null,"message":"held"}"#;
    assert_eq!(serde_json::from_str::<Hold>(stored).unwrap(), mk_hold());
    let block = Hold {
        why: Closed::Block { cause: mk_id(1), reason: BlockReason::RetriesExhausted },
        message: "look".to_owned(),
    };
    let text = serde_json::to_string(&block).unwrap();
    assert!(text.starts_with(r#"{"gate":"block","cause":"#), "{text}");
    assert_eq!(serde_json::from_str::<Hold>(&text).unwrap(), block);
}
