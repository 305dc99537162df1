//! What a process takes of the machine.

use std::fs;

use anyhow::{Context, Result};
use tokio::time::Duration;

/// The unit of CPU time in /proc (`USER_HZ`): a part of the kernel's interface, 100 wherever this runs.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has taken so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Resident memory now, in KiB.
    pub(crate) kib: u32,
    /// CPU time since its start, of the process and the kernel for it.
    pub(crate) cpu: Duration,
}

/// Of a process that runs.
pub(crate) fn of(pid: Option<u32>) -> Result<Usage> {
    let pid = pid.context("the process has ended")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(Usage { kib: kib.parse()?, cpu: cpu(&stat).context("no CPU times")? })
}

/// From /proc/PID/stat: fields 14 and 15. The name, field 2, is in parentheses and may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_that_of_the_process_and_of_the_kernel_for_it() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 900 0 1 0 150 25 9 9 20 0 4 0 100 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1_750)));
    }

    #[test]
    fn this_process_has_memory() {
        assert!(of(Some(std::process::id())).unwrap().kib > 0);
    }
}
