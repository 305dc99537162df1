//! How a client of the execution service reaches it: the connection, and what the client shows of itself.
//!
//! Files are read where they are used: authorities and certificates for each new connection, a token for
//! each call. So what is replaced on disk is used without a restart, and nothing has to be watched.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Channel, Endpoint},
};

use crate::tls::ClientFiles;

/// A connection to `server`, made at the first call and again whenever it is lost. `https` needs `tls`.
/// `prepare` sets what else there is to set.
pub fn channel(
    server: &Uri,
    tls: Option<ClientFiles>,
    prepare: impl FnOnce(Endpoint) -> Endpoint,
) -> Channel {
    let Some(tls) = tls.filter(|_| is_https(server)) else {
        return prepare(Endpoint::from(server.clone())).connect_lazy();
    };
    // TLS is made here, so tonic is told of a plain address, and of the real one as the origin.
    let host = server.host().unwrap_or_default().to_owned();
    let port = server.port_u16().unwrap_or(443);
    let plain =
        Uri::builder().scheme("http").authority(format!("{host}:{port}")).path_and_query("/");
    let plain = plain.build().unwrap_or_else(|_| server.clone());
    let tls = Arc::new(tls);
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, host) = (Arc::clone(&tls), host.clone());
        async move { Ok::<_, io::Error>(TokioIo::new(tls.connect(&host, port).await?)) }
    });
    prepare(Endpoint::from(plain).origin(server.clone())).connect_with_connector_lazy(connector)
}

/// Whether this is the address of a server with TLS.
pub fn is_https(server: &Uri) -> bool {
    server.scheme_str() == Some("https")
}

/// Whether what is said to this server can be read by nobody between: it has TLS, or is on this machine.
pub fn is_private(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_https(server) || loopback || host == "localhost"
}

/// Puts a bearer token into each call.
#[derive(Clone, Default)]
pub struct Bearer(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    Nothing,
    Text(MetadataValue<Ascii>),
    File(Arc<Path>),
}

/// Shows no token.
impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}

/// A text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a token: it is empty, or holds what no token holds")]
pub struct InvalidToken;

impl Bearer {
    /// None at all.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// This token.
    pub fn text(token: &str) -> Result<Self, InvalidToken> {
        Ok(Self(Source::Text(value(token)?)))
    }

    /// The token in this file, which is read for each call.
    pub fn file(path: PathBuf) -> Self {
        Self(Source::File(path.into()))
    }
}

fn value(token: &str) -> Result<MetadataValue<Ascii>, InvalidToken> {
    let token = token.trim();
    if token.is_empty() {
        return Err(InvalidToken);
    }
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().map_err(|_| InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = match &self.0 {
            Source::Nothing => return Ok(request),
            Source::Text(value) => value.clone(),
            Source::File(path) => {
                let shown = path.display();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Status::unavailable(format!("token file {shown}: {error}")))?;
                value(&text)
                    .map_err(|error| Status::unavailable(format!("token file {shown} {error}")))?
            }
        };
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(bearer: &mut Bearer) -> Result<Option<String>, Status> {
        let request = bearer.call(Request::new(()))?;
        let value = request.metadata().get("authorization");
        Ok(value.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_token_file_is_read_for_each_call() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bearer = Bearer::file(file.path().to_owned());
        assert!(authorization(&mut bearer).unwrap_err().message().contains("not a token"));
        for token in ["one", "two"] {
            std::fs::write(file.path(), format!("{token}\n")).unwrap();
            assert_eq!(authorization(&mut bearer).unwrap(), Some(format!("Bearer {token}")));
        }
        drop(file);
        assert!(authorization(&mut bearer).unwrap_err().message().contains("token file"));
    }

    #[test]
    fn a_token_is_sent_as_it_is_and_not_shown() {
        let mut bearer = Bearer::text("secret-text").unwrap();
        assert_eq!(authorization(&mut bearer).unwrap().as_deref(), Some("Bearer secret-text"));
        assert!(!format!("{bearer:?}").contains("secret-text"));
        assert_eq!(authorization(&mut Bearer::nothing()).unwrap(), None);
        assert!(Bearer::text(" ").is_err());
        assert!(Bearer::text("a\nb").is_err());
    }

    #[test]
    fn secrets_are_safe_behind_tls_and_on_this_machine() {
        for private in
            ["https://wfe:1", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"]
        {
            assert!(is_private(&private.parse().unwrap()), "{private}");
        }
        for open in ["http://wfe:1", "http://10.0.0.1:1", "http://localhost.example:1"] {
            assert!(!is_private(&open.parse().unwrap()), "{open}");
        }
    }
}
