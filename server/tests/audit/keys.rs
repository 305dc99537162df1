//! The key that signs: made, missing, wrong, rotated, lost.

use std::{fs, os::unix::fs::PermissionsExt as _};

use wfe_audit::{
    key::{PublicKey, SigningKey},
    verify::{Finding, Verdict},
};
use wfe_server::Config;

use crate::support::{Home, Running, public_key, refusal, verify_with};

const KEY: &str = "wfe.audit-key.pem";

/// A home with a signed log, the key of which was moved to `old.pem`; and its public key.
async fn with_its_key_away() -> (Home, PublicKey) {
    let home = Home::new();
    home.worked().await;
    let old = home.public_key();
    fs::rename(home.path(KEY), home.path("old.pem")).unwrap();
    fs::remove_file(home.path("wfe.audit-key.pem.pub")).unwrap();
    (home, old)
}

fn write_another(home: &Home, name: &str) -> PublicKey {
    let random = ring::rand::SystemRandom::new();
    let (key, pem) = SigningKey::generate(&random).unwrap();
    fs::write(home.path(name), pem).unwrap();
    key.public()
}

fn rotating(home: &Home) -> Config {
    Config { audit_previous_key: Some(home.path("old.pem")), ..home.config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_for_a_new_database_for_its_owner_alone() {
    let home = Home::new();
    home.worked().await;
    let mode = fs::metadata(home.path(KEY)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = SigningKey::from_pem(&fs::read_to_string(home.path(KEY)).unwrap()).unwrap();
    assert_eq!(home.public_key(), key.public());
    let newest = home.checkpoints().pop().unwrap();
    assert_eq!(newest.key, key.public().id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_or_another_is_refused_and_named() {
    let (home, old) = with_its_key_away().await;
    let missing = home.refusal().await;
    for part in ["is missing", old.id().as_str(), "restore it", "audit_previous_key"] {
        assert!(missing.contains(part), "{part}: {missing}");
    }
    assert!(!home.path(KEY).exists(), "none is made");
    let new = write_another(&home, KEY);
    let other = home.refusal().await;
    for part in [old.id().as_str(), new.id().as_str(), "restore that key", "audit_previous_key"] {
        assert!(other.contains(part), "{part}: {other}");
    }
    fs::rename(home.path("old.pem"), home.path(KEY)).unwrap();
    home.start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_is_refused_in_a_sentence() {
    let (home, _) = with_its_key_away().await;
    for text in ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
    {
        fs::write(home.path(KEY), text).unwrap();
        let refusal = home.refusal().await;
        assert!(refusal.contains("no Ed25519 private key in PEM"), "{refusal}");
    }
    fs::remove_file(home.path(KEY)).unwrap();
    fs::create_dir(home.path(KEY)).unwrap();
    let refusal = home.refusal().await;
    assert!(refusal.contains("cannot be read"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_on_record_and_both_keys_vouch_for_the_whole_log() {
    let (home, old) = with_its_key_away().await;
    let mut running = Running::start(rotating(&home)).await;
    running.work(4..=5).await;
    let export = running.export().await;
    running.stop().await;
    let new = home.public_key();
    assert_ne!(old, new);
    for key in [old, new] {
        let report = verify_with(&export, key, &home.checkpoints());
        assert_eq!(report.verdict(), Verdict::Sound, "{:?}", report.findings);
        assert_eq!(report.keys.len(), 2, "{report:?}");
    }
    // The old key may be put away now, and the setting too.
    fs::remove_file(home.path("old.pem")).unwrap();
    Running::start(rotating(&home)).await.stop().await;
    home.start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_from_another_key_than_the_last_is_refused() {
    let (home, old) = with_its_key_away().await;
    let wrong = write_another(&home, "wrong.pem");
    let config = |name: &str| Config { audit_previous_key: Some(home.path(name)), ..home.config() };
    let other = refusal(config("wrong.pem")).await;
    for part in ["audit_previous_key", wrong.id().as_str(), old.id().as_str()] {
        assert!(other.contains(part), "{part}: {other}");
    }
    let missing = refusal(config("nowhere.pem")).await;
    assert!(missing.contains("nowhere.pem is missing"), "{missing}");
    assert!(!home.path(KEY).exists(), "none is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_lost_is_given_up_by_name_and_verify_tells() {
    let (home, old) = with_its_key_away().await;
    let given_up = |id: &str| Config { audit_lost_key: Some(id.to_owned()), ..home.config() };
    refusal(given_up("0123456789abcdef")).await;
    let mut running = Running::start(given_up(old.id().as_str())).await;
    running.work(4..=5).await;
    let export = running.export().await;
    running.stop().await;
    home.start().await.stop().await;
    assert_ne!(public_key(&home.path("wfe.audit-key.pem.pub")), old);
    let report = verify_with(&export, old, &[]);
    let named = |finding: &Finding| matches!(finding, Finding::UnknownKey { .. });
    assert!(report.findings.iter().any(named), "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_file_that_is_something_else_is_refused_and_a_line_that_was_cut_is_not() {
    let home = Home::new();
    home.worked().await;
    let path = home.path("wfe.db.checkpoints");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"log\":\"ab")).unwrap();
    let mut running = home.start().await;
    running.work(4..=4).await;
    running.stop().await;
    let kept = fs::read_to_string(&path).unwrap();
    let last: wfe_audit::checkpoint::Checkpoint =
        serde_json::from_str(kept.lines().last().unwrap()).unwrap();
    assert!(last.sequence.0 > text.lines().count() as u64);
    home.start().await.stop().await;

    fs::write(&path, "a shopping list\n").unwrap();
    let refusal = home.refusal().await;
    assert!(refusal.contains("wfe.db.checkpoints holds no checkpoint"), "{refusal}");
}
