//! Where the binaries come from: given ones, the cache, PATH, or a build from the Go modules in
//! `tests/control-plane/tools`. Starts none of them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tokio::process::Command;
use wfe_control_plane::process::log_tail;

use super::tools::{self, Module, Tool};
use crate::cache;
use crate::child::Group;

const ENVIRONMENT: [(&str, &str); 3] =
    [("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];

/// Everything that a control plane is made of.
pub(crate) struct Binaries {
    files: BTreeMap<&'static str, PathBuf>,
    /// Tekton's `config` directory of the same version as its binaries.
    pub(crate) tekton_config: PathBuf,
}

impl Binaries {
    pub(crate) fn file(&self, name: &str) -> Result<&Path> {
        let file = self.files.get(name).with_context(|| format!("no binary called {name}"))?;
        Ok(file)
    }
}

/// The directory that survives control planes and checkouts.
pub(crate) fn cache_root() -> Result<PathBuf> {
    Ok(cache::root()?.join("control-plane"))
}

/// Finds or builds `wanted`.
pub(crate) async fn binaries(wanted: &[Tool]) -> Result<Binaries> {
    let mut files = BTreeMap::new();
    let mut missing = Vec::new();
    for tool in wanted {
        match find(tool).await? {
            Some(file) => {
                files.insert(tool.name, file);
            }
            None => missing.push(tool),
        }
    }
    if !missing.is_empty() {
        require_go(&missing).await?;
    }
    for (index, tool) in missing.iter().enumerate() {
        let progress = format!("{} of {}", index + 1, missing.len());
        files.insert(tool.name, build(tool, &progress).await?);
    }
    let tekton_config = if wanted.iter().any(|tool| tool.module == tools::TEKTON) {
        tekton_config().await?
    } else {
        PathBuf::new()
    };
    Ok(Binaries { files, tekton_config })
}

async fn find(tool: &Tool) -> Result<Option<PathBuf>> {
    if tool.in_kubebuilder_assets
        && let Some(assets) = env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty())
    {
        let file = Path::new(&assets).join(tool.name);
        if file.is_file() {
            say!("{}: {} (KUBEBUILDER_ASSETS)", tool.name, file.display());
            return Ok(Some(file));
        }
    }
    let cached = cache(&tool.module)?.join("bin").join(tool.name);
    if cached.is_file() {
        return Ok(Some(cached));
    }
    let on_path = on_path(tool).await?;
    if let Some(file) = &on_path {
        say!("{}: {} (PATH)", tool.name, file.display());
    }
    Ok(on_path)
}

// Another version would be a control plane that nobody tested with.
async fn on_path(tool: &Tool) -> Result<Option<PathBuf>> {
    let Some(arguments) = tool.version_arguments else {
        return Ok(None);
    };
    let version = tool.module.version()?;
    let version = version.trim_start_matches('v');
    let path = env::var_os("PATH").unwrap_or_default();
    for file in env::split_paths(&path).map(|dir| dir.join(tool.name)).filter(|f| f.is_file()) {
        let run = Command::new(&file).args(arguments).kill_on_drop(true).output();
        let Ok(Ok(output)) = tokio::time::timeout(Duration::from_secs(10), run).await else {
            continue;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let mut words = said.split_whitespace().map(|word| word.trim_start_matches('v'));
        if output.status.success() && words.any(|word| word == version) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

async fn require_go(missing: &[&Tool]) -> Result<()> {
    let mut command = Command::new("go");
    command.arg("version").stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().await.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    bail!(
        "{} must be built, which needs Go 1.26 or newer on PATH (https://go.dev/dl). Kubernetes and etcd binaries can \
         also be given in KUBEBUILDER_ASSETS, and a whole cluster with --kubeconfig",
        names.join(", ")
    );
}

// One directory per module and pinned content, so that a changed module rebuilds only its own binaries.
fn cache(module: &Module) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    let pinned = ["go.mod", "go.sum"].map(|file| module.directory().join(file));
    for path in pinned.into_iter().chain(module.sources()?) {
        hash.update(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    hash.update(module.ldflags()?);
    for (name, value) in ENVIRONMENT {
        hash.update(format!("{name}={value}\n"));
    }
    Ok(cache_root()?.join(hex::encode(hash.finalize())))
}

async fn build(tool: &Tool, progress: &str) -> Result<PathBuf> {
    let cache = cache(&tool.module)?;
    let built = cache.join("bin").join(tool.name);
    let _lock = lock(&cache, tool.module.name).await?;
    if built.is_file() {
        return Ok(built);
    }
    say!("building {progress}: {} ({} {})", tool.name, tool.module.path, tool.module.version()?);
    let began = Instant::now();
    fs::create_dir_all(cache.join("bin"))?;
    let new = cache.join(format!("{}.new", tool.name));
    let log = cache.join(format!("{}.log", tool.name));
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut go = Command::new("go");
    go.current_dir(tool.module.directory())
        .args(["build", "-trimpath", "-ldflags", &tool.module.ldflags()?, "-o"])
        .args([new.as_os_str(), OsStr::new(tool.package)])
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let mut go = Group::spawn(&mut go)?;
    let status = loop {
        tokio::select! {
            status = go.wait() => break status?,
            () = tokio::time::sleep(Duration::from_mins(1)) => {
                say!("  still building {}, {} s", tool.name, began.elapsed().as_secs());
            }
        }
    };
    if !status.success() {
        bail!("go build of {} failed{}", tool.package, log_tail(&log));
    }
    fs::rename(&new, &built)?;
    say!("  took {} s", began.elapsed().as_secs());
    Ok(built)
}

// The manifests lie in the same Go module as the binaries; a copy spares a control plane that needs no build from
// needing Go.
async fn tekton_config() -> Result<PathBuf> {
    let module = tools::TEKTON;
    let cache = cache(&module)?;
    let config = cache.join("config");
    let _lock = lock(&cache, module.name).await?;
    if config.is_dir() {
        return Ok(config);
    }
    let mut go = Command::new("go");
    go.current_dir(module.directory())
        .args(["list", "-m", "-f", "{{.Dir}}", module.path])
        .envs(ENVIRONMENT)
        .kill_on_drop(true);
    let output = go.output().await.context("run go, to find Tekton's manifests")?;
    if !output.status.success() {
        bail!("go list -m {}: {}", module.path, String::from_utf8_lossy(&output.stderr));
    }
    let source = String::from_utf8(output.stdout)?;
    let new = cache.join("config.new");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    copy_yaml(&Path::new(source.trim()).join("config"), &new)?;
    fs::rename(&new, &config)?;
    Ok(config)
}

fn copy_yaml(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_yaml(&entry.path(), &target)?;
        } else if entry.path().extension().is_some_and(|extension| extension == "yaml") {
            fs::write(target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

async fn lock(cache: &Path, module: &str) -> Result<File> {
    fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let file = File::create(cache.join("lock"))?;
    if file.try_lock().is_err() {
        say!("waiting for another build of the {module} tools");
        while file.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(file)
}
