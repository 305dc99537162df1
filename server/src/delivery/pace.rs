//! When the receiver is asked again after it could not do what it was asked for.

use std::time::Duration;

use jiff::Timestamp;

/// The first pause; it doubles with each further failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);
/// The pause when the sender may not write: nobody gives rights within seconds.
const FORBIDDEN: Duration = Duration::from_mins(1);
/// A part of each pause is left to chance, so that senders do not come back all at once.
const JITTER: f64 = 0.2;

/// Why the receiver does not do what it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// It is not reached, or says that it cannot.
    Unavailable,
    /// It did not say what became of a batch, or queued it.
    Unsure,
    /// It does not believe the token.
    Unauthorized,
    /// The sender may not write or read.
    Forbidden,
    /// It is asked too often.
    RateLimited,
}

impl Trouble {
    /// Every trouble.
    pub const ALL: [Self; 5] =
        [Self::Unavailable, Self::Unsure, Self::Unauthorized, Self::Forbidden, Self::RateLimited];

    /// The trouble as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Unsure => "unsure",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// How well it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pace {
    /// It does what it is asked for.
    Steady,
    /// It does not, and is left alone for some time.
    Waiting {
        /// Why.
        trouble: Trouble,
        /// What it said.
        said: String,
        /// Since when.
        since: Timestamp,
        /// How often in a row.
        failures: u32,
        /// Not before.
        until: Timestamp,
    },
}

impl Pace {
    /// Whether it may be asked at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.until().is_none_or(|until| until <= now)
    }

    /// Not to be asked before.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Steady => None,
            Self::Waiting { until, .. } => Some(*until),
        }
    }

    /// The pace after another failure. `after` is what the receiver asks for; `chance` is from 0 to 1.
    #[must_use]
    pub fn failed(
        &self,
        trouble: Trouble,
        said: String,
        after: Option<Duration>,
        chance: f64,
        now: Timestamp,
    ) -> Self {
        let (failures, since) = match self {
            Self::Steady => (1, now),
            Self::Waiting { failures, since, .. } => (failures.saturating_add(1), *since),
        };
        let grown = FIRST.saturating_mul(2_u32.saturating_pow(failures - 1)).min(LONGEST);
        let pause = match trouble {
            Trouble::Forbidden => FORBIDDEN,
            Trouble::RateLimited => after.unwrap_or(FIRST),
            Trouble::Unavailable | Trouble::Unsure | Trouble::Unauthorized => grown,
        };
        // Never shorter than what was asked for.
        let factor = match trouble {
            Trouble::RateLimited => 1.0 + JITTER * chance,
            Trouble::Unavailable | Trouble::Unsure | Trouble::Unauthorized | Trouble::Forbidden => {
                1.0 + JITTER * (2.0 * chance - 1.0)
            }
        };
        let until = now.saturating_add(pause.mul_f64(factor)).unwrap_or(Timestamp::MAX);
        Self::Waiting { trouble, said, since, failures, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn pauses(trouble: Trouble, after: Option<Duration>, chance: f64) -> Vec<Duration> {
        let mut pace = Pace::Steady;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pace = pace.failed(trouble, String::new(), after, chance, at(0));
            let until = pace.until().unwrap();
            pauses.push(Duration::try_from(until.duration_since(at(0))).unwrap());
            assert!(!pace.is_open(until - Duration::from_micros(1)) && pace.is_open(until));
        }
        pauses
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_a_fifth_is_left_to_chance() {
        let seconds = |pauses: Vec<Duration>| -> Vec<f64> {
            pauses.iter().map(Duration::as_secs_f64).collect()
        };
        let middle = seconds(pauses(Trouble::Unavailable, None, 0.5));
        assert_eq!(middle, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        assert!((seconds(pauses(Trouble::Unsure, None, 0.0))[2] - 3.2).abs() < 1e-6);
        assert!((seconds(pauses(Trouble::Unauthorized, None, 1.0))[2] - 4.8).abs() < 1e-6);
    }

    #[test]
    fn a_receiver_that_names_a_pause_gets_it_and_one_without_rights_is_asked_seldom() {
        let asked = pauses(Trouble::RateLimited, Some(Duration::from_secs(7)), 0.0);
        assert!(asked.iter().all(|pause| *pause == Duration::from_secs(7)));
        let forbidden = pauses(Trouble::Forbidden, None, 0.5);
        assert!(forbidden.iter().all(|pause| *pause == FORBIDDEN));
    }
}
