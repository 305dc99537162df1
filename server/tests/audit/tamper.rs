//! Somebody changes the log in the database.

use std::fs;

use tonic::Code;
use wfe_audit::verify::{Finding, Verdict};

use crate::support::{Home, Intruder, Running, eventually, verify_with};

/// A server that has signed what it did, inside and outside of the database.
async fn signed(home: &Home) -> Running {
    let mut running = home.start().await;
    running.work(1..=3).await;
    let report = home.verify(&running.export().await);
    assert_eq!(report.verdict(), Verdict::Sound, "{:?}", report.findings);
    assert!(report.entries >= 12, "{report:?}");
    eventually("it is outside", async || {
        let newest = home.checkpoints().last().map(|newest| newest.sequence.0);
        (newest >= Some(report.last)).then_some(())
    })
    .await;
    running
}

/// A server does not export such a log, and says why.
async fn not_exported(running: &mut Running) -> String {
    let status = running.export_after(0).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
    status.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_is_changed_in_an_entry_is_named_by_verify_and_by_the_refusal_to_start() {
    let home = Home::new();
    let mut running = signed(&home).await;
    let mut intruder = home.intruder().await;
    intruder
        .run(
            "UPDATE log SET entry = replace(entry, '\"user\":\"anonymous\"', '\"user\":\"anonymouS\"')
             WHERE sequence = 2",
        )
        .await;
    intruder.leave().await;
    let report = home.verify(&running.export().await);
    let changed: Vec<u64> = report
        .findings
        .iter()
        .filter_map(|finding| {
            let Finding::Changed { sequence, .. } = finding else { return None };
            Some(*sequence)
        })
        .collect();
    assert_eq!((changed, report.findings.len()), (vec![2], 1), "{:?}", report.findings);
    running.stop().await;
    let refusal = home.refusal().await;
    assert!(
        refusal.contains("damaged") && refusal.contains("entry 2 does not follow"),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_dropped_in_the_middle_is_named() {
    let home = Home::new();
    let mut running = signed(&home).await;
    let mut intruder = home.intruder().await;
    intruder.run("DELETE FROM log WHERE sequence = 3").await;
    intruder.leave().await;
    let message = not_exported(&mut running).await;
    assert!(message.contains("entry 3 is missing"), "{message}");
    running.stop().await;
    let refusal = home.refusal().await;
    assert!(refusal.contains("entry 3 is missing"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_cut_is_named() {
    let home = Home::new();
    let mut running = signed(&home).await;
    let mut intruder = home.intruder().await;
    intruder.run("DELETE FROM log WHERE sequence > 9").await;
    intruder.leave().await;
    let message = not_exported(&mut running).await;
    assert!(message.contains("the log ends at entry 9"), "{message}");
    running.stop().await;
    let refusal = home.refusal().await;
    assert!(refusal.contains("the log ends at entry 9"), "{refusal}");
    assert!(refusal.contains("wfe.db.checkpoints") && refusal.contains("evidence"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_entries_that_change_places_are_named_by_verify() {
    let home = Home::new();
    let mut running = signed(&home).await;
    let mut intruder = home.intruder().await;
    intruder
        .run(
            "CREATE TEMP TABLE two AS SELECT * FROM log WHERE sequence IN (3, 4);
             UPDATE log SET (entry, hash) = (SELECT entry, hash FROM two
                 WHERE two.sequence = 7 - log.sequence) WHERE sequence IN (3, 4)",
        )
        .await;
    intruder.leave().await;
    let report = home.verify(&running.export().await);
    let named = |finding: &Finding| matches!(finding, Finding::Reordered { sequence: 3 | 4, .. });
    assert!(report.findings.iter().any(named), "{:?}", report.findings);
    running.stop().await;
    let refusal = home.refusal().await;
    assert!(refusal.contains("entry 3 does not follow"), "{refusal}");
}

/// Drops the first execution, and writes a chain that fits.
async fn without_an_execution(intruder: &mut Intruder) {
    let entries = intruder.entries().await;
    let stream = entries[4].read().unwrap().stream;
    let kept: Vec<String> = entries[4..]
        .iter()
        .filter(|entry| entry.read().unwrap().stream != stream)
        .map(|entry| entry.text.clone())
        .collect();
    assert!(kept.len() < entries.len() - 4);
    intruder.rewrite(&entries[3], &kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_execution_that_is_dropped_is_named() {
    let home = Home::new();
    home.worked().await;
    let mut intruder = home.intruder().await;
    without_an_execution(&mut intruder).await;
    intruder.leave().await;
    let refusal = home.refusal().await;
    assert!(refusal.contains("is not the one that the checkpoint file"), "{refusal}");
    assert!(refusal.contains("the log ends at entry"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_rewritten_with_correct_hashes_is_named() {
    let home = Home::new();
    let mut running = signed(&home).await;
    let mut intruder = home.intruder().await;
    let entries = intruder.entries().await;
    let texts: Vec<String> = entries[4..]
        .iter()
        .map(|entry| entry.text.replace("\"user\":\"anonymous\"", "\"user\":\"somebody\""))
        .collect();
    intruder.rewrite(&entries[3], &texts).await;
    intruder.leave().await;
    let message = not_exported(&mut running).await;
    let last = entries.last().unwrap().sequence;
    assert!(message.contains(&format!("entry {last} is not the one")), "{message}");
    running.stop().await;
    let refusal = home.refusal().await;
    assert!(refusal.contains(&format!("entry {last} is not the one")), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rewrites_the_log_and_all_checkpoints_here_is_found_by_one_kept_elsewhere() {
    let home = Home::new();
    home.worked().await;
    let elsewhere = home.checkpoints();
    let mut intruder = home.intruder().await;
    without_an_execution(&mut intruder).await;
    intruder.run("DELETE FROM checkpoints").await;
    intruder.leave().await;
    fs::remove_file(home.path("wfe.db.checkpoints")).unwrap();

    let mut running = home.start().await;
    running.work(4..=6).await;
    let export = running.export().await;
    running.stop().await;
    let alone = home.verify(&export);
    let gaps = |finding: &Finding| matches!(finding, Finding::Hole { .. });
    assert!(!alone.findings.iter().any(gaps), "the forgery fits itself: {:?}", alone.findings);
    let report = verify_with(&export, home.public_key(), &elsewhere);
    let named = |finding: &Finding| matches!(finding, Finding::Rewritten { .. });
    assert!(report.findings.iter().any(named), "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_forged_is_named_by_verify_and_by_the_refusal_to_start() {
    let home = Home::new();
    let mut running = signed(&home).await;
    let mut intruder = home.intruder().await;
    // One entry of which nobody has signed the head so far.
    intruder
        .run(
            "INSERT OR REPLACE INTO checkpoints (sequence, hash, at, key, signature)
             SELECT l.sequence, l.hash, c.at, c.key, c.signature FROM log l,
                 (SELECT * FROM checkpoints ORDER BY sequence DESC LIMIT 1) c
             WHERE l.sequence = 2",
        )
        .await;
    let report = home.verify(&running.export().await);
    let named = |finding: &Finding| matches!(finding, Finding::BadSignature { sequence: 2, .. });
    assert!(report.findings.iter().any(named), "{:?}", report.findings);
    running.stop().await;
    intruder
        .run("UPDATE checkpoints SET at = at + 1 WHERE sequence = (SELECT max(sequence) FROM checkpoints)")
        .await;
    intruder.leave().await;
    let refusal = home.refusal().await;
    assert!(refusal.contains("does not bear the signature of its key"), "{refusal}");
}
