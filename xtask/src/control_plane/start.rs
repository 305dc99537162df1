//! The order in which a control plane comes to life. Waits on conditions, never for a time.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;
use wfe_control_plane::health_port::HealthPort;
use wfe_control_plane::logs;
use wfe_control_plane::process::log_tail;
use wfe_control_plane::state::{self, State, launch, write_private};
use wfe_control_plane::wait::eventually;
use wfe_control_plane::{AUDIT_POLICY, STAGES, WORKFLOW_NAMESPACE, cluster, probe};

use super::access::{BIN, HOME, KUBECONFIG, Tokens};
use super::build::Binaries;
use super::components::{Planned, Planner};
use super::tekton;

/// How long anything may take that takes seconds.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts everything and returns the address of the registry when Tekton resolves bundles from it.
pub(crate) async fn all(dir: &Path, binaries: &Binaries, tokens: &Tokens) -> Result<String> {
    let planner = Planner { dir, binaries };
    link_programs(dir, binaries)?;
    tokens.write(dir)?;
    let etcd = launch_ready(dir, planner.etcd()?).await?;
    let apiserver = planner.apiserver(etcd, &write_audit_policy(dir)?)?;
    let server = format!("https://127.0.0.1:{}", apiserver.port);
    launch_ready(dir, apiserver).await?;
    tokens.write_kubeconfig(dir, &server)?;
    let client = cluster::client(&dir.join(KUBECONFIG)).await?;
    cluster::wait_ready(&client, PATIENCE)
        .await
        .with_context(|| log_tail(&state::log_path(dir, "kube-apiserver")))?;
    say!("the API server is ready");

    let webhook = planner.tekton_webhook()?;
    let registry = planner.registry()?;
    let registry_port = registry.port;
    let kwok = planner.kwok(&write_stages(dir)?)?;
    // Held until the probe has shown that Tekton runs.
    let _health_port = HealthPort::hold();
    tokio::try_join!(
        create_node(&client),
        apply_tekton(dir, binaries, webhook.port),
        launch_ready(dir, registry),
        launch_ready(dir, planner.scheduler()?),
        launch_ready(dir, kwok),
    )?;
    let registry = remember_registry(dir, registry_port)?;

    // The garbage collector learns of new kinds every 30 s only, so it begins when Tekton's are there.
    tokio::try_join!(
        launch_ready(dir, planner.controller_manager()?),
        launch_ready(dir, webhook),
        launch_ready(dir, planner.tekton_controller()?),
        launch_ready(dir, planner.tekton_resolvers()?),
        create_workflow_namespace(&client),
    )?;
    say!("Tekton runs");
    probe::resolvers_lead(&client, PATIENCE).await?;
    probe::resolves_a_bundle(&client, &registry, PATIENCE).await?;
    Ok(registry)
}

/// Starts a registry beside the cluster of `kubeconfig`, which must have Tekton.
pub(crate) async fn beside(dir: &Path, binaries: &Binaries, kubeconfig: &Path) -> Result<String> {
    let planner = Planner { dir, binaries };
    link_programs(dir, binaries)?;
    copy_kubeconfig(dir, binaries, kubeconfig).await?;
    let client = cluster::client(&dir.join(KUBECONFIG)).await?;
    cluster::ready(&client).await.map_err(anyhow::Error::msg).context("the given cluster")?;
    probe::has_tekton(&client).await?;
    let port = launch_ready(dir, planner.registry()?).await?;
    let registry = remember_registry(dir, port)?;
    create_workflow_namespace(&client).await?;
    probe::resolves_a_bundle(&client, &registry, PATIENCE / 4).await.context(
        "the given cluster does not resolve bundles from the registry on this machine's loopback interface",
    )?;
    Ok(registry)
}

