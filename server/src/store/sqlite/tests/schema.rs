//! The schema refuses what must not be, whoever writes it.

use sqlx::{Connection, SqliteConnection};
use wfe_core::{
    clear::{self, ClearView, Outcome},
    lock::ForeignRuns,
    request::WhenLocked,
    start::StartDecision,
};

use super::File;
use crate::{
    store::conformance::Backend,
    testing::{
        advance, around, at, mk_clearance, mk_id, mk_key, mk_new, mk_withdrawal, run_exists,
        run_failed, run_succeeded, start, withdraw,
    },
};

/// Execution 1 succeeded on `pod/a`; 2 holds it, 3 waits, 4 is attached to 2. 5 holds `pod/b`.
/// Request 6 is withdrawn. 7 failed on `pod/c`, which it blocks; somebody tried to clear another one.
async fn filled() -> File {
    let file = File::create().await;
    let store = file.open().await;
    for (n, target, when_locked) in [
        (1, "pod/a", WhenLocked::Wait),
        (2, "pod/a", WhenLocked::Wait),
        (3, "pod/a", WhenLocked::Wait),
        (5, "pod/b", WhenLocked::Wait),
    ] {
        start(&*store, &mk_new(n, target, when_locked)).await.unwrap();
    }
    advance(&*store, mk_id(1), run_exists()).await.unwrap();
    advance(&*store, mk_id(1), run_succeeded()).await.unwrap();
    let attached = start(&*store, &mk_new(4, "pod/a", WhenLocked::Attach)).await.unwrap();
    assert_eq!(attached, StartDecision::Attach(mk_id(2)));
    withdraw(&*store, &mk_withdrawal(6, 0)).await.unwrap();
    start(&*store, &mk_new(7, "pod/c", WhenLocked::Wait)).await.unwrap();
    advance(&*store, mk_id(7), run_exists()).await.unwrap();
    advance(&*store, mk_id(7), run_failed()).await.unwrap();
    let (clearance, foreign) = (mk_clearance(1), ForeignRuns::default());
    let clear = |view: ClearView<'_>| {
        clear::decide(view, &clearance, Some(mk_id(1)), around(&foreign, at(1)))
    };
    let decision = store.clear(&mk_key("pod/c"), &clear).await.unwrap();
    assert_eq!(decision.attempt.outcome, Outcome::Stale(mk_id(7)));
    store.close().await;
    file
}

/// Runs statements as one transaction and answers why that is refused.
async fn refusal(connection: &mut SqliteConnection, sql: &'static str) -> Option<String> {
    let mut transaction = connection.begin().await.unwrap();
    if let Err(error) = sqlx::raw_sql(sql).execute(&mut *transaction).await {
        return Some(error.to_string());
    }
    transaction.commit().await.err().map(|error| error.to_string())
}

const FOREIGN_KEY: &str = "FOREIGN KEY constraint failed";

