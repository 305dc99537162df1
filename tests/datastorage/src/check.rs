//! What the schema refuses, what it lets pass although the table will never take it, and what becomes of
//! the rest on its way in.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The most bytes of `event_data`, as it is written here.
const MAX_DATA: usize = 262_144;
const MAX_DEPTH: usize = 10;

const CATEGORIES: [&str; 14] = [
    "gateway",
    "notification",
    "analysis",
    "aiagent",
    "signalprocessing",
    "workflow",
    "workflowexecution",
    "orchestration",
    "approval",
    "effectiveness",
    "actiontype",
    "apifrontend",
    "security",
    "agentsession",
];
const OUTCOMES: [&str; 3] = ["success", "failure", "pending"];
const PHASES: [&str; 4] = ["Pending", "Running", "Completed", "Failed"];
const REASONS: [&str; 10] = [
    "OOMKilled",
    "DeadlineExceeded",
    "Forbidden",
    "ImagePullBackOff",
    "ConfigurationError",
    "ResourceExhausted",
    "TaskFailed",
    "UnsupportedEngine",
    "Deduplicated",
    "Unknown",
];
const COMPONENTS: [&str; 6] = [
    "gateway",
    "aianalysis",
    "workflowexecution",
    "remediationorchestrator",
    "signalprocessing",
    "authwebhook",
];

/// The value fails the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Invalid;

/// A member of an object: its name, whether it is required, and its rule.
type Member = (&'static str, bool, Rule);

#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Characters, at least and at most.
    Text(usize, usize),
    /// The same, or `null`.
    MaybeText(usize),
    Whole,
    MaybeWhole,
    MaybeBool,
    Bool,
    Time,
    MaybeDate,
    OneOf(&'static [&'static str]),
    Texts,
    TextMap,
    Id,
    ErrorDetails,
    Data,
}

const EVENT: &[Member] = &[
    ("version", true, Rule::Text(1, 20)),
    ("event_type", true, Rule::Text(1, 100)),
    ("event_timestamp", true, Rule::Time),
    ("event_category", true, Rule::OneOf(&CATEGORIES)),
    ("event_action", true, Rule::Text(1, 50)),
    ("event_outcome", true, Rule::OneOf(&OUTCOMES)),
    ("correlation_id", true, Rule::Text(1, 255)),
    ("event_data", true, Rule::Data),
    ("actor_type", false, Rule::Text(0, usize::MAX)),
    ("actor_id", false, Rule::Text(0, usize::MAX)),
    ("actor_ip", false, Rule::Text(0, 45)),
    ("resource_type", false, Rule::Text(0, usize::MAX)),
    ("resource_id", false, Rule::Text(0, usize::MAX)),
    ("parent_event_id", false, Rule::Id),
    ("parent_event_date", false, Rule::MaybeDate),
    ("namespace", false, Rule::MaybeText(usize::MAX)),
    ("cluster_id", false, Rule::MaybeText(usize::MAX)),
    ("severity", false, Rule::MaybeText(usize::MAX)),
    ("duration_ms", false, Rule::MaybeWhole),
    ("error_code", false, Rule::MaybeText(usize::MAX)),
    ("error_message", false, Rule::MaybeText(usize::MAX)),
    ("retention_days", false, Rule::MaybeWhole),
    ("is_sensitive", false, Rule::MaybeBool),
];

const ANY: Rule = Rule::Text(0, usize::MAX);

const WORKFLOW: &[Member] = &[
    ("event_type", true, ANY),
    ("workflow_id", true, ANY),
    ("workflow_version", true, ANY),
    ("target_resource", true, ANY),
    ("phase", true, Rule::OneOf(&PHASES)),
    ("container_image", true, ANY),
    ("execution_name", true, ANY),
    ("workflow_name", false, ANY),
    ("action_type", false, ANY),
    ("started_at", false, Rule::Time),
    ("completed_at", false, Rule::Time),
    ("duration", false, ANY),
    ("failure_reason", false, Rule::OneOf(&REASONS)),
    ("failure_message", false, ANY),
    ("failed_task_name", false, ANY),
    ("error_details", false, Rule::ErrorDetails),
    ("pipelinerun_name", false, ANY),
    ("parameters", false, Rule::TextMap),
    ("retry_count", false, Rule::Whole),
];

