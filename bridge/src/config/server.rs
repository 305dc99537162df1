//! Where the execution service is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tonic::transport::Uri;

/// Where the execution service listens: `https://host:port` or `http://host:port`. The name is looked up again for each new
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerAddress(Uri);

impl Default for ServerAddress {
    fn default() -> Self {
        Self(Uri::from_static("http://127.0.0.1:50051"))
    }
}

impl ServerAddress {
    /// The address.
    pub(crate) const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl From<std::net::SocketAddr> for ServerAddress {
    fn from(address: std::net::SocketAddr) -> Self {
        // The display of an address and a port is always an authority.
        format!("http://{address}").parse().unwrap_or_default()
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            "is not the address of a server; expected https://host:port or http://host:port";
        let uri: Uri = text.parse().map_err(|error| format!("{text:?} {expected} ({error})"))?;
        let plain = uri.path() == "/" && uri.query().is_none();
        match uri.scheme_str() {
            Some("https" | "http") if plain && uri.port_u16().is_some() => Ok(Self(uri)),
            _ => Err(format!("{text:?} {expected}")),
        }
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.to_string()
    }
}
