//! Times and spans of time, between the contract, the clock and people.

use std::time::Duration;

use jiff::Timestamp;

/// A point in time as the contract has it.
pub(crate) fn to_proto(time: Timestamp) -> prost_types::Timestamp {
    let mut proto =
        prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() };
    proto.normalize();
    proto
}

/// A point in time from the contract. None when it is absent or not a time.
pub(crate) fn from_proto(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A point in time in RFC 3339 with milliseconds; a dash when there is none.
pub(crate) fn stamp(time: Option<&prost_types::Timestamp>) -> String {
    from_proto(time).map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"))
}

/// From `start` to `end`, or to `now` without an end. None without a start. Never below zero: the
/// clocks of two machines differ.
pub(crate) fn between(
    start: Option<&prost_types::Timestamp>,
    end: Option<&prost_types::Timestamp>,
    now: Timestamp,
) -> Option<Duration> {
    let start = from_proto(start)?;
    let end = from_proto(end).unwrap_or(now);
    Some(Duration::try_from(end.duration_since(start)).unwrap_or_default())
}

/// A span of time in the two largest units that say enough: 1.2s, 42s, 3m 4s, 2h 5m, 3d 4h.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if seconds < 10 {
        format!("{seconds}.{}s", span.subsec_millis() / 100)
    } else if minutes == 0 {
        format!("{seconds}s")
    } else if hours == 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else if days == 0 {
        format!("{hours}h {}m", minutes % 60)
    } else {
        format!("{days}d {}h", hours % 24)
    }
}

/// A span of time, or nothing.
pub(crate) fn span_or_dash(value: Option<Duration>) -> String {
    value.map_or_else(|| "-".to_owned(), span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        for (millis, text) in [
            (0, "0.0s"),
            (1_250, "1.2s"),
            (9_999, "9.9s"),
            (10_000, "10s"),
            (59_999, "59s"),
            (60_000, "1m 0s"),
            (184_000, "3m 4s"),
            (7_500_000, "2h 5m"),
            (273_600_000, "3d 4h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_time_passes_through_the_contract_unchanged() {
        for text in ["2026-11-21T10:00:00.123456789Z", "1969-12-31T23:59:59.5Z"] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(from_proto(Some(&to_proto(time))), Some(time));
        }
        let impossible = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(stamp(Some(&impossible)), "-");
    }

    #[test]
    fn a_start_in_the_future_is_no_time_ago() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let later = to_proto("2026-11-21T10:00:05Z".parse().unwrap());
        assert_eq!(between(Some(&later), None, now), Some(Duration::ZERO));
        assert_eq!(between(None, Some(&later), now), None);
    }
}
