//! Numbers and times that the receiver keeps as they are sent.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Wrong;

/// A time in whole microseconds: what is finer is cut off by the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Microsecond(Timestamp);

impl Microsecond {
    /// `time` without what is finer than a microsecond.
    pub fn of(time: Timestamp) -> Self {
        // Cutting towards the epoch stays within the range, so there is always an answer.
        Self(Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time))
    }

    /// The time.
    pub fn time(self) -> Timestamp {
        self.0
    }

    /// The time in microseconds since 1970.
    pub fn number(self) -> i64 {
        self.0.as_microsecond()
    }

    /// One microsecond later; the last time that there is has none after it.
    #[must_use]
    pub fn next(self) -> Self {
        Timestamp::from_microsecond(self.number().saturating_add(1)).map_or(self, Self)
    }
}

impl Serialize for Microsecond {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.6}", self.0))
    }
}

impl<'de> Deserialize<'de> for Microsecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self::of)
    }
}

/// A time in whole seconds: those inside of `event_data` are cut to that by the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Second(Timestamp);

impl Second {
    /// `time` without what is finer than a second.
    pub fn of(time: Timestamp) -> Self {
        Self(Timestamp::from_second(time.as_second()).unwrap_or(time))
    }

    /// The time.
    pub fn time(self) -> Timestamp {
        self.0
    }
}

impl Serialize for Second {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Second {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self::of)
    }
}

/// Milliseconds that something took: 1 to 2,147,483,647. What is longer wraps in the receiver's table, and
/// its check of the chain then speaks of tampering; 0 is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct DurationMs(u32);

impl DurationMs {
    const MAX: u32 = i32::MAX.unsigned_abs();

    /// `duration`, when it can be kept.
    pub fn of(duration: Duration) -> Option<Self> {
        u32::try_from(duration.as_millis()).ok()?.try_into().ok()
    }
}

impl TryFrom<u32> for DurationMs {
    type Error = Wrong;

    fn try_from(number: u32) -> Result<Self, Wrong> {
        if (1..=Self::MAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Wrong::OutOfRange("1 to 2147483647 milliseconds"))
        }
    }
}

impl From<DurationMs> for u32 {
    fn from(duration: DurationMs) -> Self {
        duration.0
    }
}

/// Days that the receiver keeps an event: 1 to 2555, which is also what it takes when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RetentionDays(u16);

impl TryFrom<u16> for RetentionDays {
    type Error = Wrong;

    fn try_from(days: u16) -> Result<Self, Wrong> {
        if (1..=2555).contains(&days) {
            Ok(Self(days))
        } else {
            Err(Wrong::OutOfRange("1 to 2555 days"))
        }
    }
}

impl From<RetentionDays> for u16 {
    fn from(days: RetentionDays) -> Self {
        days.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_six_digits_and_with_none() {
        let time: Timestamp = "2026-11-21T00:47:33.381810999Z".parse().unwrap();
        let text = |json: serde_json::Result<String>| json.unwrap();
        let micros = text(serde_json::to_string(&Microsecond::of(time)));
        assert_eq!(micros, "\"2026-11-21T00:47:33.381810Z\"");
        assert_eq!(text(serde_json::to_string(&Second::of(time))), "\"2026-11-21T00:47:33Z\"");
        assert_eq!(serde_json::from_str::<Microsecond>(&micros).unwrap(), Microsecond::of(time));
        assert_eq!(Microsecond::of(time).next().number(), Microsecond::of(time).number() + 1);
    }

    #[test]
    fn numbers_that_would_wrap_or_vanish_cannot_be_made() {
        for (millis, taken) in
            [(0, false), (1, true), (2_147_483_647, true), (2_147_483_648, false)]
        {
            assert_eq!(DurationMs::of(Duration::from_millis(millis)).is_some(), taken, "{millis}");
        }
        for (days, taken) in [(0, false), (1, true), (2555, true), (2556, false)] {
            assert_eq!(RetentionDays::try_from(days).is_ok(), taken, "{days}");
        }
        assert!(serde_json::from_str::<DurationMs>("0").is_err());
    }
}
