//! `cargo xtask control-plane`: what its words do. How a control plane is built and started is in the modules below.

mod access;
mod build;
mod components;
mod directory;
mod ports;
mod start;
mod tekton;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use wfe_control_plane::cluster;
use wfe_control_plane::state::{self, State};

use crate::interrupt::Interrupts;
use access::Tokens;

pub(crate) use access::{BIN, read_env};

/// What can be done with a control plane.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a control plane in the background; returns when Tekton resolves a bundle
    Up(Up),
    /// Stop a control plane and remove its data; the logs stay
    Down(Directory),
    /// Freeze a component: its connections stay open, nothing answers
    Pause(Part),
    /// Let a frozen component go on
    Resume(Part),
    /// End a component
    Stop(Part),
    /// Start an ended component again, with the same arguments and data
    Start(Part),
}

/// Which control plane.
#[derive(Args)]
pub(crate) struct Directory {
    /// The control plane's directory
    #[arg(long)]
    dir: PathBuf,
}

/// Which component of which control plane.
#[derive(Args)]
pub(crate) struct Part {
    #[command(flatten)]
    directory: Directory,
    /// The component's name, as in state.json: kube-apiserver, etcd, tekton-controller, …
    #[arg(long)]
    component: String,
}

/// What to start.
#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    directory: Directory,
    /// Use this cluster and start only a bundle registry beside it
    ///
    /// The cluster must have Tekton Pipelines with the bundles resolver, and reach 127.0.0.1 of this machine (the
    /// registry listens there). Its kubelets are real: they do not obey the annotations that choose a pod's fate, so the
    /// tests of outcomes fail on it, and it has none of the test users. The namespace kubernaut-workflows is created.
    #[arg(long, env = "WFE_TEST_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
}

impl Up {
    /// A control plane of one's own in `dir`, or beside the cluster that the environment names.
    pub(crate) fn in_directory(dir: PathBuf) -> Self {
        let kubeconfig = std::env::var_os("WFE_TEST_KUBECONFIG").map(PathBuf::from);
        Self { directory: Directory { dir }, kubeconfig }
    }

    // A variable that is set to nothing names no cluster.
    fn cluster(&self) -> Option<&Path> {
        self.kubeconfig.as_deref().filter(|path| !path.as_os_str().is_empty())
    }
}

/// What `up` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was started, so whoever asked for it takes it down.
    Started,
    /// It ran already.
    RanAlready,
}

/// Runs one word.
pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(args) => {
            let mut interrupts = Interrupts::catch()?;
            let began = Instant::now();
            let dir = args.directory.absolute()?;
            match up(&args, &mut interrupts).await? {
                Outcome::RanAlready => {
                    say!("a control plane runs in {} already", dir.display());
                }
                Outcome::Started => report(&dir, began.elapsed())?,
            }
        }
        Command::Down(directory) => down(&directory.absolute()?).await?,
        Command::Pause(part) => state::pause(&part.directory.absolute()?, &part.component)?,
        Command::Resume(part) => state::resume(&part.directory.absolute()?, &part.component)?,
        Command::Stop(part) => state::stop(&part.directory.absolute()?, &part.component).await?,
        Command::Start(part) => state::start(&part.directory.absolute()?, &part.component)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Directory {
    fn absolute(&self) -> Result<PathBuf> {
        Ok(std::path::absolute(&self.dir)?)
    }
}

/// Starts a control plane. Leaves nothing running when it fails or is interrupted.
pub(crate) async fn up(args: &Up, interrupts: &mut Interrupts) -> Result<Outcome> {
    let dir = args.directory.absolute()?;
    let _lock = directory::claim(&dir)?;
    if let Some(state) = State::load(&dir)? {
        if is_healthy(&dir, &state).await? {
            return Ok(Outcome::RanAlready);
        }
        ports::release(&state)?;
    }
    directory::prepare(&dir)?;
    let started = tokio::select! {
        started = start(&dir, args.cluster()) => started,
        error = start::first_death(&dir) => Err(error),
        interrupted = interrupts.next() => Err(interrupted.into()),
    };
    if let Err(error) = started {
        if State::load(&dir)?.is_some_and(|state| !state.components.is_empty()) {
            let logs = dir.join("logs");
            say!("stopping what was started; the logs stay in {}", logs.display());
        }
        return match end(&dir).await {
            Ok(()) => Err(error),
            Err(left) => Err(error.context(format!("{left:#}; it was stopped because of"))),
        };
    }
    Ok(Outcome::Started)
}

/// Stops a control plane, also one that is half started.
pub(crate) async fn down(dir: &Path) -> Result<()> {
    if State::load(dir)?.is_none() {
        say!("there is no control plane in {}", dir.display());
        return Ok(());
    }
    let _lock = directory::lock(dir)?;
    end(dir).await
}

/// The version of Tekton that was started in `dir`; `None` when it belongs to a cluster that existed before.
pub(crate) fn tekton_version(dir: &Path) -> Result<Option<String>> {
    let state = State::load(dir)?.context("no control plane")?;
    let is_ours = state.components.iter().any(|component| component.name == "tekton-controller");
    is_ours.then(|| tools::TEKTON.version()).transpose()
}

async fn start(dir: &Path, kubeconfig: Option<&Path>) -> Result<()> {
    let (registry, tokens) = if let Some(kubeconfig) = kubeconfig {
        let binaries = build::binaries(&tools::BESIDE_A_CLUSTER).await?;
        let registry = start::beside(dir, &binaries, kubeconfig).await?;
        (registry, Tokens::none())
    } else {
        let binaries = build::binaries(&tools::ALL).await?;
        let tokens = Tokens::generate();
        (start::all(dir, &binaries, &tokens).await?, tokens)
    };
    access::write_env(dir, &access::variables(dir, &registry, &tokens))
}

async fn end(dir: &Path) -> Result<()> {
    state::stop_all(dir).await?;
    if let Some(state) = State::load(dir)? {
        ports::release(&state)?;
    }
    directory::clear(dir)
}

// All of it runs: healthy. None of it: left by a machine that was switched off. Anything between is for people.
async fn is_healthy(dir: &Path, state: &State) -> Result<bool> {
    let dead: Vec<&str> = state.dead().map(|component| component.name.as_str()).collect();
    if dead.len() == state.components.len() {
        return Ok(false);
    }
    let finished = dir.join(access::ENV).is_file();
    if !dead.is_empty() || !finished {
        let what = if finished { dead.join(", ") } else { "its start".to_owned() };
        bail!(
            "the control plane in {0} is broken ({what}); first: cargo xtask control-plane down --dir {0}",
            dir.display()
        );
    }
    let client = cluster::client(&dir.join(access::KUBECONFIG)).await?;
    cluster::wait_ready(&client, Duration::from_secs(10)).await?;
    Ok(true)
}

fn report(dir: &Path, took: Duration) -> Result<()> {
    let state = State::load(dir)?.context("no state")?;
    let names: Vec<&str> = state.components.iter().map(|c| c.name.as_str()).collect();
    say!("started in {:.1} s: {}", took.as_secs_f64(), names.join(", "));
    say!("bundles go to {}; next:", state.registry);
    say!("  . {}", dir.join(access::ENV).display());
    say!("  kubectl get pipelineruns --all-namespaces");
    say!("  cargo xtask e2e --dir {}", dir.display());
    say!("  cargo xtask control-plane down --dir {}", dir.display());
    Ok(())
}
