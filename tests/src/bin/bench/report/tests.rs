use std::time::Duration;

use super::*;
use crate::sightings::Count;

fn samples(milliseconds: u64) -> Samples {
    let mut samples = Samples::new().unwrap();
    samples.add(Duration::from_millis(milliseconds));
    samples
}

fn row(samples: Option<&Samples>, budgets: &'static [(u64, f64)]) -> String {
    let what = "a → b".to_owned();
    let table = latencies(&[Latency { what, samples, budgets }]);
    table.lines().last().unwrap().to_owned()
}

#[test]
fn a_budget_is_compared_with_its_percentile() {
    let met = |milliseconds, budgets| verdict(Some(&samples(milliseconds)), budgets);
    assert_eq!(met(10, &[(99, 20.0)]), Verdict::Met);
    assert_eq!(met(30, &[(50, 25.0)]), Verdict::Missed);
    assert_eq!(met(30, &[(50, 25.0), (99, 100.0)]), Verdict::Missed);
    assert_eq!(met(30, &[]), Verdict::Open);
    let row = row(Some(&samples(10)), &[(50, 20.0), (99, 100.0)]);
    assert!(row.ends_with("| p50 ≤ 20 ms, p99 ≤ 100 ms | yes |"), "{row}");
}

#[test]
fn what_was_not_measured_has_no_figure_and_meets_nothing() {
    assert_eq!(row(None, &[(99, 20.0)]), "| a → b | – | – | – | – | – | p99 ≤ 20 ms | – |");
}

#[test]
fn negative_samples_are_told() {
    let mut samples = Samples::new().unwrap();
    let now = tokio::time::Instant::now();
    samples.between(now + Duration::from_millis(5), now);
    let row = row(Some(&samples), &[]);
    assert!(row.contains("| 1 (1 negative) | -5.00 |"), "{row}");
}

#[test]
fn cpu_time_is_that_since_the_row_before() {
    let moment = |seconds: u64, cpu: u64| {
        let usage = Usage { kib: 2_048, cpu: Duration::from_millis(cpu) };
        Moment {
            at: Duration::from_secs(seconds),
            objects: Count { created: 3, ended: 1 },
            server: usage,
            bridge: Usage { cpu: usage.cpu / 2, ..usage },
        }
    };
    let table = moments(&[moment(0, 500), moment(10, 1_500)]);
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "| 0 | 3 | 1 | 2.0 MiB | – | 2.0 MiB | – |",
            "| 10 | 3 | 1 | 2.0 MiB | 10.0 % | 2.0 MiB | 5.0 % |",
        ]
    );
}
