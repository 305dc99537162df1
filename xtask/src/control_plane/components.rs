//! The command line of every process of a control plane. Reserves their ports, starts nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use wfe_control_plane::process::Program;
use wfe_control_plane::state::{Component, Layer, audit_log_path, certificates, log_path};

use super::access::{HOME, KUBECONFIG, TOKENS};
use super::build::Binaries;
use super::ports::reserve;

/// A component and the port on which it listens once it runs.
pub(crate) struct Planned {
    pub(crate) component: Component,
    pub(crate) port: u16,
}

/// Plans the components of the control plane in one directory.
pub(crate) struct Planner<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) binaries: &'a Binaries,
}

impl Planner<'_> {
    pub(crate) fn etcd(&self) -> Result<Planned> {
        let port = reserve(self.dir)?;
        let client = format!("http://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{}", reserve(self.dir)?);
        let args = vec![
            format!("--data-dir={}", self.path("etcd")?),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // Nothing in it has to survive the machine.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.plan("etcd", Layer::Storage, port, args, &[])
    }

    pub(crate) fn apiserver(&self, etcd: u16, audit_policy: &Path) -> Result<Planned> {
        let port = reserve(self.dir)?;
        let certificates = certificates(self.dir);
        let certificates = utf8(&certificates)?;
        let args = vec![
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={certificates}"),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}", self.path(TOKENS)?),
            format!("--audit-policy-file={}", utf8(audit_policy)?),
            format!("--audit-log-path={}", utf8(&audit_log_path(self.dir))?),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            // The key that it makes for its own certificate signs the ServiceAccount tokens too.
            format!("--service-account-signing-key-file={certificates}/apiserver.key"),
            format!("--service-account-key-file={certificates}/apiserver.key"),
            "--api-audiences=https://kubernetes.default.svc,wfe".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // The endpoints of its own Service may not be on the loopback interface.
            "--endpoint-reconciler-type=none".to_owned(),
            // A new node would be tainted until a node controller, which there is not, finds it ready.
            "--disable-admission-plugins=TaintNodesByCondition".to_owned(),
            "--profiling=false".to_owned(),
        ];
        self.plan("kube-apiserver", Layer::Api, port, args, &[])
    }

    pub(crate) fn controller_manager(&self) -> Result<Planned> {
        let controllers = [
            "clusterrole-aggregation-controller",
            "garbage-collector-controller",
            "job-controller",
            "namespace-controller",
            // Without it no claim for a volume would ever be gone, and no namespace with one.
            "persistentvolumeclaim-protection-controller",
            "resourcequota-controller",
            "serviceaccount-controller",
        ];
        let mut args = self.control_loop()?;
        args.push(format!("--controllers={}", controllers.join(",")));
        self.control_plane_client("kube-controller-manager", args)
    }

    pub(crate) fn scheduler(&self) -> Result<Planned> {
        let args = self.control_loop()?;
        self.control_plane_client("kube-scheduler", args)
    }

    pub(crate) fn kwok(&self, stages: &Path) -> Result<Planned> {
        let port = reserve(self.dir)?;
        let args = vec![
            format!("--kubeconfig={}", self.path(KUBECONFIG)?),
            format!("--config={}", utf8(stages)?),
            format!("--server-address=127.0.0.1:{port}"),
            // Where the API server asks for the logs of pods.
            "--node-ip=127.0.0.1".to_owned(),
            format!("--node-port={port}"),
        ];
        self.plan("kwok", Layer::Client, port, args, &[])
    }

    pub(crate) fn registry(&self) -> Result<Planned> {
        let port = reserve(self.dir)?;
        self.plan("registry", Layer::Client, port, vec![format!("-port={port}")], &[])
    }

    pub(crate) fn tekton_controller(&self) -> Result<Planned> {
        let port = reserve(self.dir)?;
        let mut args = self.tekton_flags()?;
        args.push("-disable-ha=true".to_owned());
        for image in ["entrypoint", "nop", "sidecarlogresults", "workingdirinit", "shell", "shell"]
        {
            args.push(format!("-{image}-image=wfe.test/{image}"));
        }
        args.push("-shell-image-win=wfe.test/shell".to_owned());
        let environment = [("PROBES_PORT", port.to_string())];
        self.tekton("tekton-controller", "tekton-pipelines", "controller", port, args, &environment)
    }

    pub(crate) fn tekton_webhook(&self) -> Result<Planned> {
        let port = reserve(self.dir)?;
        let mut args = self.tekton_flags()?;
        args.retain(|argument| !argument.starts_with("-threads-per-controller"));
        args.push("-disable-ha=true".to_owned());
        let environment =
            [("PROBES_PORT", reserve(self.dir)?.to_string()), ("WEBHOOK_PORT", port.to_string())];
        self.tekton("tekton-webhook", "tekton-pipelines", "webhook", port, args, &environment)
    }

    pub(crate) fn tekton_resolvers(&self) -> Result<Planned> {
        // The metrics are the only thing that they serve on a port of our choice.
        let args = self.tekton_flags()?;
        let namespace = "tekton-pipelines-resolvers";
        let mut planned = self.tekton("tekton-resolvers", namespace, "resolvers", 0, args, &[])?;
        let metrics = planned.component.program.env.get("METRICS_PROMETHEUS_PORT");
        planned.port = metrics.context("no metrics port")?.parse()?;
        Ok(planned)
    }

    fn tekton_flags(&self) -> Result<Vec<String>> {
        Ok(vec![
            format!("-kubeconfig={}", self.path(KUBECONFIG)?),
            // Its own limits would be the first thing that a load test measures.
            "-threads-per-controller=32".to_owned(),
            "-kube-api-qps=1000".to_owned(),
            "-kube-api-burst=1000".to_owned(),
        ])
    }

    fn tekton(
        &self,
        name: &str,
        namespace: &str,
        leader_election: &str,
        port: u16,
        args: Vec<String>,
        environment: &[(&str, String)],
    ) -> Result<Planned> {
        let mut all = vec![
            ("SYSTEM_NAMESPACE", namespace.to_owned()),
            ("KUBERNETES_MIN_VERSION", "v1.28.0".to_owned()),
            ("CONFIG_LEADERELECTION_NAME", format!("config-leader-election-{leader_election}")),
            ("METRICS_PROMETHEUS_PORT", reserve(self.dir)?.to_string()),
            ("PROFILING_PORT", reserve(self.dir)?.to_string()),
        ];
        all.extend_from_slice(environment);
        self.plan(name, Layer::Client, port, args, &all)
    }

    fn control_loop(&self) -> Result<Vec<String>> {
        Ok(vec![
            format!("--kubeconfig={}", self.path(KUBECONFIG)?),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            "--profiling=false".to_owned(),
        ])
    }

    fn control_plane_client(&self, name: &str, mut args: Vec<String>) -> Result<Planned> {
        let port = reserve(self.dir)?;
        args.push(format!("--secure-port={port}"));
        self.plan(name, Layer::Client, port, args, &[])
    }

    fn plan(
        &self,
        name: &str,
        layer: Layer,
        port: u16,
        args: Vec<String>,
        environment: &[(&str, String)],
    ) -> Result<Planned> {
        let mut env = BTreeMap::from([
            // Nothing of the user's home (registry logins, proxies, kubeconfigs) may change what a test sees.
            ("HOME".to_owned(), self.path(HOME)?),
            ("TMPDIR".to_owned(), utf8(&std::env::temp_dir())?.to_owned()),
        ]);
        env.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let log = log_path(self.dir, name);
        let file = self.binaries.file(name)?.to_owned();
        let program = Program { file, args, env, log };
        Ok(Planned {
            component: Component { name: name.to_owned(), program, layer, process: None },
            port,
        })
    }

    fn path(&self, name: &str) -> Result<String> {
        Ok(utf8(&self.dir.join(name))?.to_owned())
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
