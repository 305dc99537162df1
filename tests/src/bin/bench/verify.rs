//! How fast an export of the audit log is verified, and what hashing alone takes of that. Needs no cluster.

use std::hint::black_box;

use anyhow::{Result, ensure};
use nix::time::{ClockId, clock_gettime};
use tokio::task::spawn_blocking;
use tokio::time::Duration;
use wfe_audit::testing::{Ends, Logbook};
use wfe_audit::verify::{Known, verify};

use crate::report::{Amount, Verdict};

/// Entries that a second of one core must be enough for.
const ENTRIES_PER_SECOND: f64 = 500_000.0;
/// Executions in the export, of four entries each.
pub(crate) const EXECUTIONS: u32 = 25_000;
/// There is a checkpoint after so many of them.
pub(crate) const SIGNED_EVERY: u32 = 250;
/// How often it is verified. The best counts: the others were disturbed.
pub(crate) const TIMES: u32 = 5;

/// What was measured.
pub(crate) struct Verified {
    entries: u32,
    /// Bytes of the export for each entry.
    bytes_each: u64,
    /// CPU time of the verification.
    checking: Duration,
    /// CPU time of hashing the texts of the entries alone.
    hashing: Duration,
}

/// Makes an export and verifies it.
pub(crate) async fn measure() -> Result<Verified> {
    spawn_blocking(on_one_core).await?
}

fn on_one_core() -> Result<Verified> {
    let mut log = Logbook::begin(1);
    for n in 0..EXECUTIONS {
        log.execution(n.into(), Ends::Well);
        if n % SIGNED_EVERY == 0 {
            log.checkpoint();
        }
    }
    let export = log.export();
    let entries = u32::try_from(log.entries().len())?;
    let known = Known { keys: vec![log.public()], ..Known::default() };
    let (mut checking, mut hashing) = (Duration::MAX, Duration::MAX);
    for _ in 0..TIMES {
        let began = cpu()?;
        let report = verify(export.as_bytes(), &known)?;
        checking = checking.min(cpu()?.saturating_sub(began));
        ensure!(report.findings.is_empty(), "{:?}", report.findings);
        ensure!(report.entries == u64::from(entries), "{} entries", report.entries);

        let began = cpu()?;
        let texts = log.entries().iter().map(|entry| entry.text.as_bytes());
        black_box(texts.fold(log.id(), |hash, text| hash.follow(text)));
        hashing = hashing.min(cpu()?.saturating_sub(began));
    }
    let bytes_each = u64::try_from(export.len())? / u64::from(entries);
    Ok(Verified { entries, bytes_each, checking, hashing })
}

/// CPU time of this thread.
fn cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// The rows of the page.
pub(crate) fn amounts(measured: Option<&Verified>) -> [Amount; 2] {
    let rate = |it: &Verified, took: Duration| f64::from(it.entries) / took.as_secs_f64();
    let shown = |it: &Verified, took| {
        format!("{:.0} entries/s ({} bytes each)", rate(it, took), it.bytes_each)
    };
    let met = measured.map(|it| rate(it, it.checking) >= ENTRIES_PER_SECOND);
    [
        Amount {
            what: "the floor: the entries of an export hashed, on one core".to_owned(),
            value: measured.map(|it| shown(it, it.hashing)),
            budget: "–".to_owned(),
            verdict: Verdict::Open,
        },
        Amount {
            what: "an export verified, on one core".to_owned(),
            value: measured.map(|it| shown(it, it.checking)),
            budget: format!("≥ {ENTRIES_PER_SECOND} entries/s"),
            verdict: met.map_or(Verdict::Open, Verdict::of),
        },
    ]
}
