//! Measured times and their quantiles. It knows nothing of what was measured.

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::time::{Duration, Instant};

/// Longer times count as this one. No phase of the benchmark waits as long.
const LONGEST: Duration = Duration::from_mins(10);

/// Significant decimal digits of what is kept.
const DIGITS: u8 = 3;

/// Times between two moments. The second may come before the first: then the time is negative.
pub(crate) struct Samples {
    negative: Histogram<u64>,
    positive: Histogram<u64>,
}

impl Samples {
    pub(crate) fn new() -> Result<Self> {
        let longest = nanoseconds(LONGEST);
        Ok(Self {
            negative: Histogram::new_with_bounds(1, longest, DIGITS)?,
            positive: Histogram::new_with_bounds(1, longest, DIGITS)?,
        })
    }

    /// Adds the time from `from` to `to`.
    pub(crate) fn between(&mut self, from: Instant, to: Instant) {
        match to.checked_duration_since(from) {
            Some(after) => self.add(after),
            None => self.negative.saturating_record(nanoseconds(from.duration_since(to))),
        }
    }

    /// Adds a time.
    pub(crate) fn add(&mut self, time: Duration) {
        self.positive.saturating_record(nanoseconds(time));
    }

    /// Adds all that others measured.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        self.negative.add(&other.negative)?;
        self.positive.add(&other.positive)?;
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.negative.len() + self.positive.len()
    }

    /// How many are negative.
    pub(crate) fn negatives(&self) -> u64 {
        self.negative.len()
    }

    /// The time in milliseconds that `percent` of the samples do not exceed; 100 is the longest. `None` without samples.
    pub(crate) fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = (self.len() * percent).div_ceil(100).max(1);
        let negatives = self.negatives();
        if rank <= negatives {
            // The most negative one is the shortest.
            at_rank(&self.negative, negatives - rank + 1).map(|value| -value)
        } else {
            at_rank(&self.positive, rank - negatives)
        }
    }
}

fn at_rank(histogram: &Histogram<u64>, rank: u64) -> Option<f64> {
    let mut passed = 0;
    let found = histogram.iter_recorded().find(|step| {
        passed += step.count_since_last_iteration();
        passed >= rank
    })?;
    Some(Duration::from_nanos(found.value_iterated_to()).as_secs_f64() * 1_000.0)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = i64>) -> Samples {
        let mut samples = Samples::new().unwrap();
        let origin = Instant::now() + Duration::from_mins(1);
        for value in milliseconds {
            let distance = Duration::from_millis(value.unsigned_abs());
            let to = if value < 0 { origin - distance } else { origin + distance };
            samples.between(origin, to);
        }
        samples
    }

    fn rounded(samples: &Samples, percent: u64) -> String {
        format!("{:.1}", samples.percentile(percent).unwrap())
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_samples() {
        let samples = of(1..=100);
        assert_eq!(samples.len(), 100);
        for percent in [1, 50, 90, 99, 100] {
            let exact = f64::from(u32::try_from(percent).unwrap());
            let measured = samples.percentile(percent).unwrap();
            assert!((measured - exact).abs() <= exact / 500.0, "{percent}: {measured}");
        }
    }

    #[test]
    fn times_before_zero_are_in_order_with_those_after_it() {
        let samples = of([-20, 5, -10, 40]);
        assert_eq!((samples.len(), samples.negatives()), (4, 2));
        let of_each = [25, 50, 75, 100].map(|percent| rounded(&samples, percent));
        assert_eq!(of_each, ["-20.0", "-10.0", "5.0", "40.0"]);
    }

    #[test]
    fn without_samples_there_is_no_percentile() {
        assert_eq!(of([]).percentile(50), None);
    }

    #[test]
    fn merged_samples_are_all_there() {
        let mut all = of([1, -2]);
        all.merge(&of([3])).unwrap();
        assert_eq!((all.len(), all.negatives()), (3, 1));
        assert_eq!(rounded(&all, 100), "3.0");
    }
}