const CLEARED: &[Member] = &[
    ("event_type", true, ANY),
    ("workflow_name", true, ANY),
    ("clear_reason", true, ANY),
    ("cleared_at", true, Rule::Time),
    ("previous_state", true, Rule::OneOf(&["Blocked"])),
    ("new_state", true, Rule::OneOf(&["Running"])),
];

const ERROR_DETAILS: &[Member] = &[
    ("message", true, ANY),
    ("code", true, ANY),
    ("component", true, Rule::OneOf(&COMPONENTS)),
    ("retry_possible", true, Rule::Bool),
    ("stack_trace", false, Rule::Texts),
];

/// The event without what nobody knows; or it fails the schema.
pub(crate) fn event(value: &Value) -> Result<Map<String, Value>, Invalid> {
    known(value, EVENT)
}

fn known(value: &Value, members: &[Member]) -> Result<Map<String, Value>, Invalid> {
    let object = value.as_object().ok_or(Invalid)?;
    let mut kept = Map::new();
    for (name, required, rule) in members {
        match object.get(*name) {
            Some(value) => {
                kept.insert((*name).to_owned(), checked(value, *rule)?);
            }
            None if *required => return Err(Invalid),
            None => {}
        }
    }
    Ok(kept)
}

fn checked(value: &Value, rule: Rule) -> Result<Value, Invalid> {
    let same = |fine: bool| if fine { Ok(value.clone()) } else { Err(Invalid) };
    let whole = |value: &Value| value.is_i64() || value.is_u64();
    match rule {
        Rule::Text(least, most) => {
            let length = value.as_str().ok_or(Invalid)?.chars().count();
            same((least..=most).contains(&length))
        }
        Rule::MaybeText(most) => {
            same(value.is_null() || value.as_str().is_some_and(|text| text.chars().count() <= most))
        }
        Rule::Whole => same(whole(value)),
        Rule::MaybeWhole => same(value.is_null() || whole(value)),
        Rule::MaybeBool => same(value.is_null() || value.is_boolean()),
        Rule::Bool => same(value.is_boolean()),
        Rule::MaybeDate => same(value.is_null() || value.is_string()),
        Rule::OneOf(values) => same(value.as_str().is_some_and(|text| values.contains(&text))),
        Rule::Texts => {
            same(value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string)))
        }
        Rule::TextMap => {
            same(value.as_object().is_some_and(|texts| texts.values().all(Value::is_string)))
        }
        Rule::Time => time(value.as_str().ok_or(Invalid)?).map(|_| value.clone()),
        Rule::Id => {
            let text = value.as_str().ok_or(Invalid)?;
            text.parse::<uuid::Uuid>().map(|_| value.clone()).map_err(|_| Invalid)
        }
        Rule::ErrorDetails => known(value, ERROR_DETAILS).map(Value::Object),
        Rule::Data => data(value),
    }
}

/// `event_data`: its own type says which members there are. Times in it are kept in whole seconds.
fn data(value: &Value) -> Result<Value, Invalid> {
    let kind = value.get("event_type").and_then(Value::as_str).ok_or(Invalid)?;
    let members = match kind.strip_prefix("workflowexecution.").ok_or(Invalid)? {
        "selection.completed"
        | "execution.started"
        | "workflow.started"
        | "workflow.completed"
        | "workflow.failed" => WORKFLOW,
        "block.cleared" => CLEARED,
        _ => return Err(Invalid),
    };
    let mut kept = known(value, members)?;
    for (name, _, rule) in members {
        if let (Rule::Time, Some(value)) = (rule, kept.get_mut(*name)) {
            let at = time(value.as_str().ok_or(Invalid)?)?;
            let second = Timestamp::from_second(at.as_second()).map_err(|_| Invalid)?;
            *value = json!(second.to_string());
        }
    }
    Ok(Value::Object(kept))
}

