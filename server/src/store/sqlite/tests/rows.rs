//! Rows that contradict themselves are reported with their place.

use wfe_core::{
    clear::{self, ClearDecision, ClearView},
    ids::Revision,
    lock::ForeignRuns,
    request::WhenLocked,
};

use super::File;
use crate::{
    store::{Filter, Page, SettleError, Store, StoreError, conformance::Backend},
    testing::{around, at, mk_clearance, mk_id, mk_key, mk_new, mk_withdrawal, start, withdraw},
};

/// `$1` stands for the id of execution 1.
const WRONG: &[(&str, &str, &str)] = &[
    ("executions", "state", "UPDATE executions SET state = 'running'"),
    ("executions", "detail", "UPDATE executions SET detail = '{\"state\": \"starting\"}'"),
    ("executions", "epoch", "UPDATE executions SET epoch = 7"),
    ("executions", "epoch", "UPDATE executions SET epoch = -7"),
    ("executions", "run_name", "UPDATE executions SET run_name = 'x'"),
    ("executions", "ended_at", "UPDATE executions SET ended_at = 1"),
    ("executions", "target", "UPDATE executions SET target = 'pod/other'"),
    ("executions", "cluster", "UPDATE executions SET cluster = 'other'"),
    ("executions", "actor", "UPDATE executions SET actor = '{}'"),
    ("executions", "created_at", "UPDATE executions SET created_at = 9223372036854775807"),
    ("executions", "revision", "UPDATE executions SET revision = -1"),
    ("requests", "request", "UPDATE requests SET request = '{}'"),
    ("requests", "execution", "UPDATE requests SET execution = 'nobody'"),
    ("events", "kind", "UPDATE events SET kind = 'lost' WHERE revision = 2"),
    ("events", "detail", "UPDATE events SET detail = '{\"type\": \"lost\"}' WHERE revision = 2"),
    ("events", "state_after", "UPDATE events SET state_after = 'lost' WHERE revision = 2"),
    ("events", "state_before", "UPDATE events SET state_before = 'lost' WHERE revision = 2"),
    ("events", "at", "UPDATE events SET at = 9223372036854775807 WHERE revision = 2"),
    ("targets", "holder", "UPDATE targets SET holder = 'nobody'"),
    ("targets", "held_since", "UPDATE targets SET held_since = NULL"),
    ("targets", "epoch", "UPDATE targets SET epoch = -1"),
    ("targets", "successes", "UPDATE targets SET successes = '[]'"),
    ("targets", "failures", "UPDATE targets SET failures = -1"),
    ("targets", "failures", "UPDATE targets SET failures = 2"),
    ("targets", "failed_at", "UPDATE targets SET failures = 1, failed_execution = $1"),
    ("targets", "blocked_since", "UPDATE targets SET blocking_execution = $1"),
    (
        "targets",
        "blocking_execution",
        "UPDATE targets SET blocking_execution = 'x', blocked_since = 0",
    ),
    ("clearances", "actor", "UPDATE clearances SET actor = '{}'"),
    ("clearances", "reason", "UPDATE clearances SET reason = 'short'"),
    ("clearances", "at", "UPDATE clearances SET at = 9223372036854775807"),
    ("clearances", "outcome", "UPDATE clearances SET outcome = 'cleared'"),
    ("clearances", "execution", "UPDATE clearances SET execution = 'nobody'"),
    ("withdrawals", "actor", "UPDATE withdrawals SET actor = '{}'"),
    ("withdrawals", "withdrawn_at", "UPDATE withdrawals SET withdrawn_at = 9223372036854775807"),
];

/// Nothing is blocked, which is kept.
async fn attempt(store: &dyn Store) -> Result<ClearDecision, SettleError> {
    let (clearance, foreign) = (mk_clearance(1), ForeignRuns::default());
    let decide =
        |view: ClearView<'_>| clear::decide(view, &clearance, None, around(&foreign, at(1)));
    store.clear(&mk_key("pod/a"), &decide).await
}

#[tokio::test]
async fn a_row_that_contradicts_itself_is_reported_with_its_place() {
    for (table, column, sql) in WRONG {
        let file = File::create().await;
        let store = file.open().await;
        start(&*store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
        withdraw(&*store, &mk_withdrawal(2, 0)).await.unwrap();
        attempt(&*store).await.unwrap();
        // What the schema would refuse, as a wrong program or a failing disk would write it.
        let mut connection = file.connect().await;
        let rules: Vec<String> = sqlx::query_scalar(
            "SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let off = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
        let sql = sql.replace("$1", &format!("'{}'", mk_id(1)));
        let all = format!("{off} {}; {sql}", rules.join(";"));
        sqlx::raw_sql(sqlx::AssertSqlSafe(all)).execute(&mut connection).await.unwrap();

        let page = Page { before: None, limit: 10 };
        let errors: Vec<StoreError> = [
            store.list(&Filter::default(), page).await.map(drop),
            store.events(mk_id(1), Revision(0), 10).await.map(drop),
            store.target(&mk_key("pod/a")).await.map(drop),
            withdraw(&*store, &mk_withdrawal(1, 0)).await.map(drop),
            withdraw(&*store, &mk_withdrawal(2, 0)).await.map(drop),
            store.attempts(&mk_key("pod/a"), 10).await.map(drop),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect();
        let named = errors.iter().any(|error| {
            matches!(error, StoreError::Inconsistent { table: t, column: c, row, .. }
                if (t, c) == (table, column) && !row.is_empty())
        });
        assert!(named, "{table}.{column}: {errors:?}");
    }
}
