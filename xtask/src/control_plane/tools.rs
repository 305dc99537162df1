//! Which programs a control plane is made of, and how each Go module builds them. The versions are those of the
//! modules' go.mod files, so that they are pinned in one place.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo;

/// A Go module of its own below `tests/control-plane/tools`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its directory.
    pub(crate) name: &'static str,
    /// The module that its go.mod pins.
    pub(crate) path: &'static str,
}

/// One program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// What its file is called.
    pub(crate) name: &'static str,
    pub(crate) module: Module,
    pub(crate) package: &'static str,
    /// Whether the kubebuilder project ships it.
    pub(crate) in_kubebuilder_assets: bool,
    /// What makes it tell its version; without it a program on PATH is never taken.
    pub(crate) version_arguments: Option<&'static [&'static str]>,
}

pub(crate) const KUBERNETES: Module = Module { name: "kubernetes", path: "k8s.io/kubernetes" };
pub(crate) const ETCD: Module = Module { name: "etcd", path: "go.etcd.io/etcd/server/v3" };
pub(crate) const KWOK: Module = Module { name: "kwok", path: "sigs.k8s.io/kwok" };
pub(crate) const TEKTON: Module = Module { name: "tekton", path: "github.com/tektoncd/pipeline" };
pub(crate) const REGISTRY: Module =
    Module { name: "registry", path: "github.com/google/go-containerregistry" };
pub(crate) const CLIENTS: Module =
    Module { name: "clients", path: "github.com/fullstorydev/grpcurl" };

pub(crate) const KSTATUS: Module = Module { name: "kstatus", path: "sigs.k8s.io/cli-utils" };

/// Everything.
pub(crate) const ALL: [Tool; 12] = [
    GRPCURL,
    KSTATUS_PROGRAM,
    REGISTRY_SERVER,
    Tool {
        name: "etcd",
        module: ETCD,
        package: "go.etcd.io/etcd/server/v3",
        in_kubebuilder_assets: true,
        version_arguments: Some(&["--version"]),
    },
    Tool {
        name: "kube-apiserver",
        module: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        in_kubebuilder_assets: true,
        version_arguments: Some(&["--version"]),
    },
    Tool {
        name: "kube-controller-manager",
        module: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        in_kubebuilder_assets: false,
        version_arguments: Some(&["--version"]),
    },
    Tool {
        name: "kube-scheduler",
        module: KUBERNETES,
        package: "k8s.io/kubernetes/cmd/kube-scheduler",
        in_kubebuilder_assets: false,
        version_arguments: Some(&["--version"]),
    },
    KUBECTL,
    Tool {
        name: "tekton-controller",
        module: TEKTON,
        package: "github.com/tektoncd/pipeline/cmd/controller",
        in_kubebuilder_assets: false,
        version_arguments: None,
    },
    Tool {
        name: "tekton-webhook",
        module: TEKTON,
        package: "github.com/tektoncd/pipeline/cmd/webhook",
        in_kubebuilder_assets: false,
        version_arguments: None,
    },
    Tool {
        name: "tekton-resolvers",
        module: TEKTON,
        package: "github.com/tektoncd/pipeline/cmd/resolvers",
        in_kubebuilder_assets: false,
        version_arguments: None,
    },
    Tool {
        name: "kwok",
        module: KWOK,
        package: "sigs.k8s.io/kwok/cmd/kwok",
        in_kubebuilder_assets: false,
        version_arguments: Some(&["--version"]),
    },
];

/// What is needed beside a cluster that exists already.
pub(crate) const BESIDE_A_CLUSTER: [Tool; 4] = [GRPCURL, KSTATUS_PROGRAM, REGISTRY_SERVER, KUBECTL];

const GRPCURL: Tool = Tool {
    name: "grpcurl",
    module: CLIENTS,
    package: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
    in_kubebuilder_assets: false,
    version_arguments: None,
};

// The library has no program, so the module has one of our own.
const KSTATUS_PROGRAM: Tool = Tool {
    name: "kstatus",
    module: KSTATUS,
    package: "tools/kstatus",
    in_kubebuilder_assets: false,
    version_arguments: None,
};

const REGISTRY_SERVER: Tool = Tool {
    name: "registry",
    module: REGISTRY,
    package: "github.com/google/go-containerregistry/cmd/registry",
    in_kubebuilder_assets: false,
    version_arguments: None,
};

const KUBECTL: Tool = Tool {
    name: "kubectl",
    module: KUBERNETES,
    package: "k8s.io/kubernetes/cmd/kubectl",
    in_kubebuilder_assets: true,
    version_arguments: Some(&["version", "--client"]),
};

impl Module {
    /// Where its go.mod is.
    pub(crate) fn directory(self) -> PathBuf {
        cargo::workspace().join("tests/control-plane/tools").join(self.name)
    }

    /// The Go code of our own that is in it.
    pub(crate) fn sources(self) -> Result<Vec<PathBuf>> {
        let mut sources = Vec::new();
        for entry in fs::read_dir(self.directory())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "go") {
                sources.push(path);
            }
        }
        sources.sort();
        Ok(sources)
    }

    /// The pinned version, with its leading `v`.
    pub(crate) fn version(self) -> Result<String> {
        let file = self.directory().join("go.mod");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let mut lines = text.lines().map(|line| line.trim().trim_start_matches("require "));
        lines
            .find_map(|line| line.strip_prefix(self.path)?.strip_prefix(' '))
            .and_then(|rest| rest.split_whitespace().next())
            .map(str::to_owned)
            .with_context(|| format!("{} does not pin {}", file.display(), self.path))
    }

    /// Flags for the linker. Tekton refuses an API server whose version is not a semantic one.
    pub(crate) fn ldflags(self) -> Result<String> {
        if self != KUBERNETES {
            return Ok("-s -w".to_owned());
        }
        let version = self.version()?;
        let mut numbers = version.trim_start_matches('v').split('.');
        let major = numbers.next().unwrap_or_default();
        let minor = numbers.next().unwrap_or_default();
        let variable = "-X k8s.io/component-base/version";
        Ok(format!(
            "-s -w {variable}.gitVersion={version} {variable}.gitMajor={major} {variable}.gitMinor={minor}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_pins_the_version_of_its_tools() -> Result<()> {
        for tool in ALL {
            let version = tool.module.version()?;
            let numbers = version.strip_prefix('v').context("no v")?.split('.');
            assert_eq!(numbers.count(), 3, "{}: {version}", tool.name);
            let own = format!("tools/{}", tool.module.name);
            let is_pinned = tool.package.starts_with(tool.module.path) || tool.package == own;
            assert!(is_pinned, "{}", tool.package);
        }
        Ok(())
    }

    #[test]
    fn kubernetes_is_told_its_version() -> Result<()> {
        let flags = KUBERNETES.ldflags()?;
        assert!(flags.contains(&format!(".gitVersion={} ", KUBERNETES.version()?)), "{flags}");
        assert!(flags.contains(".gitMajor=1 "), "{flags}");
        Ok(())
    }
}
