//! Durations as Go prints them: what other services of the platform read.

use jiff::SignedDuration;

/// `1h2m3s`, `1m30s`, `0s`: whole seconds, rounded, a half away from zero. Less than nothing is `0s`.
pub(crate) fn go(duration: SignedDuration) -> String {
    let whole = u64::try_from(duration.as_secs()).unwrap_or(0);
    let rounded = if duration.subsec_nanos() >= 500_000_000 { whole + 1 } else { whole };
    let (hours, minutes, seconds) = (rounded / 3600, rounded / 60 % 60, rounded % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        (_, _) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_go_prints_it() {
        let cases = [
            (0, 0, "0s"),
            (0, 499_999_999, "0s"),
            (0, 500_000_000, "1s"),
            (59, 600_000_000, "1m0s"),
            (90, 0, "1m30s"),
            (3_600, 0, "1h0m0s"),
            (3_723, 0, "1h2m3s"),
            (360_000, 0, "100h0m0s"),
            (-5, 0, "0s"),
            (-5, -600_000_000, "0s"),
        ];
        for (seconds, nanos, expected) in cases {
            assert_eq!(go(SignedDuration::new(seconds, nanos)), expected);
        }
    }
}
