//! Where the benchmark runs.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result};

/// A machine, in words.
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    /// The kind of file system that databases of the benchmark are on.
    pub(crate) file_system: String,
}

impl Machine {
    /// This machine, with databases in `directory`.
    pub(crate) fn this(directory: &Path) -> Result<Self> {
        let total = field("/proc/meminfo", "MemTotal")?;
        let total: u32 = total.trim_end_matches(" kB").parse()?;
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let file_system = file_system(&mounts, &directory.canonicalize()?).context("no mount")?;
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name")?,
            cores: available_parallelism()?.get(),
            memory_gib: f64::from(total) / 1_048_576.0,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system,
        })
    }
}

/// Mean number of processes that could run, over the last minute.
pub(crate) fn load_average() -> Result<String> {
    let averages = fs::read_to_string("/proc/loadavg")?;
    Ok(averages.split_whitespace().next().context("no load average")?.to_owned())
}

fn field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file)?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let value = fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    Ok(value.with_context(|| format!("no {name} in {file}"))?.to_owned())
}

/// The type of the innermost mount that holds a directory; of several at one place the last one counts.
fn file_system(mounts: &str, directory: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = mounts.filter(|(place, _)| directory.starts_with(place));
    holding.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_holds_a_directory() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp2 xfs rw 0 0\n";
        for (directory, kind) in [("/tmp/x", "tmpfs"), ("/tmp2", "xfs"), ("/var/tmp", "ext4")] {
            assert_eq!(file_system(mounts, Path::new(directory)).as_deref(), Some(kind));
        }
    }
}
