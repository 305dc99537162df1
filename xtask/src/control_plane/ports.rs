//! Ports that a control plane holds for itself for as long as it exists, so that a stopped component can come back on
//! its own. Other control planes of this user respect them; nobody else listens where we look.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wfe_control_plane::state::State;

use super::build::cache_root;

// Below the ports that the kernel gives to outgoing connections, any of which could take the place of a stopped
// component.
const RANGE: Range<u16> = 20_000..30_000;

/// Reserves one more port on 127.0.0.1 for the control plane in `dir`.
pub(crate) fn reserve(dir: &Path) -> Result<u16> {
    let reservations = directory()?;
    let lock = File::create(reservations.join("lock"))?;
    lock.lock()?;
    let first = rand::random_range(RANGE);
    for port in (first..RANGE.end).chain(RANGE.start..first) {
        if is_reserved(&reservations.join(port.to_string()), port) {
            continue;
        }
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            continue;
        }
        State::update(dir, |state| {
            state.ports.push(port);
            Ok(())
        })?;
        let holder = dir.to_str().context("a directory whose name is not UTF-8")?;
        fs::write(reservations.join(port.to_string()), holder)?;
        return Ok(port);
    }
    bail!("no port from {} to {} is free on 127.0.0.1", RANGE.start, RANGE.end - 1);
}

/// Gives back what the control plane held.
pub(crate) fn release(state: &State) -> Result<()> {
    let reservations = directory()?;
    for port in &state.ports {
        match fs::remove_file(reservations.join(port.to_string())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

// The file names the holder; a holder that is gone, or does not know of it, holds nothing.
fn is_reserved(file: &Path, port: u16) -> bool {
    let Ok(holder) = fs::read_to_string(file) else {
        return false;
    };
    let state = State::load(Path::new(&holder));
    matches!(state, Ok(Some(state)) if state.ports.contains(&port))
}

fn directory() -> Result<PathBuf> {
    let directory = cache_root()?.join("ports");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_for_as_long_as_its_holder_knows_of_it() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let holder = dir.path().join("holder");
        fs::create_dir(&holder)?;
        let file = dir.path().join("20000");
        assert!(!is_reserved(&file, 20_000), "nobody asked for it");
        fs::write(&file, holder.display().to_string())?;
        assert!(!is_reserved(&file, 20_000), "the holder is gone");
        State::update(&holder, |state| {
            state.ports.push(20_000);
            Ok(())
        })?;
        assert!(is_reserved(&file, 20_000));
        Ok(())
    }
}