/// `$n` in a statement stands for the id of execution `n`.
const REFUSED: &[(&str, &str)] = &[
    // What was sealed needs the key that sealed it.
    (
        "parameter_key_only_one",
        "INSERT INTO parameter_key VALUES (1, 'a'); INSERT INTO parameter_key VALUES (2, 'b')",
    ),
    (
        "parameter_key_immutable",
        "INSERT INTO parameter_key VALUES (1, 'a'); UPDATE parameter_key SET fingerprint = 'b'",
    ),
    ("parameter_key_fingerprint", "INSERT INTO parameter_key (fingerprint) VALUES ('')"),
    // Events are never changed, and follow each other.
    ("events_immutable", "UPDATE events SET actor = '{}' WHERE execution = $1 AND revision = 1"),
    ("events_kept", "DELETE FROM events WHERE execution = $1 AND revision = 4"),
    (
        "events_without_gaps",
        "DROP TRIGGER events_on_record;
         UPDATE executions SET revision = 9 WHERE id = $2;
         INSERT INTO events VALUES ($2, 9, 0, 'progressed', 'starting', 'starting', '{}',
             '{\"type\": \"progressed\"}')",
    ),
    (
        "events_without_gaps",
        "DROP TRIGGER events_on_record;
         INSERT INTO events VALUES ($2, 2, 0, 'progressed', 'waiting', 'waiting', '{}',
             '{\"type\": \"progressed\"}')",
    ),
    (
        "events_continue",
        "DROP TRIGGER events_on_record;
         UPDATE executions SET revision = 4 WHERE id = $2;
         INSERT INTO events VALUES ($2, 4, 0, 'progressed', 'waiting', 'starting', '{}',
             '{\"type\": \"progressed\"}')",
    ),
    (
        "events_of_change",
        "DROP TRIGGER events_on_record;
         INSERT INTO events VALUES ($2, 4, 0, 'progressed', 'starting', 'starting', '{}',
             '{\"type\": \"progressed\"}')",
    ),
    (
        "events_of_change",
        "DROP TRIGGER events_on_record;
         UPDATE executions SET revision = 4 WHERE id = $2;
         INSERT INTO events VALUES ($2, 4, 0, 'failed', 'starting', 'failed', '{}',
             '{\"type\": \"failed\"}')",
    ),
    (
        "events_of_change",
        "DROP TRIGGER events_on_record;
         INSERT INTO events VALUES ('nobody', 1, 0, 'accepted', NULL, 'waiting', '{}',
             '{\"type\": \"accepted\"}')",
    ),
    (
        "events_begin_with_acceptance",
        "DROP TRIGGER events_on_record;
         INSERT INTO executions SELECT NULL, 'new', 'request-4', cluster, target, target_hash,
             correlation_id, actor, created_at, state, 1, epoch, run_name, updated_at, ended_at,
             detail FROM executions WHERE id = $3;
         INSERT INTO events VALUES ('new', 1, 0, 'held', NULL, 'waiting', '{}',
             '{\"type\": \"held\"}')",
    ),
    (
        "events_detail_of_kind",
        "DROP TRIGGER events_on_record;
         UPDATE executions SET revision = 4 WHERE id = $2;
         INSERT INTO events VALUES ($2, 4, 0, 'progressed', 'starting', 'starting', '{}',
             '{\"type\": \"failed\"}')",
    ),
    (
        "events_detail_of_kind",
        "DROP TRIGGER events_on_record;
         UPDATE executions SET revision = 4 WHERE id = $2;
         INSERT INTO events VALUES ($2, 4, 0, 'progressed', 'starting', 'starting', '{}', '{}')",
    ),
    // What was accepted does not change and does not go.
    ("executions_immutable", "UPDATE executions SET id = 'x', revision = 9 WHERE id = $2"),
    ("executions_immutable", "UPDATE executions SET request_id = 'x', revision = 9 WHERE id = $2"),
    ("executions_immutable", "UPDATE executions SET cluster = 'x', revision = 9 WHERE id = $2"),
    ("executions_immutable", "UPDATE executions SET target = 'x', revision = 9 WHERE id = $2"),
    ("executions_immutable", "UPDATE executions SET target_hash = 'x', revision = 9 WHERE id = $2"),
    (
        "executions_immutable",
        "UPDATE executions SET correlation_id = 'x', revision = 9 WHERE id = $2",
    ),
    ("executions_immutable", "UPDATE executions SET actor = '{}', revision = 9 WHERE id = $2"),
    ("executions_immutable", "UPDATE executions SET created_at = 0, revision = 9 WHERE id = $2"),
    ("executions_immutable", "UPDATE executions SET sequence = 99, revision = 9 WHERE id = $2"),
    ("executions_kept", "DELETE FROM executions WHERE id = $1"),
    ("executions_terminal", "UPDATE executions SET revision = 9 WHERE id = $1"),
    ("executions_revision_rises", "UPDATE executions SET updated_at = 0 WHERE id = $2"),
    ("executions_revision_rises", "UPDATE executions SET revision = 1 WHERE id = $2"),
    ("executions_epoch_rises", "UPDATE executions SET epoch = 1, revision = 9 WHERE id = $2"),
    // A change has its event.
    (FOREIGN_KEY, "UPDATE executions SET revision = 9 WHERE id = $2"),
    // States and what belongs to them.
    (
        "executions_state",
        "UPDATE executions SET state = 'paused', detail = '{\"state\": \"paused\"}', revision = 9
         WHERE id = $2",
    ),
    (
        "executions_detail_of_state",
        "UPDATE executions SET state = 'running', revision = 9 WHERE id = $2",
    ),
    (
        "executions_detail_of_state",
        "UPDATE executions SET detail = '{}', revision = 9 WHERE id = $2",
    ),
    ("malformed JSON", "UPDATE executions SET detail = 'x', revision = 9 WHERE id = $2"),
    (
        "executions_ended_at_of_state",
        "UPDATE executions SET ended_at = 1, revision = 9 WHERE id = $2",
    ),
    (
        "executions_ended_at_of_state",
        "UPDATE executions SET state = 'failed', detail = '{\"state\": \"failed\"}', revision = 9
         WHERE id = $2",
    ),
    ("executions_run_whole", "UPDATE executions SET run_name = NULL, revision = 9 WHERE id = $2"),
    (
        "executions_run_of_state",
        "UPDATE executions SET epoch = 7, run_name = 'x', revision = 9 WHERE id = $3",
    ),
    (
        "executions_run_of_state",
        "UPDATE executions SET state = 'starting', detail = '{\"state\": \"starting\"}',
             revision = 9 WHERE id = $3",
    ),
    // One holder.
    (
        "UNIQUE constraint failed: executions.cluster, executions.target",
        "UPDATE executions SET state = 'starting', detail = '{\"state\": \"starting\"}', epoch = 3,
             run_name = 'x', revision = 9 WHERE id = $3",
    ),
    // One execution of a request.
    (
        "UNIQUE constraint failed: executions.request_id",
        "INSERT INTO executions SELECT NULL, 'new', request_id, cluster, target, target_hash,
             correlation_id, actor, created_at, state, revision, epoch, run_name, updated_at,
             ended_at, detail FROM executions WHERE id = $3",
    ),
    (
        "UNIQUE constraint failed: requests.request_id",
        "INSERT INTO requests SELECT * FROM requests WHERE attached = 1",
    ),
    (
        "UNIQUE constraint failed: requests.execution",
        "DROP TRIGGER requests_attached_to_another;
         INSERT INTO requests VALUES ('other', $2, 0, 0, '{\"request_id\": \"other\"}')",
    ),
    (
        "requests_attached_to_another",
        "INSERT INTO requests VALUES ('other', $2, 0, 0, '{\"request_id\": \"other\"}')",
    ),
    (
        "requests_attached_to_another",
        "INSERT INTO requests VALUES ('other', 'nobody', 1, 0, '{\"request_id\": \"other\"}')",
    ),
    (
        "requests_request_of_id",
        "INSERT INTO requests VALUES ('other', $2, 1, 0, '{\"request_id\": \"another\"}')",
    ),
    ("requests_immutable", "UPDATE requests SET execution = $3 WHERE request_id = 'request-4'"),
    ("requests_kept", "DELETE FROM requests WHERE request_id = 'request-4'"),
    // A request is withdrawn once, for ever, and only when nothing was accepted for it.
    (
        "withdrawals_of_nothing_accepted",
        "INSERT INTO withdrawals VALUES ('request-1', 0, '{}', 'x')",
    ),
    (
        "requests_not_withdrawn",
        "INSERT INTO requests VALUES ('request-6', $2, 1, 0, '{\"request_id\": \"request-6\"}')",
    ),
    (
        "UNIQUE constraint failed: withdrawals.request_id",
        "INSERT INTO withdrawals VALUES ('request-6', 0, '{}', 'x')",
    ),
    ("withdrawals_immutable", "UPDATE withdrawals SET reason = 'x'"),
    ("withdrawals_kept", "DELETE FROM withdrawals"),
    ("withdrawals_actor_json", "INSERT INTO withdrawals VALUES ('request-8', 0, '{', 'x')"),
    ("withdrawals_reason", "INSERT INTO withdrawals VALUES ('request-8', 0, '{}', '')"),
    // Targets: who holds, and under which epoch.
    ("targets_holder_holds", "UPDATE targets SET holder = NULL, held_since = NULL"),
    ("targets_holder_holds", "UPDATE targets SET holder = $3, epoch = 3 WHERE target = 'pod/a'"),
    ("targets_holder_holds", "UPDATE targets SET epoch = 3 WHERE target = 'pod/a'"),
    (
        "targets_holder_holds",
        "INSERT INTO targets (cluster, target, hash, epoch, holder, held_since)
             VALUES ('', 'pod/z', 'hash', 1, $5, 0)",
    ),
    (
        "targets_epoch_rises",
        "DROP TRIGGER targets_holder_holds; UPDATE targets SET epoch = 1 WHERE target = 'pod/a'",
    ),
    (
        "targets_epoch_rises",
        "DROP TRIGGER targets_holder_holds; UPDATE targets SET holder = $3 WHERE target = 'pod/a'",
    ),
    ("targets_hold_whole", "UPDATE targets SET held_since = NULL WHERE target = 'pod/a'"),
    (
        "targets_hold_has_epoch",
        "DROP TRIGGER targets_holder_holds; DROP TRIGGER targets_epoch_rises;
         UPDATE targets SET epoch = 0 WHERE target = 'pod/a'",
    ),
    ("targets_immutable", "UPDATE targets SET hash = 'x'"),
    ("targets_kept", "DELETE FROM targets WHERE target = 'pod/b'"),
    // What is left behind on a target, whole and of its own executions.
    ("targets_successes_json", "UPDATE targets SET successes = '[]'"),
    ("targets_failures", "UPDATE targets SET failures = -1"),
    ("targets_failures_whole", "UPDATE targets SET failures = 1, failed_at = 0"),
    ("targets_failed_at", "UPDATE targets SET failures = 1, failed_execution = $1"),
    (FOREIGN_KEY, "UPDATE targets SET failures = 1, failed_execution = 'x', failed_at = 0"),
    ("targets_block_whole", "UPDATE targets SET blocked_since = 0"),
    (
        "targets_blocked_by_failure",
        "UPDATE targets SET blocking_execution = $1, blocked_since = 0 WHERE target = 'pod/a'",
    ),
    (
        "targets_blocked_by_failure",
        "UPDATE targets SET blocking_execution = $7, blocked_since = 0 WHERE target = 'pod/a'",
    ),
    (
        "targets_block_cleared",
        "UPDATE targets SET blocking_execution = NULL, blocked_since = NULL
         WHERE target = 'pod/c'",
    ),
    // Attempts to clear stay, and a block is cleared once.
    ("clearances_immutable", "UPDATE clearances SET ticket = 'x'"),
    ("clearances_kept", "DELETE FROM clearances"),
    (
        "clearances_actor_json",
        "INSERT INTO clearances VALUES (NULL, '', 'pod/a', 0, '{', 'long enough', NULL,
             'not_blocked', NULL)",
    ),
    (
        "clearances_reason",
        "INSERT INTO clearances VALUES (NULL, '', 'pod/a', 0, '{}', 'short', NULL,
             'not_blocked', NULL)",
    ),
    (
        "clearances_outcome",
        "INSERT INTO clearances VALUES (NULL, '', 'pod/a', 0, '{}', 'long enough', NULL,
             'perhaps', $1)",
    ),
    (
        "clearances_execution_of_outcome",
        "INSERT INTO clearances VALUES (NULL, '', 'pod/a', 0, '{}', 'long enough', NULL,
             'cleared', NULL)",
    ),
    (
        "UNIQUE constraint failed: clearances.execution",
        "INSERT INTO clearances VALUES (NULL, '', 'pod/c', 0, '{}', 'long enough', NULL,
             'cleared', $7);
         INSERT INTO clearances VALUES (NULL, '', 'pod/c', 0, '{}', 'long enough', NULL,
             'cleared', $7)",
    ),
    // The log: one order without gaps, never rewritten, deleted from its beginning only.
    (
        "log_without_gaps",
        "INSERT INTO log SELECT sequence + 2, 'security', 1, at, NULL, NULL,
             json_object('sequence', sequence + 2, 'stream', 'security', 'revision', 1), hash
         FROM log ORDER BY sequence DESC LIMIT 1",
    ),
    (
        "log_entry",
        "INSERT INTO log SELECT sequence + 1, 'security', 1, at, NULL, NULL,
             json_object('sequence', sequence + 1, 'stream', 'security', 'revision', 2), hash
         FROM log ORDER BY sequence DESC LIMIT 1",
    ),
    (
        "log_revision",
        "INSERT INTO log SELECT sequence + 1, 'security', 0, at, NULL, NULL,
             json_object('sequence', sequence + 1, 'stream', 'security', 'revision', 0), hash
         FROM log ORDER BY sequence DESC LIMIT 1",
    ),
    (
        "log_hash",
        "INSERT INTO log SELECT sequence + 1, 'security', 1, at, NULL, NULL,
             json_object('sequence', sequence + 1, 'stream', 'security', 'revision', 1), X'00'
         FROM log ORDER BY sequence DESC LIMIT 1",
    ),
    (
        "UNIQUE constraint failed: log.stream, log.revision",
        "INSERT INTO log SELECT (SELECT max(sequence) + 1 FROM log), stream, revision, at, NULL,
             NULL, json_set(entry, '$.sequence', (SELECT max(sequence) + 1 FROM log)), hash
         FROM log WHERE sequence = 1",
    ),
    ("log_immutable", "UPDATE log SET hash = X'00' WHERE sequence = 2"),
    ("log_kept", "DELETE FROM log WHERE sequence = 1"),
    ("log_base_one", "INSERT INTO log_base SELECT 2, log, sequence, hash FROM log_base"),
    ("log_base_kept", "DELETE FROM log_base"),
    (
        "log_base_moves_on",
        "DROP TRIGGER log_base_signed; UPDATE log_base SET log = hash, sequence = 0",
    ),
    ("log_base_moves_on", "DROP TRIGGER log_base_signed; UPDATE log_base SET sequence = 2"),
    ("log_base_moves_on", "DROP TRIGGER log_base_signed; UPDATE log_base SET sequence = 999999"),
    (
        "log_base_whole",
        "DROP TRIGGER log_base_signed; DROP TRIGGER log_base_moves_on; UPDATE log_base SET hash = zeroblob(32)",
    ),
    (
        "log_base_signed",
        "DROP TRIGGER log_base_moves_on;
         UPDATE log_base SET sequence = 2, hash = (SELECT hash FROM log WHERE sequence = 2)",
    ),
    (
        "checkpoints_sequence",
        "DROP TRIGGER checkpoints_of_the_log; INSERT INTO checkpoints VALUES (-1, zeroblob(32), 0, 'k', 's')",
    ),
    (
        "checkpoints_hash",
        "DROP TRIGGER checkpoints_of_the_log; INSERT INTO checkpoints VALUES (1, X'00', 0, 'k', 's')",
    ),
    ("checkpoints_key", "INSERT INTO checkpoints SELECT sequence, hash, 0, '', 's' FROM log_base"),
    (
        "checkpoints_signature",
        "INSERT INTO checkpoints SELECT sequence, hash, 0, 'k', '' FROM log_base",
    ),
    ("checkpoints_of_the_log", "INSERT INTO checkpoints VALUES (2, zeroblob(32), 0, 'k', 's')"),
    (
        "checkpoints_rise",
        "INSERT INTO checkpoints SELECT sequence, hash, 0, 'k', 's' FROM log WHERE sequence = 2;
         INSERT INTO checkpoints SELECT sequence, hash, 0, 'k', 's' FROM log WHERE sequence = 1",
    ),
    (
        "checkpoints_immutable",
        "INSERT INTO checkpoints SELECT sequence, hash, 0, 'k', 's' FROM log WHERE sequence = 2;
         UPDATE checkpoints SET at = 1",
    ),
    (
        "checkpoints_kept",
        "INSERT INTO checkpoints SELECT sequence, hash, 0, 'k', 's' FROM log WHERE sequence = 2;
         DELETE FROM checkpoints",
    ),
    ("log_streams_revision", "INSERT INTO log_streams VALUES ('security', 0)"),
    (
        "events_on_record",
        "UPDATE executions SET revision = 4 WHERE id = $2;
         INSERT INTO events VALUES ($2, 4, 0, 'progressed', 'starting', 'starting', '{}',
             '{\"type\": \"progressed\"}')",
    ),
    ("leases_epoch", "INSERT INTO leases VALUES ('x', 'y', 0, 0)"),
    // What is on its way: taken up once, one of a correlation id in flight, never rewritten.
    ("outbox_cursor_one", "INSERT INTO outbox_cursor VALUES (2, 0)"),
    ("outbox_cursor_sequence", "INSERT INTO outbox_cursor VALUES (1, -1)"),
    (
        "outbox_cursor_moves_on",
        "INSERT INTO outbox_cursor VALUES (1, 5); UPDATE outbox_cursor SET sequence = 5",
    ),
    (
        "outbox_clocks_rise",
        "INSERT INTO outbox_clocks VALUES ('a', 5); UPDATE outbox_clocks SET newest = 5",
    ),
    (
        "outbox_event",
        "INSERT INTO outbox VALUES (1, 'b', 0, '{\"correlation_id\": \"a\"}', 'pending', 0, NULL, NULL, NULL, NULL)",
    ),
    (
        "outbox_state",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'lost', 0, 0, NULL, NULL, NULL)",
    ),
    (
        "outbox_since",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'pending', 0, 0, NULL, NULL, NULL)",
    ),
    (
        "outbox_since",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'sending', 0, NULL, NULL, NULL, NULL)",
    ),
    (
        "outbox_well_since",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'sending', 0, 0, 0, NULL, NULL)",
    ),
    (
        "outbox_reason",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'pending', 0, NULL, NULL, 'invalid', NULL)",
    ),
    (
        "outbox_reason",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'parked', 0, 0, NULL, 'lost', 'x')",
    ),
    (
        "outbox_problem",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'parked', 0, 0, NULL, 'invalid', NULL)",
    ),
    (
        "UNIQUE constraint failed: outbox.correlation_id",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'pending', 0, NULL, NULL, NULL, NULL); INSERT INTO outbox VALUES (2, 'a', 0, '{\"correlation_id\": \"a\"}', 'doubtful', 0, 0, NULL, NULL, NULL)",
    ),
    (
        "outbox_immutable",
        "INSERT INTO outbox VALUES (1, 'a', 0, '{\"correlation_id\": \"a\"}', 'pending', 0, NULL, NULL, NULL, NULL); UPDATE outbox SET at = 1",
    ),
    // Types are kept.
    (
        "cannot store TEXT value in INTEGER column",
        "UPDATE executions SET updated_at = 'today', revision = 9 WHERE id = $2",
    ),
];

#[tokio::test]
async fn the_schema_refuses_what_must_not_be() {
    let file = filled().await;
    let before = file.dump().await;
    let mut connection = file.connect().await;
    for (rule, sql) in REFUSED {
        let sql = (1..=7).fold((*sql).to_owned(), |sql, n: u32| {
            sql.replace(&format!("${n}"), &format!("'{}'", mk_id(n)))
        });
        let refusal = refusal(&mut connection, sql.clone().leak()).await;
        assert!(
            refusal.as_ref().is_some_and(|refusal| refusal.contains(rule)),
            "{rule}: {refusal:?} to {sql}"
        );
    }
    connection.close().await.unwrap();
    assert_eq!(file.dump().await, before);
}

#[tokio::test]
async fn every_rule_of_the_schema_is_tried() {
    let file = filled().await;
    let mut connection = file.connect().await;
    let triggers: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert!(!triggers.is_empty());
    for trigger in triggers {
        let tried = REFUSED.iter().any(|(rule, _)| trigger.starts_with(rule));
        assert!(tried, "{trigger}");
    }
}
