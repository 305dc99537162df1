//! What the cluster tests share: the control plane they run on, a namespace each, bundles with a known fate, Tekton's
//! objects as they see them, the WorkflowExecution resource, kubectl, and waiting. It asserts nothing; that is for the tests.

pub mod bridge;
pub mod bundles;
pub mod control_plane;
pub mod crd;
pub mod forward;
pub mod kstatus;
pub mod kubectl;
pub mod namespace;
pub mod server;
pub mod tekton;
pub mod wait;

pub use bridge::{BridgeOptions, BridgeProcess};
pub use control_plane::ControlPlane;
pub use forward::Forward;
pub use kubectl::Kubectl;
pub use namespace::Namespace;
pub use server::ServerProcess;
