//! What the cluster tests share: the control plane they run on, a namespace each, bundles with a known fate, Tekton's
//! objects as they see them, the manifests under names of their own, what service accounts may do and did, and waiting.
//! It asserts nothing; that is for the tests.

pub mod account;
pub mod bundles;
pub mod control_plane;
pub mod installation;
pub mod namespace;
pub mod permissions;
pub mod server;
pub mod tekton;
pub mod wait;

pub use account::Account;
pub use control_plane::ControlPlane;
pub use installation::Installation;
pub use namespace::Namespace;
pub use server::ServerProcess;
