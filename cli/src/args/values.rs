//! Values that have a form of their own on the command line.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A positive length of time, such as `10s`, `1m 30s` or `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let span = humantime::parse_duration(text)
            .map_err(|error| format!("not a duration such as 10s or 5m: {error}"))?;
        if span.is_zero() {
            return Err("must be more than nothing".to_owned());
        }
        Ok(Span(span))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// When an execution must be over: a span from now, or a point in time in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// So long after the request is made.
    In(Duration),
    /// At this time.
    At(Timestamp),
}

impl Deadline {
    /// The point in time, counted from `now`. None when it is beyond what a time can be.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Deadline::In(span) => now.checked_add(span).ok(),
            Deadline::At(time) => Some(time),
        }
    }
}

impl FromStr for Deadline {
    type Err = String;

    fn from_str(text: &str) -> Result<Deadline, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Deadline::At(time));
        }
        let Span(span) = text.parse().map_err(|_| {
            "neither a duration such as 10m nor a time such as 2026-11-21T18:00:00Z".to_owned()
        })?;
        Ok(Deadline::In(span))
    }
}

/// A point in time: RFC 3339, or the beginning of a day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Moment(time));
        }
        let day = text.parse::<Date>().ok().filter(|day| day.to_string() == text);
        let midnight = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
        let midnight = midnight.map(|midnight| Moment(midnight.timestamp()));
        midnight.ok_or_else(|| {
            "neither a time such as 2026-11-21T18:00:00Z nor a day such as 2026-11-21".to_owned()
        })
    }
}

/// One parameter of a workflow, `name=value`. The value is everything after the first `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value, unchanged.
    pub value: String,
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Parameter, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Parameter { name: name.to_owned(), value: value.to_owned() })
            }
            Some(_) | None => Err("must be name=value".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_span_or_a_time() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("10m", Some("2026-11-21T10:10:00Z")),
            ("1h 30m", Some("2026-11-21T11:30:00Z")),
            ("2026-11-21T18:00:00Z", Some("2026-11-21T18:00:00Z")),
            ("2026-11-21T18:00:00+02:00", Some("2026-11-21T16:00:00Z")),
            ("400000y", None),
        ] {
            let deadline: Deadline = text.parse().unwrap();
            let expected = expected.map(|time| time.parse().unwrap());
            assert_eq!(deadline.resolve(now), expected, "{text}");
        }
        for wrong in ["", "soon", "0s", "-5m", "2026-11-21"] {
            assert!(wrong.parse::<Deadline>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_the_beginning_of_a_day() {
        for (text, expected) in [
            ("2026-11-21", "2026-11-21T00:00:00Z"),
            ("2026-11-21T18:00:00.5+02:00", "2026-11-21T16:00:00.5Z"),
        ] {
            assert_eq!(text.parse(), Ok(Moment(expected.parse().unwrap())), "{text}");
        }
        for wrong in ["", "yesterday", "2026-11-21T18:00:00", "2026-02-30", "2026-11"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_parameter_is_split_at_its_first_equals_sign() {
        let parsed: Parameter = "QUERY=a=b".parse().unwrap();
        assert_eq!((parsed.name.as_str(), parsed.value.as_str()), ("QUERY", "a=b"));
        let empty: Parameter = "EMPTY=".parse().unwrap();
        assert_eq!(empty.value, "");
        assert!("NAME".parse::<Parameter>().is_err());
        assert!("=value".parse::<Parameter>().is_err());
    }
}