/// Waits until a component of the control plane ends by itself, and says which and why.
pub(crate) async fn first_death(dir: &Path) -> anyhow::Error {
    loop {
        match State::load(dir) {
            Ok(Some(state)) => {
                if let Some(dead) = state.dead().next() {
                    let tail = log_tail(&dead.program.log);
                    return anyhow::anyhow!("{} ended by itself{tail}", dead.name);
                }
            }
            Ok(None) => {}
            Err(error) => return error,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn launch_ready(dir: &Path, planned: Planned) -> Result<u16> {
    let Planned { component, port } = planned;
    let (name, log) = (component.name.clone(), component.program.log.clone());
    launch(dir, component)?;
    let what = format!("{name} listening on port {port}");
    eventually(PATIENCE, &what, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)))
        .await
        .with_context(|| log_tail(&log))?;
    Ok(port)
}

fn link_programs(dir: &Path, binaries: &Binaries) -> Result<()> {
    for name in ["kubectl", "grpcurl", "kstatus"] {
        symlink(binaries.file(name)?, dir.join(BIN).join(name))?;
    }
    Ok(())
}

fn write_audit_policy(dir: &Path) -> Result<std::path::PathBuf> {
    let path = dir.join("audit-policy.yaml");
    fs::write(&path, AUDIT_POLICY)?;
    Ok(path)
}

fn write_stages(dir: &Path) -> Result<std::path::PathBuf> {
    let path = dir.join("stages.yaml");
    let logs = logs::write(&dir.join("pod-logs"))?;
    fs::write(&path, format!("{STAGES}{logs}"))?;
    Ok(path)
}

fn remember_registry(dir: &Path, port: u16) -> Result<String> {
    let registry = format!("127.0.0.1:{port}");
    State::update(dir, |state| {
        state.registry.clone_from(&registry);
        Ok(())
    })?;
    Ok(registry)
}

// Only the current context, with the content of the files that it names.
async fn copy_kubeconfig(dir: &Path, binaries: &Binaries, from: &Path) -> Result<()> {
    if !from.is_file() {
        bail!("there is no kubeconfig {}", from.display());
    }
    let mut kubectl = kubectl(dir, binaries)?;
    kubectl.args(["config", "view", "--raw", "--flatten", "--minify"]).env("KUBECONFIG", from);
    let copy = output(&mut kubectl).await.with_context(|| format!("read {}", from.display()))?;
    write_private(&dir.join(KUBECONFIG), &copy)
}

async fn apply_tekton(dir: &Path, binaries: &Binaries, webhook_port: u16) -> Result<()> {
    let file = dir.join("tekton.json");
    let manifests = tekton::manifests(&binaries.tekton_config, webhook_port)?;
    fs::write(&file, serde_json::to_vec_pretty(&manifests)?)?;
    let mut kubectl = kubectl(dir, binaries)?;
    kubectl.args(["apply", "--server-side", "--force-conflicts", "-f"]).arg(&file);
    output(&mut kubectl).await.context("install Tekton")?;
    Ok(())
}

fn kubectl(dir: &Path, binaries: &Binaries) -> Result<Command> {
    let mut kubectl = Command::new(binaries.file("kubectl")?);
    kubectl
        .env("KUBECONFIG", dir.join(KUBECONFIG))
        .env("HOME", dir.join(HOME))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(kubectl)
}

async fn output(kubectl: &mut Command) -> Result<Vec<u8>> {
    let output = kubectl.output().await.context("run kubectl")?;
    if !output.status.success() {
        bail!("kubectl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

async fn create_node(client: &Client) -> Result<()> {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "fake-node",
            "labels": { "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" },
        },
    });
    create::<Node>(&Api::all(client.clone()), node).await
}

async fn create_workflow_namespace(client: &Client) -> Result<()> {
    let namespace = json!({ "metadata": { "name": WORKFLOW_NAMESPACE } });
    create::<Namespace>(&Api::all(client.clone()), namespace).await?;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), WORKFLOW_NAMESPACE);
    eventually(PATIENCE, "the default ServiceAccount", || accounts.get("default")).await?;
    Ok(())
}

async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    match api.create(&PostParams::default(), &serde_json::from_value(object)?).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
