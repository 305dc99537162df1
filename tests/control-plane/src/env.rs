//! The names of the environment variables through which a control plane is handed to tests and shells.

/// The kubeconfig of its administrator.
pub const KUBECONFIG: &str = "KUBECONFIG";
/// The registry that Tekton reads bundles from, as `host:port`.
pub const REGISTRY: &str = "WFE_REGISTRY";
/// The directory of the control plane.
pub const DIRECTORY: &str = "WFE_CONTROL_PLANE_DIR";

/// The variable that holds the bearer token of a test user.
#[must_use]
pub fn token(user: &str) -> String {
    format!("WFE_TOKEN_{}", user.to_uppercase())
}
