//! Who caused something.

use serde::{Deserialize, Serialize};

/// Who caused an event. Made from authentication, never from what a caller wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// For whom the actor acted, when the actor is one who may say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<OnBehalfOf>,
    /// Network address of the caller, without the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// For whom an actor acted: somebody whom the API server authenticated, as the bridge reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OnBehalfOf {
    /// Name of the user.
    pub user: String,
    /// UID of the user, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Groups of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// How an identity was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationMethod {
    /// No authentication.
    None,
    /// A bearer token, checked by a `TokenReview`.
    Token,
    /// A client certificate.
    Certificate,
    /// The service itself.
    Service,
}

/// The name of a caller whom nobody knows.
const UNKNOWN: &str = "unknown";

/// The name of several callers who are not told apart.
const OTHERS: &str = "others";

impl Actor {
    /// A caller of a service that runs without authentication.
    pub fn anonymous(address: Option<String>) -> Self {
        Self::unchecked("anonymous", address)
    }

    /// A caller who was not let in, because it is not known who it is.
    pub fn unknown(address: Option<String>) -> Self {
        Self::unchecked(UNKNOWN, address)
    }

    /// Callers who are not told apart, because there are too many.
    pub fn others() -> Self {
        Self::unchecked(OTHERS, None)
    }

    /// Whether it is not known who this is.
    pub fn is_unknown(&self) -> bool {
        self.method == AuthenticationMethod::None && self.user == UNKNOWN
    }

    fn unchecked(user: &str, address: Option<String>) -> Self {
        Self {
            user: user.to_owned(),
            uid: None,
            groups: Vec::new(),
            method: AuthenticationMethod::None,
            on_behalf_of: None,
            address,
        }
    }

    /// The name of the person or service on whose decision something was done.
    pub fn person(&self) -> &str {
        self.on_behalf_of.as_ref().map_or(&self.user, |somebody| &somebody.user)
    }

    /// The service itself, for what no caller asked for.
    pub fn service() -> Self {
        Self {
            user: "wfe-server".to_owned(),
            uid: None,
            groups: Vec::new(),
            method: AuthenticationMethod::Service,
            on_behalf_of: None,
            address: None,
        }
    }
}
