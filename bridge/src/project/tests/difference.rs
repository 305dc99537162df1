use wfe_crds::workflow_execution::{BlockClearanceRequest, Phase};
use wfe_proto::v1::State;

use super::{
    Difference, GENERATION, STATES, View, differs, mk_execution, mk_progress, now, project, shown,
};

#[test]
fn what_people_wait_for_is_told_apart_from_progress() {
    let running = mk_execution(State::Running);
    let status = shown(&running);
    assert_eq!(differs(None, &status), Difference::Phase);
    assert_eq!(differs(Some(&status), &status), Difference::None);

    let mut further = running.clone();
    further.revision += 1;
    assert_eq!(differs(Some(&status), &shown(&further)), Difference::None);
    further.progress = Some(mk_progress(State::Succeeded));
    assert_eq!(differs(Some(&status), &shown(&further)), Difference::Progress);

    let mut other_words = status.clone();
    other_words.conditions[0].message.push('!');
    assert_eq!(differs(Some(&status), &other_words), Difference::Progress);

    let mut other_reason = status.clone();
    other_reason.conditions[0].reason.push('X');
    assert_eq!(differs(Some(&status), &other_reason), Difference::Phase);

    let mut no_conditions = status.clone();
    no_conditions.conditions.clear();
    assert_eq!(differs(Some(&no_conditions), &status), Difference::Phase);

    for state in STATES.into_iter().filter(|state| *state != State::Running) {
        let other = shown(&mk_execution(state));
        assert_eq!(differs(Some(&status), &other), Difference::Phase, "{state:?}");
    }
    let newer = project(
        &View::Execution { execution: &running, holder: None },
        Some(&status),
        GENERATION + 1,
        now(),
    );
    assert_eq!(differs(Some(&status), &newer), Difference::Phase);
}

#[test]
fn what_others_wrote_is_no_reason_to_write() {
    let wanted = shown(&mk_execution(State::Running));
    let mut current = wanted.clone();
    current.failure_reason = Some("Parent RR entered terminal phase: TimedOut".into());
    current.block_clearance_request = Some(BlockClearanceRequest::default());
    current.ephemeral_credential_ids = vec![7];
    current.workflow_name = Some("restart".into());
    let mut audit = current.conditions[0].clone();
    audit.type_ = "AuditRecorded".into();
    current.conditions.insert(0, audit);
    assert_eq!(differs(Some(&current), &wanted), Difference::None);
    // What is ours is taken back.
    current.phase = Some(Phase::Failed);
    assert_eq!(differs(Some(&current), &wanted), Difference::Phase);
}
