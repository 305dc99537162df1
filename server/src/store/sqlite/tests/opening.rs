//! What may be wrong with a database file, and what is said of it.

use std::{error::Error, fs, path::Path, sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use wfe_core::{request::WhenLocked, start::StartDecision, withdraw::WithdrawDecision};

use super::super::migrate::NEWEST;
use super::File;
use crate::{
    store::{
        Store,
        conformance::{Backend, all},
        observer::Unobserved,
        sqlite::{OpenError, SqliteStore, open::Tuning},
    },
    testing::{mk_id, mk_new, mk_withdrawal, start, withdraw},
};

async fn error_of(path: &Path) -> OpenError {
    SqliteStore::open(path, Arc::new(Unobserved)).await.unwrap_err()
}

/// A database with one execution, closed.
async fn made() -> File {
    let file = File::create().await;
    let store = file.open().await;
    start(&*store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    store.close().await;
    file
}

#[tokio::test]
async fn a_folder_is_no_database() {
    let file = File::create().await;
    let folder = file.folder.path();
    assert_eq!(
        error_of(folder).await.to_string(),
        format!("{} is not a file: give the path of a database file", folder.display())
    );
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let file = File::create().await;
    let path = file.folder.path().join("missing/wfe.db");
    let expected = format!(
        "there is no folder for the database {}: make it, or give another path",
        path.display()
    );
    assert_eq!(error_of(&path).await.to_string(), expected);
    // So is a file in the place of a folder.
    fs::write(file.folder.path().join("missing"), "").unwrap();
    assert_eq!(error_of(&path).await.to_string(), expected);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_that_must_not_be_written_is_said_to_be() {
    // Nobody can make a file there, not even root, who may write wherever permissions forbid it.
    let path = Path::new("/sys/wfe.db");
    let error = error_of(path).await;
    assert_eq!(
        error.to_string(),
        "the database /sys/wfe.db cannot be read and written: allow the process both, for the file \
         and its folder"
    );
    assert!(error.source().is_some());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let file = File::create().await;
    let text = "These are my notes. ".repeat(1000);
    fs::write(file.path(), &text).unwrap();
    assert_eq!(
        error_of(&file.path()).await.to_string(),
        format!(
            "{} is no SQLite database, or a damaged one: give another path, or put a backup there",
            file.path().display()
        )
    );
    assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let file = made().await;
    let sound = fs::read(file.path()).unwrap();
    // The header, the schema, and all after the first page.
    let wrong_header = [&b"SQLite format 9\0"[..], &sound[16..]].concat();
    let wrong_schema = [&sound[..100], &[0xaa; 3000], &sound[3100..]].concat();
    let cut = sound[..4096].to_vec();
    for damaged in [wrong_header, wrong_schema, cut] {
        fs::write(file.path(), damaged).unwrap();
        let error = error_of(&file.path()).await;
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        assert!(error.source().is_some());
    }
    fs::write(file.path(), sound).unwrap();
    assert_eq!(all(&*file.open().await).await.len(), 1);
}

#[tokio::test]
async fn the_database_of_another_program_is_left_as_it_is() {
    let file = File::create().await;
    let options = SqliteConnectOptions::new().filename(file.path()).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("CREATE TABLE albums (name TEXT)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = fs::read(file.path()).unwrap();
    assert_eq!(
        error_of(&file.path()).await.to_string(),
        format!("{} is the database of another program: give another path", file.path().display())
    );
    assert_eq!(fs::read(file.path()).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let file = made().await;
    let mut connection = file.connect().await;
    let sql = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', '', TRUE, X'', 0)";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = file.dump().await;
    assert_eq!(
        error_of(&file.path()).await.to_string(),
        format!(
            "the database {} has schema version 9999, and this program knows none after {NEWEST}: \
             run the version of the program that wrote it, or a later one",
            file.path().display()
        )
    );
    assert_eq!(file.dump().await, before);
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_brought_up_to_date_and_keeps_its_data() {
    let file = made().await;
    let before = all(&*file.open().await).await;
    // What the later steps made is taken away, so that the file is as the first one left it.
    let mut connection = file.connect().await;
    let sql = "DROP TRIGGER targets_blocked_by_failure; DROP TRIGGER targets_block_cleared;
        DROP TABLE clearances; DROP TABLE parameter_key;
        ALTER TABLE targets DROP COLUMN blocked_since; ALTER TABLE targets DROP COLUMN failed_at;
        ALTER TABLE targets DROP COLUMN blocking_execution;
        ALTER TABLE targets DROP COLUMN failed_execution;
        ALTER TABLE targets DROP COLUMN failures; ALTER TABLE targets DROP COLUMN successes;
        DROP TRIGGER requests_not_withdrawn; DROP TABLE withdrawals;
        DROP TRIGGER events_on_record; DROP TABLE checkpoints; DROP TABLE log; DROP TABLE log_base;
        DROP TABLE log_streams; DROP TABLE leases;
        DROP TABLE outbox; DROP TABLE outbox_cursor; DROP TABLE outbox_clocks;
        DELETE FROM _sqlx_migrations WHERE version > 1";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE sql LIKE '%withdraw%' OR sql LIKE '%block%' OR sql LIKE '%log%'
        OR sql LIKE '%checkpoint%'
        UNION SELECT description FROM _sqlx_migrations",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(left, ["executions"]);
    connection.close().await.unwrap();

    let store = file.open().await;
    assert_eq!(all(&*store).await, before);
    let repeated = start(&*store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    assert_eq!(repeated, StartDecision::Repeat(mk_id(1)));
    let (known, new) = (mk_withdrawal(1, 0), mk_withdrawal(2, 0));
    assert_eq!(withdraw(&*store, &known).await.unwrap(), WithdrawDecision::Stop(mk_id(1)));
    let withdrawn = withdraw(&*store, &new).await.unwrap();
    assert_eq!(withdrawn, WithdrawDecision::Withdraw(new));
}

#[tokio::test]
async fn a_schema_of_another_history_is_refused() {
    let file = made().await;
    let mut connection = file.connect().await;
    let sql = "UPDATE _sqlx_migrations SET checksum = X'00' WHERE version = 1";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(
        error_of(&file.path()).await.to_string(),
        format!(
            "schema version 1 of the database {} is not the one that this program makes: run the \
             program that wrote it",
            file.path().display()
        )
    );
}

#[tokio::test]
async fn a_database_that_another_process_keeps_locked_is_said_to_be() {
    let file = made().await;
    let mut other = file.connect().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let impatient = Tuning {
        busy_timeout: Duration::from_millis(1),
        open_retries: ExponentialBuilder::new().with_max_times(0),
        ..Tuning::default()
    };
    let opened = SqliteStore::open_tuned(&file.path(), Arc::new(Unobserved), &impatient).await;
    assert_eq!(
        opened.unwrap_err().to_string(),
        format!(
            "another process keeps the database {} locked: stop that process",
            file.path().display()
        )
    );
    lock.rollback().await.unwrap();
    file.open().await.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_start_at_once_on_a_new_file_open_it() {
    for _ in 0..20 {
        let file = File::create().await;
        let path = file.path();
        let open = async || SqliteStore::open(&path, Arc::new(Unobserved)).await.unwrap();
        let (one, ..) = tokio::join!(open(), open(), open(), open());
        start(&one, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
        assert_eq!(all(&open().await).await.len(), 1);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let file = File::create().await;
    let store = file.open().await;
    start(&*store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    for entry in fs::read_dir(file.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn a_store_in_memory_works() {
    let store = SqliteStore::in_memory().await.unwrap();
    for n in 1..=3 {
        start(&store, &mk_new(n, "pod/a", WhenLocked::Wait)).await.unwrap();
    }
    store.check().await.unwrap();
    crate::store::conformance::assert_sound(&store).await;
}
