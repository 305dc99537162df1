//! What is particular to SQLite: the schema, the file, and what the system does to it.

use std::{path::PathBuf, sync::Arc};

use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::SqliteStore;
use crate::store::{Outbox, Store, conformance::Backend, observer::Unobserved};

mod faults;
mod opening;
mod rows;
mod schema;

/// A file in a folder of its own.
struct File {
    folder: TempDir,
}

impl File {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("wfe.db")
    }

    /// A connection beside the store, as another program has one.
    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        SqliteConnection::connect_with(&options).await.unwrap()
    }
}

impl Backend for File {
    async fn create() -> Self {
        Self::new()
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path(), Arc::new(Unobserved)).await.unwrap())
    }

    async fn open_outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(SqliteStore::open(&self.path(), Arc::new(Unobserved)).await.unwrap())
    }

    async fn dump(&self) -> Vec<String> {
        let mut connection = self.connect().await;
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT name FROM pragma_table_list WHERE schema = 'main'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let mut rows = Vec::new();
        for table in tables {
            let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
                .bind(&table)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            let quoted: Vec<String> =
                columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
            let sql = format!("SELECT concat_ws(' ', {}) FROM \"{table}\"", quoted.join(", "));
            let cells: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            rows.extend(cells.into_iter().map(|cells| format!("{table}: {cells}")));
        }
        rows.sort();
        connection.close().await.unwrap();
        rows
    }
}

crate::store::conformance::suite!(File);
