//! Somebody puts another file in the place of the database.

use std::fs;

use tonic::Code;

use crate::support::{Home, Intruder, Running, eventually};

/// A copy of the database as it is now.
async fn copy(home: &Home, name: &str) {
    // Looks as one who copies does, without a lock.
    let mut intruder = Intruder::at(&home.path("wfe.db")).await;
    intruder.run(&format!("VACUUM INTO '{}'", home.path(name).display())).await;
    intruder.leave().await;
}

async fn noticed(running: &mut Running) {
    let ready = eventually("it is noticed", async || {
        let ready = running.readiness().await;
        (ready["ready"] == false).then_some(ready)
    })
    .await;
    let text = ready["audit"].as_str().unwrap();
    assert!(text.contains("the database was replaced while the service ran"), "{text}");
    let metrics = running.metrics().await;
    assert!(metrics.contains("wfe_audit_log_doubtful 1"), "{metrics}");
    let status = running.export_after(0).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_in_place_of_the_database_is_noticed_while_the_server_runs() {
    let home = Home::new();
    let mut running = home.start().await;
    running.work(1..=2).await;
    copy(&home, "older.db").await;
    running.work(3..=4).await;
    running.export().await;
    eventually("it is outside", async || {
        let newest = home.checkpoints().last().map(|newest| newest.sequence.0);
        (newest >= Some(16)).then_some(())
    })
    .await;
    let signed = home.checkpoints().last().cloned();
    fs::rename(home.path("older.db"), home.path("wfe.db")).unwrap();
    noticed(&mut running).await;
    running.work(5..=5).await;
    running.stop().await;
    assert_eq!(home.checkpoints().last().cloned(), signed, "nothing is signed");

    // The log that SQLite left beside the old file belongs to that one.
    for rest in ["wfe.db-wal", "wfe.db-shm"] {
        drop(fs::remove_file(home.path(rest)));
    }
    let refusal = home.refusal().await;
    assert!(refusal.contains("the log ends at entry"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_another_server_is_noticed_while_the_server_runs_and_at_the_start() {
    let (home, other) = (Home::new(), Home::new());
    other.worked().await;
    let mut running = home.start().await;
    running.work(1..=2).await;
    fs::copy(other.path("wfe.db"), home.path("other.db")).unwrap();
    fs::rename(home.path("other.db"), home.path("wfe.db")).unwrap();
    noticed(&mut running).await;
    running.stop().await;
    for rest in ["wfe.db-wal", "wfe.db-shm"] {
        drop(fs::remove_file(home.path(rest)));
    }
    let refusal = home.refusal().await;
    assert!(refusal.contains("restore its newest copy"), "{refusal}");
    assert!(refusal.contains("the log is "), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_in_place_of_the_signed_one_is_refused() {
    let home = Home::new();
    home.worked().await;
    fs::remove_file(home.path("wfe.db")).unwrap();
    let refusal = home.refusal().await;
    assert!(refusal.contains("restore its newest copy"), "{refusal}");

    // When it is lost for ever, its checkpoints are evidence, and the work goes on.
    fs::rename(home.path("wfe.db.checkpoints"), home.path("evidence")).unwrap();
    home.worked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_a_backup_is_refused_until_its_checkpoints_are_put_away() {
    let home = Home::new();
    let mut running = home.start().await;
    running.work(1..=2).await;
    running.export().await;
    copy(&home, "backup.db").await;
    running.work(3..=4).await;
    running.stop().await;
    fs::rename(home.path("backup.db"), home.path("wfe.db")).unwrap();
    let refusal = home.refusal().await;
    assert!(refusal.contains("the log ends at entry"), "{refusal}");
    fs::rename(home.path("wfe.db.checkpoints"), home.path("evidence")).unwrap();
    home.start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_truncated_is_refused() {
    let home = Home::new();
    home.worked().await;
    let path = home.path("wfe.db");
    let length = fs::metadata(&path).unwrap().len();
    for left in [length / 2, length - 4096, 4096, 100] {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(left).unwrap();
        let refusal = home.refusal().await;
        assert!(refusal.contains("wfe.db"), "{left}: {refusal}");
        assert!(refusal.contains("damaged") && refusal.contains("backup"), "{left}: {refusal}");
    }
}
