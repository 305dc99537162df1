//! What the cluster tests share: the control plane they run on, a namespace each, bundles with a known fate, server and
//! bridge as processes, Tekton's objects as they see them, the WorkflowExecution resource, the manifests under names of
//! their own, calls with tokens, what service accounts may do and did, kubectl, and waiting. It asserts nothing; that is for the tests.

pub mod access;
pub mod account;
pub mod bridge;
pub mod bundles;
pub mod control_plane;
pub mod crd;
pub mod forward;
mod http;
pub mod installation;
pub mod kstatus;
pub mod kubectl;
pub mod namespace;
pub mod objects;
pub mod permissions;
pub mod server;
pub mod tekton;
pub mod wait;

pub use account::Account;
pub use bridge::{BridgeOptions, BridgeProcess};
pub use control_plane::ControlPlane;
pub use forward::Forward;
pub use installation::Installation;
pub use kubectl::Kubectl;
pub use namespace::Namespace;
pub use server::ServerProcess;
