//! A server on a database of its own, and the tools of somebody who tampers with it.

use std::{
    error::Error as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use tonic::{Status, transport::Channel};
use wfe_audit::{
    checkpoint::Checkpoint,
    key::PublicKey,
    verify::{Kept, Known, Report, verify},
};
use wfe_core::audit::{Entry, Hash, Position};
use wfe_proto::v1::{
    self, execution_service_client::ExecutionServiceClient, start_request, watch_request,
    watch_response,
};
use wfe_runtime::process::Serving as _;
use wfe_server::{Config, Server};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) type Client = ExecutionServiceClient<Channel>;

/// What stays when a server is stopped.
pub(crate) struct Home {
    pub(crate) directory: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs often, so that nobody waits.
    pub(crate) fn config(&self) -> Config {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Config {
            grpc_address: free,
            health_address: free,
            metrics_address: free,
            simulated_task: Duration::from_millis(1),
            audit_checkpoint_interval: Duration::from_millis(100),
            ..Config::dev(self.directory.path())
        }
    }

    pub(crate) async fn start(&self) -> Running {
        Running::start(self.config()).await
    }

    /// A server must not start; answers why.
    pub(crate) async fn refusal(&self) -> String {
        refusal(self.config()).await
    }

    /// A server that did some work and stopped.
    pub(crate) async fn worked(&self) {
        let mut running = self.start().await;
        running.work(1..=3).await;
        running.stop().await;
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        public_key(&self.path("wfe.audit-key.pem.pub"))
    }

    /// Checkpoints that were kept outside.
    pub(crate) fn checkpoints(&self) -> Vec<Checkpoint> {
        let text = fs::read_to_string(self.path("wfe.db.checkpoints")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Verifies an export with the public key of the server, and nothing else.
    pub(crate) fn verify(&self, export: &[u8]) -> Report {
        verify_with(export, self.public_key(), &[])
    }

    /// A connection of somebody who can write the database, and took away what guards it.
    pub(crate) async fn intruder(&self) -> Intruder {
        Intruder::at(&self.path("wfe.db")).await
    }
}

pub(crate) fn public_key(path: &Path) -> PublicKey {
    PublicKey::from_pem(&fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn verify_with(export: &[u8], key: PublicKey, kept: &[Checkpoint]) -> Report {
    let kept = kept.iter().cloned();
    let checkpoints =
        kept.map(|checkpoint| Kept { place: "elsewhere".to_owned(), checkpoint }).collect();
    verify(export, &Known { keys: vec![key], log: None, checkpoints }).unwrap()
}

/// A server must not start; answers why, with every cause.
pub(crate) async fn refusal(config: Config) -> String {
    let Err(error) = Server::start(config).await else { panic!("it started") };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) client: Client,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Self {
        let server = Server::start(config).await.unwrap();
        tokio::time::timeout(PATIENCE, server.ready()).await.unwrap();
        let address = format!("http://{}", server.grpc_address());
        let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
        Self { server, client: ExecutionServiceClient::new(channel) }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await.unwrap();
    }

    /// Executions with these numbers run to their ends, one after the other.
    pub(crate) async fn work(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let bundle = v1::BundleWorkflow {
                reference: "simulated.example/wfe/succeeds:v1".to_owned(),
                ..v1::BundleWorkflow::default()
            };
            let request = v1::StartRequest {
                request_id: format!("request-{number}"),
                target: format!("pod/n{number}"),
                workflow: Some(start_request::Workflow::Bundle(bundle)),
                ..v1::StartRequest::default()
            };
            let started = self.client.start(request).await.unwrap().into_inner();
            let scope = Some(watch_request::Scope::ExecutionId(started.execution.unwrap().id));
            let request = v1::WatchRequest { scope, after: None };
            let mut updates = self.client.watch(request).await.unwrap().into_inner();
            loop {
                let update = updates.message().await.unwrap().unwrap().update;
                if let Some(watch_response::Update::Terminal(_)) = update {
                    break;
                }
            }
        }
    }

    pub(crate) async fn export(&mut self) -> Vec<u8> {
        self.export_after(0).await.unwrap()
    }

    pub(crate) async fn export_after(&mut self, after: i64) -> Result<Vec<u8>, Status> {
        let request = v1::ExportLogRequest { after };
        let mut pieces = self.client.export_log(request).await?.into_inner();
        let mut export = Vec::new();
        while let Some(piece) = pieces.message().await? {
            export.extend(piece.chunk);
        }
        Ok(export)
    }

    pub(crate) async fn page(&self, address: SocketAddr, path: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: wfe\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) async fn readiness(&self) -> serde_json::Value {
        serde_json::from_str(&self.page(self.server.health_address(), "/ready").await).unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.page(self.server.metrics_address(), "/metrics").await
    }
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody who can write the database.
pub(crate) struct Intruder(SqliteConnection);

impl Intruder {
    pub(crate) async fn at(path: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(false)
            .busy_timeout(Duration::from_secs(10))
            .pragma("ignore_check_constraints", "ON");
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let triggers: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        for trigger in triggers {
            let drop = AssertSqlSafe(format!("DROP TRIGGER {trigger}"));
            sqlx::raw_sql(drop).execute(&mut connection).await.unwrap();
        }
        Self(connection)
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut self.0).await.unwrap();
    }

    pub(crate) async fn entries(&mut self) -> Vec<Entry> {
        let rows = sqlx::query("SELECT sequence, hash, entry FROM log ORDER BY sequence")
            .fetch_all(&mut self.0)
            .await
            .unwrap();
        let entry = |row: &sqlx::sqlite::SqliteRow| Entry {
            sequence: Position(row.get::<i64, _>("sequence").try_into().unwrap()),
            hash: Hash(row.get::<Vec<u8>, _>("hash").try_into().unwrap()),
            text: row.get("entry"),
        };
        rows.iter().map(entry).collect()
    }

    /// Replaces everything after `from` by entries with these texts, numbered and hashed as they should
    /// be.
    pub(crate) async fn rewrite(&mut self, from: &Entry, texts: &[String]) {
        self.run(&format!("DELETE FROM log WHERE sequence > {}", from.sequence)).await;
        let mut head = from.head();
        for text in texts {
            let (_, rest) = text.split_once(',').unwrap();
            let sequence = head.sequence.next();
            let text = format!("{{\"sequence\":{sequence},{rest}");
            let hash = head.hash.follow(text.as_bytes());
            sqlx::query(
                "INSERT INTO log (sequence, stream, revision, at, entry, hash) VALUES (?1,
                    ?2 ->> '$.stream', ?2 ->> '$.revision', 0, ?2, ?3)",
            )
            .bind(i64::try_from(sequence.0).unwrap())
            .bind(&text)
            .bind(&hash.0[..])
            .execute(&mut self.0)
            .await
            .unwrap();
            head = wfe_core::audit::Head { sequence, hash };
        }
    }

    pub(crate) async fn leave(self) {
        self.0.close().await.unwrap();
    }
}
