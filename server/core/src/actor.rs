//! Who caused something.

use serde::{Deserialize, Serialize};

/// Who caused an event. Made from authentication, never from what a caller wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Name of the user or service.
    pub user: String,
    /// UID of the user, when the authenticator gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Groups of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// How the identity was established.
    pub method: AuthenticationMethod,
    /// Network address of the caller, without the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// How an identity was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationMethod {
    /// No authentication.
    None,
    /// The service itself.
    Service,
}

impl Actor {
    /// A caller of a service that runs without authentication.
    pub fn anonymous(address: Option<String>) -> Self {
        Self {
            user: "anonymous".to_owned(),
            uid: None,
            groups: Vec::new(),
            method: AuthenticationMethod::None,
            address,
        }
    }

    /// The service itself, for what no caller asked for.
    pub fn service() -> Self {
        Self {
            user: "wfe-server".to_owned(),
            uid: None,
            groups: Vec::new(),
            method: AuthenticationMethod::Service,
            address: None,
        }
    }
}
