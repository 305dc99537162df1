//! The connection to the server: where it is, and how long to wait for it.

use std::{fmt, str::FromStr, time::Duration};

use tonic::{
    Request,
    service::interceptor::InterceptedService,
    transport::{Channel, Uri},
};
use wfe_proto::v1::execution_service_client::ExecutionServiceClient;
use wfe_runtime::{
    grpc::{Bearer, channel, is_https, is_private},
    tls::ClientFiles,
};

use crate::{args::AccessArgs, error::Error};

/// A client of the execution service.
pub type Client = ExecutionServiceClient<InterceptedService<Channel, Bearer>>;

/// How long a connection may take to be made; a call's own limit counts as well.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle connection is probed, so that a lost peer is noticed while a watch is quiet.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to a probe may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers may be large: a page of executions carries the parameters of each.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Where the server listens: `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress(String);

impl ServerAddress {
    /// The address that `wfe-server` and `wfe dev` listen on unless told otherwise.
    pub const DEFAULT: &'static str = "http://127.0.0.1:50051";

    /// The option that reaches this server, for commands that are shown to a person. Empty for the
    /// default address.
    pub(crate) fn as_option(&self) -> String {
        if self.0 == Self::DEFAULT { String::new() } else { format!(" --server {}", self.0) }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerAddress, String> {
        let with_scheme =
            if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: tonic::transport::Uri =
            with_scheme.parse().map_err(|error| format!("not an address: {error}"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err("must be http://host:port or https://host:port".to_owned()),
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err("must be http://host:port without a path".to_owned());
        }
        if uri.port_u16().is_none() {
            return Err("the port is missing, for example :50051".to_owned());
        }
        Ok(ServerAddress(with_scheme.trim_end_matches('/').to_owned()))
    }
}

/// A client for `server`. Connects at the first call, and again whenever the connection is lost.
pub fn connect(
    server: &ServerAddress,
    access: &AccessArgs,
    timeout: Duration,
) -> Result<Client, Error> {
    let uri: Uri = server
        .0
        .parse()
        .map_err(|error| Error::Usage(format!("{server} is not an address: {error}")))?;
    let tls = access.ca.clone().map(|ca| ClientFiles { ca, identity: None });
    if is_https(&uri) && tls.is_none() {
        return Err(Error::Usage(format!("{server} needs --ca, the authorities of the server")));
    }
    let bearer = match (&access.token, &access.token_file) {
        (None, None) => Bearer::nothing(),
        (_, _) if !is_private(&uri) => {
            let why = "needs https://, or the token can be read on the way";
            return Err(Error::Usage(format!("{server} {why}")));
        }
        (Some(token), _) => Bearer::text(&token.0)
            .map_err(|error| Error::Usage(format!("what --token says {error}")))?,
        (None, Some(file)) => Bearer::file(file.clone()),
    };
    let channel = channel(&uri, tls, |endpoint| {
        let named = endpoint.clone().user_agent(concat!("wfe/", env!("CARGO_PKG_VERSION")));
        named
            .unwrap_or(endpoint)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
    });
    let client = ExecutionServiceClient::with_interceptor(channel, bearer);
    Ok(client.max_decoding_message_size(MAX_MESSAGE_BYTES))
}

/// A call with a limit, which the server is told as well.
pub(crate) fn request<M>(message: M, timeout: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Secret;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for (given, expected) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("http://127.0.0.1:50051/", "http://127.0.0.1:50051"),
            ("wfe.example:50051", "http://wfe.example:50051"),
            ("http://[::1]:9", "http://[::1]:9"),
            ("https://wfe.example:50051", "https://wfe.example:50051"),
        ] {
            let parsed: ServerAddress = given.parse().unwrap();
            assert_eq!(parsed.to_string(), expected);
        }
        for wrong in [
            "",
            "http://",
            "https://host",
            "ftp://host:1",
            "http://host",
            "http://host:1/path",
            "http://host:port",
        ] {
            assert!(wrong.parse::<ServerAddress>().is_err(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_token_is_not_sent_where_others_can_read_it() {
        let token = AccessArgs { token: Some(Secret("t".to_owned())), ..AccessArgs::default() };
        let limit = Duration::from_secs(1);
        let to = |server: &str, access: &AccessArgs| {
            connect(&server.parse().unwrap(), access, limit).map(drop)
        };
        to("http://127.0.0.1:1", &token).unwrap();
        for (server, access, named) in [
            ("http://wfe.example:1", &token, "https://"),
            ("https://wfe.example:1", &token, "--ca"),
        ] {
            let error = to(server, access).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let with_ca = AccessArgs { ca: Some("ca.crt".into()), ..token };
        to("https://wfe.example:1", &with_ca).unwrap();
    }

    #[test]
    fn commands_that_are_shown_name_a_server_that_is_not_the_default() {
        let default: ServerAddress = ServerAddress::DEFAULT.parse().unwrap();
        assert_eq!(default.as_option(), "");
        let other: ServerAddress = "host:1".parse().unwrap();
        assert_eq!(other.as_option(), " --server http://host:1");
    }
}
