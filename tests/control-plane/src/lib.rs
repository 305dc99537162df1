//! A test control plane as seen by those who use it: what runs, where it listens, how to stop and start a part of it,
//! and how workflow bundles get into its registry.
//!
//! `cargo xtask control-plane` builds control planes with it and the cluster tests use them through it. It must not
//! know the service under test, so that it compiles when the service does not.

pub mod bundle;
pub mod cluster;
pub mod env;
pub mod health_port;
pub mod logs;
pub mod plain;
pub mod probe;
pub mod process;
pub mod state;
pub mod wait;

/// What the fake kubelet does, as a KWOK configuration.
pub const STAGES: &str = include_str!("../stages.yaml");

/// Which requests the API server writes into its audit log.
pub const AUDIT_POLICY: &str = include_str!("../audit-policy.yaml");

/// The namespace that the service runs workflows in when it is told nothing else.
pub const WORKFLOW_NAMESPACE: &str = "kubernaut-workflows";

/// The users that every control plane knows beside its administrator. They have no rights until a test gives them some.
pub const USERS: [&str; 6] = ["alice", "bob", "operator", "viewer", "server", "bridge"];
