//! The table of events: no key of the sender's, a chain for each correlation id in order of arrival, and a
//! check of it that walks by time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) correlation_id: String,
    /// The columns as they are read back.
    pub(crate) columns: Map<String, Value>,
    hash: String,
    previous: String,
}

/// An event that passed every check, with the id that it was given.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) correlation_id: String,
    /// The columns as they are hashed.
    pub(crate) columns: Map<String, Value>,
    /// The table will never take it.
    pub(crate) poison: bool,
    /// The queue will not take it.
    pub(crate) queueable: bool,
}

/// What the check of a chain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether nothing was tampered with, as far as the check can tell.
    pub valid: bool,
    /// Events of the correlation id.
    pub total: usize,
    /// Those that the check complains about.
    pub tampered: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    ids: BTreeSet<Uuid>,
    newest: BTreeMap<String, String>,
    given: u128,
}

impl Table {
    /// A new id. Ids fall, so that events of one microsecond are always walked against the order in which
    /// they came; in truth that is left to chance.
    pub(crate) fn id(&mut self) -> Uuid {
        self.given += 1;
        Uuid::from_u128(u128::MAX - self.given)
    }

    /// Keeps an event; what is there already stays alone.
    pub(crate) fn insert(&mut self, taken: &Taken) {
        if !self.ids.insert(taken.id) {
            return;
        }
        let previous = self.newest.get(&taken.correlation_id).cloned().unwrap_or_default();
        let hash = hash(&previous, &taken.columns);
        let mut columns = taken.columns.clone();
        if let Some(wide) = columns.get("duration_ms").and_then(Value::as_i64) {
            // The column has 32 bits, and the hash was made before.
            let [a, b, c, d, ..] = wide.to_le_bytes();
            columns.insert("duration_ms".to_owned(), json!(i32::from_le_bytes([a, b, c, d])));
        }
        self.newest.insert(taken.correlation_id.clone(), hash.clone());
        self.rows.push(Row {
            id: taken.id,
            at: taken.at,
            correlation_id: taken.correlation_id.clone(),
            columns,
            hash,
            previous,
        });
    }

    pub(crate) fn has(&self, id: Uuid) -> bool {
        self.ids.contains(&id)
    }

    /// All rows, the newest first, then by falling id.
    pub(crate) fn newest_first(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.at, row.id)));
        rows
    }

    pub(crate) fn in_order_of_arrival(&self) -> Vec<Value> {
        self.rows.iter().map(Row::read).collect()
    }

    pub(crate) fn verify(&self, correlation_id: &str) -> Verdict {
        let mut rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.correlation_id == correlation_id).collect();
        rows.sort_by_key(|row| (row.at, row.id));
        let mut previous = String::new();
        let mut tampered = Vec::new();
        for row in &rows {
            if hash(&previous, &row.columns) != row.hash {
                tampered.push(row.id.to_string());
            }
            previous.clone_from(&row.hash);
        }
        Verdict { valid: tampered.is_empty(), total: rows.len(), tampered }
    }
}

impl Row {
    /// The event as it is read back.
    pub(crate) fn read(&self) -> Value {
        let mut event = self.columns.clone();
        let date = self.at.to_string().chars().take(10).collect::<String>();
        let own = [
            ("event_id", json!(self.id.to_string())),
            ("event_date", json!(date)),
            ("event_hash", json!(self.hash)),
            ("previous_event_hash", json!(self.previous)),
            ("legal_hold", json!(false)),
            ("legal_hold_reason", json!("")),
            ("legal_hold_placed_by", json!("")),
            ("legal_hold_placed_at", Value::Null),
        ];
        event.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(event)
    }
}

fn hash(previous: &str, columns: &Map<String, Value>) -> String {
    let text = Value::Object(columns.clone()).to_string();
    hex::encode(Sha256::new().chain_update(previous).chain_update(text).finalize())
}
