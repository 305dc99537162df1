//! The schema: embedded, forward only. A database of a schema that this program does not know is
//! refused and left as it is.

use std::borrow::Cow;

use sqlx::{
    AssertSqlSafe, Connection, SqlSafeStr, SqliteConnection,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
    query_scalar,
};

/// Stands in the header of our files, so that the database of another program is recognised. Reads
/// `wfex`.
pub(super) const APPLICATION_ID: i32 = 0x7766_6578;

/// Version, description and text of every step, in order. A step that was released never changes.
const STEPS: [(i64, &str, &str); 7] = [
    (1, "executions", include_str!("../../../migrations/sqlite/0001_executions.sql")),
    (2, "withdrawals", include_str!("../../../migrations/sqlite/0002_withdrawals.sql")),
    (3, "gates", include_str!("../../../migrations/sqlite/0003_gates.sql")),
    (4, "log", include_str!("../../../migrations/sqlite/0004_log.sql")),
    (5, "checkpoints", include_str!("../../../migrations/sqlite/0005_checkpoints.sql")),
    (6, "outbox", include_str!("../../../migrations/sqlite/0006_outbox.sql")),
    (7, "parameter_key", include_str!("../../../migrations/sqlite/0007_parameter_key.sql")),
];

/// The newest version that this program knows.
pub(super) const NEWEST: i64 = STEPS[STEPS.len() - 1].0;

/// The steps are listed instead of read by `sqlx::migrate!`, which would have sqlx compiled a second
/// time for its macros, and would miss a new file until something else changes.
fn migrator() -> Migrator {
    let step = |(version, name, sql): (i64, &'static str, &'static str)| {
        let sql = sql.into_sql_str();
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(STEPS.into_iter().map(step).collect())
}

/// What a file is before it is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nothing is in it yet.
    Nobody,
    /// It is ours.
    Us,
    /// Another program keeps its data there.
    SomebodyElse,
}

/// Whose database this is. Both questions are asked of one moment: another process may be making the
/// schema just now.
pub(super) async fn owner(connection: &mut SqliteConnection) -> Result<Owner, sqlx::Error> {
    let mut moment = connection.begin().await?;
    let objects: i64 = query_scalar("-- objects\nSELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *moment)
        .await?;
    let id: i32 =
        query_scalar("-- application_id\nPRAGMA application_id").fetch_one(&mut *moment).await?;
    moment.rollback().await?;
    Ok(match (id, objects) {
        (APPLICATION_ID, _) => Owner::Us,
        (0, 0) => Owner::Nobody,
        _ => Owner::SomebodyElse,
    })
}

/// Brings the schema up to date: in one transaction, so that a second process that starts beside
/// this one waits, and a start that is cut off leaves nothing half done.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    run(connection, &migrator()).await
}

async fn run(connection: &mut SqliteConnection, migrator: &Migrator) -> Result<(), MigrateError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    migrator.run_direct(None, &mut *transaction, false).await?;
    let claim = AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
    sqlx::query(claim).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// The newest version that was applied to a database.
pub(super) async fn applied(connection: &mut SqliteConnection) -> Result<i64, MigrateError> {
    let applied = connection.list_applied_migrations("_sqlx_migrations").await?;
    Ok(applied.iter().map(|step| step.version).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_step() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
        let files: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let steps: BTreeSet<String> =
            STEPS.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
        assert_eq!(steps, files);
        assert!(STEPS.is_sorted_by_key(|(version, ..)| *version));
    }
}
