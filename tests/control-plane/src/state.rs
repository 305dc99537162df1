//! What `up` leaves behind for `down`, the tests and people: `state.json` in the control plane's directory.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::process::{ProcessId, Program};

/// Name of the file in the control plane's directory.
pub const FILE: &str = "state.json";

/// A control plane: what runs and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The ports that it holds for itself on 127.0.0.1.
    pub ports: Vec<u16>,
    /// Where bundles are pushed to, as `host:port`. Empty until the registry runs.
    pub registry: String,
    /// Its processes, in the order in which they were started.
    pub components: Vec<Component>,
}

/// One process of a control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// What people call it, for example `kube-apiserver`.
    pub name: String,
    /// How it is started.
    pub program: Program,
    /// When it is stopped.
    pub layer: Layer,
    /// The process, unless it was stopped.
    pub process: Option<ProcessId>,
}

/// What a component needs: the layers above are stopped before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Needs nothing: the store.
    Storage,
    /// Needs the store: the API server.
    Api,
    /// Needs the API server.
    Client,
}

impl Layer {
    /// From the first to be stopped to the last.
    pub const TOP_DOWN: [Self; 3] = [Self::Client, Self::Api, Self::Storage];

    /// How long a component may take to end before it is killed. Only the store holds data; the API server would wait
    /// for open watches for a minute, and Tekton's webhook for 45 s.
    #[must_use]
    pub const fn grace(self) -> Duration {
        match self {
            Self::Client | Self::Api => Duration::from_secs(2),
            Self::Storage => Duration::from_secs(10),
        }
    }
}

impl State {
    /// Reads the state of the control plane in `dir`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is none of ours.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let state = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a control plane's state", path.display()))?;
        Ok(Some(state))
    }

    /// Changes the state in `dir`, one caller at a time, and writes it at once, whole or not at all.
    ///
    /// # Errors
    ///
    /// When `change` fails (nothing is written then) or the file cannot be written.
    pub fn update<T>(dir: &Path, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let lock = File::create(dir.join("state.lock"))?;
        lock.lock()?;
        let mut state = Self::load(dir)?.unwrap_or_default();
        let answer = change(&mut state)?;
        let temporary = dir.join("state.json.new");
        write_private(&temporary, &serde_json::to_vec_pretty(&state)?)?;
        fs::rename(&temporary, dir.join(FILE))?;
        Ok(answer)
    }

    /// The component with this name.
    ///
    /// # Errors
    ///
    /// When there is none; the message names those that there are.
    pub fn component(&self, name: &str) -> Result<&Component> {
        let found = self.components.iter().find(|component| component.name == name);
        found.with_context(|| {
            let names: Vec<&str> = self.components.iter().map(|c| c.name.as_str()).collect();
            format!("no component is called {name}; there are {}", names.join(", "))
        })
    }

    /// The components whose process has ended by itself.
    pub fn dead(&self) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(|component| !component.is_alive())
    }
}

impl Component {
    /// Whether its process runs (or is paused).
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.is_some_and(ProcessId::is_alive)
    }
}

/// Starts `component` and remembers it in the state of the control plane in `dir`.
///
/// # Errors
///
/// When it cannot be run, or the state cannot be written.
pub fn launch(dir: &Path, mut component: Component) -> Result<ProcessId> {
    State::update(dir, |state| {
        let process = component.program.spawn()?;
        component.process = Some(process);
        state.components.retain(|other| other.name != component.name);
        state.components.push(component);
        Ok(process)
    })
}

/// Starts a stopped component again with the arguments it had. Does nothing when it runs.
///
/// # Errors
///
/// When there is no such component or it cannot be run.
pub fn start(dir: &Path, name: &str) -> Result<()> {
    State::update(dir, |state| {
        state.component(name)?;
        for component in state.components.iter_mut().filter(|c| c.name == name) {
            if !component.is_alive() {
                component.process = Some(component.program.spawn()?);
            }
        }
        Ok(())
    })
}

/// Makes every component run: starts those that were stopped, lets those go on that were frozen.
///
/// # Errors
///
/// When one cannot be run.
pub fn restore(dir: &Path) -> Result<()> {
    for component in existing(dir)?.components {
        if let Some(process) = component.process {
            process.signal(Signal::SIGCONT)?;
        }
        start(dir, &component.name)?;
    }
    Ok(())
}

/// Ends one component; returns when it is gone.
///
/// # Errors
///
/// When there is no such component or it does not end.
pub async fn stop(dir: &Path, name: &str) -> Result<()> {
    let component = existing(dir)?.component(name)?.clone();
    if let Some(process) = component.process {
        process.end(component.layer.grace()).await?;
    }
    Ok(())
}

/// Freezes a component: its connections stay open and nothing answers.
///
/// # Errors
///
/// When there is no such component.
pub fn pause(dir: &Path, name: &str) -> Result<()> {
    signal(dir, name, Signal::SIGSTOP)
}

/// Lets a frozen component go on.
///
/// # Errors
///
/// When there is no such component.
pub fn resume(dir: &Path, name: &str) -> Result<()> {
    signal(dir, name, Signal::SIGCONT)
}

fn signal(dir: &Path, name: &str, signal: Signal) -> Result<()> {
    let state = existing(dir)?;
    match state.component(name)?.process {
        Some(process) if process.is_alive() => process.signal(signal),
        Some(_) | None => bail!("{name} does not run"),
    }
}

fn existing(dir: &Path) -> Result<State> {
    State::load(dir)?.with_context(|| format!("there is no control plane in {}", dir.display()))
}

/// Ends everything that runs in `dir`, layer by layer. A component that cannot be ended does not keep the others alive.
///
/// # Errors
///
/// When something could not be ended, after everything was tried.
pub async fn stop_all(dir: &Path) -> Result<()> {
    let Some(state) = State::load(dir)? else {
        return Ok(());
    };
    let mut failures = Vec::new();
    for layer in Layer::TOP_DOWN {
        let mut ends = tokio::task::JoinSet::new();
        for component in state.components.iter().filter(|component| component.layer == layer) {
            let (name, process) = (component.name.clone(), component.process);
            ends.spawn(async move {
                match process {
                    Some(process) => (name, process.end(layer.grace()).await),
                    None => (name, Ok(())),
                }
            });
        }
        for (name, end) in ends.join_all().await {
            if let Err(error) = end {
                failures.push(format!("{name}: {error:#}"));
            }
        }
    }
    if !failures.is_empty() {
        bail!("still running: {}", failures.join("; "));
    }
    Ok(())
}

/// Writes a file that only its owner may read.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let write = || {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Where the log of a component is.
#[must_use]
pub fn log_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.log"))
}

/// Where the API server writes down what service accounts ask of it, as `audit.k8s.io/v1` events, one on each line.
#[must_use]
pub fn audit_log_path(dir: &Path) -> PathBuf {
    log_path(dir, "audit")
}

/// Where the API server keeps its certificate and keys.
#[must_use]
pub fn certificates(dir: &Path) -> PathBuf {
    dir.join("certificates")
}

#[cfg(test)]
mod tests;
