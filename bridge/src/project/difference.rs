//! Whether a status must be written.

use serde_json::Value;
use wfe_crds::workflow_execution::WorkflowExecutionStatus;

/// What a write of a status would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Nothing: there is no need to write.
    None,
    /// How far it is, or words: a write may wait a moment.
    Progress,
    /// Something that people or programs wait for.
    Phase,
}

/// What applying `wanted` would change in `current`.
///
/// Looks at what `wanted` says and at nothing else: a field that it does not have is either gone already
/// or somebody else's, which an apply does not remove. What this bridge itself has to take away always
/// goes together with a change of phase, reason or condition.
pub fn differs(
    current: Option<&WorkflowExecutionStatus>,
    wanted: &WorkflowExecutionStatus,
) -> Difference {
    let (current, wanted) = (Parts::of(current), Parts::of(Some(wanted)));
    if !covers(&current.waited_for, &wanted.waited_for) {
        Difference::Phase
    } else if !covers(&current.told, &wanted.told) {
        Difference::Progress
    } else {
        Difference::None
    }
}

/// A status, taken apart by how much a change matters.
struct Parts {
    waited_for: Value,
    told: Value,
}

impl Parts {
    fn of(status: Option<&WorkflowExecutionStatus>) -> Self {
        // A status has no keys that are not text, so it can always be written as JSON.
        let status = status.and_then(|status| serde_json::to_value(status).ok());
        let mut waited_for = match status {
            Some(Value::Object(fields)) => fields,
            Some(_) | None => serde_json::Map::new(),
        };
        let mut told = serde_json::Map::new();
        let progress = waited_for.remove("executionStatus");
        told.extend(progress.map(|progress| ("executionStatus".to_owned(), progress)));
        // A revision that changes nothing else is not worth a write.
        waited_for.remove("executionRevision");
        // By type, since the order in the list has no meaning.
        let conditions = waited_for.remove("conditions");
        for condition in conditions.iter().filter_map(Value::as_array).flatten() {
            let name = format!("condition {}", condition["type"].as_str().unwrap_or_default());
            let core = [&condition["status"], &condition["reason"]];
            waited_for.entry(name.clone()).or_insert_with(|| core.into_iter().cloned().collect());
            told.entry(name).or_insert_with(|| condition.clone());
        }
        Self { waited_for: waited_for.into(), told: told.into() }
    }
}

/// Whether `have` says all that `want` says.
fn covers(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => {
            want.iter().all(|(name, want)| have.get(name).is_some_and(|have| covers(have, want)))
        }
        (have, want) => have == want,
    }
}
