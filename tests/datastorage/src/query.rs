//! Reading back.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    check,
    table::{Row, Table},
};

const COLUMNS: [&str; 5] =
    ["correlation_id", "event_type", "event_category", "event_outcome", "severity"];

/// A parameter has a value that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadQuery;

/// The page that a query asks for. Parameters that nobody knows are ignored.
pub(crate) fn page(
    table: &Table,
    query: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Value, BadQuery> {
    let number = |name: &str, default: usize, range: std::ops::RangeInclusive<usize>| {
        let Some(text) = query.get(name) else { return Ok(default) };
        text.parse().ok().filter(|number| range.contains(number)).ok_or(BadQuery)
    };
    let (limit, offset) = (number("limit", 50, 1..=1000)?, number("offset", 0, 0..=usize::MAX)?);
    let since = query.get("since").map(|text| moment(text, now)).transpose()?;
    let until = query.get("until").map(|text| moment(text, now)).transpose()?;
    let detail = match (query.get("detail_key"), query.get("detail_value")) {
        (Some(key), Some(value)) => Some((key, value)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(BadQuery),
    };
    let wanted = |row: &&Row| {
        let columns = COLUMNS.iter().all(|name| {
            query.get(*name).is_none_or(|text| row.columns.get(*name) == Some(&json!(text)))
        });
        let detailed = detail.is_none_or(|(key, value)| {
            row.columns.get("event_data").and_then(|data| data.get(key)) == Some(&json!(value))
        });
        let later = since.is_none_or(|since| row.at >= since);
        columns && detailed && later && until.is_none_or(|until| row.at <= until)
    };
    let found: Vec<&Row> = table.newest_first().into_iter().filter(wanted).collect();
    let page: Vec<Value> = found.iter().skip(offset).take(limit).map(|row| row.read()).collect();
    let has_more = offset + page.len() < found.len();
    let pagination =
        json!({"limit": limit, "offset": offset, "total": found.len(), "has_more": has_more});
    Ok(json!({"data": page, "pagination": pagination}))
}

/// A time, or an age such as `1h`.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, BadQuery> {
    if let Ok(time) = check::time(text) {
        return Ok(time);
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(BadQuery)?;
    let number: u64 = number.parse().map_err(|_| BadQuery)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(BadQuery),
    };
    now.saturating_sub(Duration::from_secs(number.saturating_mul(seconds))).map_err(|_| BadQuery)
}