/// RFC 3339 in upper case, with a zone.
pub(crate) fn time(text: &str) -> Result<Timestamp, Invalid> {
    let zone = text.ends_with('Z')
        || text.len() > 6 && {
            let zone = &text.as_bytes()[text.len() - 6..];
            matches!(zone[0], b'+' | b'-') && zone[3] == b':'
        };
    if !zone || text.as_bytes().get(10) != Some(&b'T') {
        return Err(Invalid);
    }
    text.parse().map_err(|_| Invalid)
}

/// Whether the age of an event lets it in.
pub(crate) fn in_window(at: Timestamp, now: Timestamp) -> bool {
    let age = now.duration_since(at).as_secs();
    (-60 * 60..=7 * 24 * 60 * 60).contains(&age)
}

/// Whether `event_data` is small and flat enough.
pub(crate) fn fits(data: &Value) -> bool {
    let written = data.to_string();
    let escaped = written.chars().filter(|c| "<>&".contains(*c)).count();
    written.len() + 5 * escaped <= MAX_DATA && depth(data) <= MAX_DEPTH
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Object(members) => members.values().map(depth).max(),
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + inner.unwrap_or(0)
}

/// Whether the table can never take an event that passed the schema.
pub(crate) fn is_poison(event: &Map<String, Value>) -> bool {
    let longer = |name: &str, most: usize| {
        let text = event.get(name).and_then(Value::as_str);
        text.is_some_and(|text| text.chars().count() > most)
    };
    let columns = [
        ("version", 10),
        ("actor_type", 50),
        ("actor_id", 255),
        ("resource_type", 100),
        ("resource_id", 255),
        ("namespace", 253),
        ("cluster_id", 255),
        ("severity", 20),
        ("error_code", 50),
    ];
    columns.into_iter().any(|(name, most)| longer(name, most))
        || event
            .get("actor_ip")
            .and_then(Value::as_str)
            .is_some_and(|text| text.parse::<IpAddr>().is_err())
        || event.get("retention_days").and_then(Value::as_i64).is_some_and(|days| days > 2555)
        || Value::Object(event.clone()).to_string().contains("\\u0000")
}

/// Whether the queue takes it, which checks what the table does not.
pub(crate) fn is_queueable(event: &Map<String, Value>) -> bool {
    let empty = |name: &str| event.get(name).and_then(Value::as_str) == Some("");
    let days = event.get("retention_days").and_then(Value::as_i64);
    !empty("actor_id") && !empty("resource_id") && days.is_none_or(|days| days > 0)
}

/// The columns of an event that passed: defaults in, what is only noise out.
pub(crate) fn columns(mut event: Map<String, Value>, sender: Option<&str>) -> Map<String, Value> {
    // Times are kept in microseconds.
    if let Some(at) = event.get("event_timestamp").and_then(Value::as_str).map(time)
        && let Ok(at) = at
    {
        let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
        event.insert("event_timestamp".to_owned(), json!(at.to_string()));
    }
    event.retain(|_, value| !value.is_null());
    if event.get("duration_ms").and_then(Value::as_i64) == Some(0) {
        event.remove("duration_ms");
    }
    let category = event.get("event_category").cloned().unwrap_or_default();
    let service = format!("{}-service", category.as_str().unwrap_or_default());
    let defaults = [
        ("actor_type", json!("service")),
        ("actor_id", json!(service)),
        ("resource_type", category),
        ("resource_id", event.get("correlation_id").cloned().unwrap_or_default()),
        ("severity", json!("info")),
        ("retention_days", json!(2555)),
        ("is_sensitive", json!(false)),
    ];
    for (name, value) in defaults {
        event.entry(name).or_insert(value);
    }
    if event.get("retention_days").and_then(Value::as_i64).is_some_and(|days| days <= 0) {
        event.insert("retention_days".to_owned(), json!(2555));
    }
    if let Some(user) = sender.filter(|user| !user.starts_with("system:serviceaccount:")) {
        event.insert("actor_type".to_owned(), json!("user"));
        event.insert("actor_id".to_owned(), json!(user));
    }
    event
}
