use std::path::Path;

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::tls::{
    Protocols, ServerFiles, ServerMaterial, keep_files,
    testing::{Authority, client_config},
};

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers each byte with itself, on each connection.
struct Echo {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn echo(certificate: Arc<ServerCertificate>) -> Echo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut listener = TlsListener::new(listener, certificate);
    let serving = tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await;
            tokio::spawn(async move {
                let mut byte = [0];
                while connection.read_exact(&mut byte).await.is_ok() {
                    connection.write_all(&byte).await.unwrap();
                }
            });
        }
    });
    Echo { address, serving }
}

type Client = client::TlsStream<TcpStream>;

async fn connect(address: SocketAddr, config: ClientConfig) -> io::Result<Client> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that the server showed, after one byte went there and back.
async fn shown(client: &mut Client) -> io::Result<CertificateDer<'static>> {
    client.write_all(b"x").await?;
    let mut byte = [0];
    client.read_exact(&mut byte).await?;
    assert_eq!(&byte, b"x");
    Ok(client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
}

fn write(directory: &Path, material: &ServerMaterial) {
    // The key first: a look in between sees a pair that does not fit.
    std::fs::write(directory.join("tls.key"), &material.key).unwrap();
    std::fs::write(directory.join("tls.crt"), &material.certificate).unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_replaced_on_disk_is_shown_to_the_next_client() {
    let authority = Authority::new("tests");
    let (one, two) = (authority.server(&["localhost"]), authority.server(&["localhost"]));
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &one);
    let files = ServerFiles {
        certificate: directory.path().join("tls.crt"),
        key: directory.path().join("tls.key"),
        client_ca: None,
    };
    let material = files.read().await.unwrap();
    let certificate = Arc::new(ServerCertificate::new(Protocols::Grpc, &material).unwrap());
    let stopping = CancellationToken::new();
    let interval = Duration::from_millis(1);
    let keeping =
        tokio::spawn(keep_files(files, Arc::clone(&certificate), interval, stopping.clone()));
    let server = echo(Arc::clone(&certificate)).await;
    let config = || client_config(authority.pem().as_bytes());
    let mut open = connect(server.address, config()).await.unwrap();
    let first = shown(&mut open).await.unwrap();
    assert_eq!(first, CertificateDer::from_pem_slice(&one.certificate).unwrap());

    // What cannot be used changes nothing.
    std::fs::write(directory.path().join("tls.crt"), "broken").unwrap();
    let mut again = connect(server.address, config()).await.unwrap();
    assert_eq!(shown(&mut again).await.unwrap(), first);

    write(directory.path(), &two);
    let second = CertificateDer::from_pem_slice(&two.certificate).unwrap();
    let replaced = async {
        loop {
            let mut next = connect(server.address, config()).await.unwrap();
            if shown(&mut next).await.unwrap() == second {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.unwrap();
    assert_eq!(shown(&mut open).await.unwrap(), first, "an open connection goes on");
    stopping.cancel();
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_client_that_says_nothing_keeps_nobody_waiting() {
    let authority = Authority::new("tests");
    let material = authority.server(&["localhost"]);
    let certificate = Arc::new(ServerCertificate::new(Protocols::Grpc, &material).unwrap());
    let server = echo(certificate).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut broken = TcpStream::connect(server.address).await.unwrap();
    broken.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let config = client_config(authority.pem().as_bytes());
    let mut client =
        tokio::time::timeout(PATIENCE, connect(server.address, config)).await.unwrap().unwrap();
    shown(&mut client).await.unwrap();
}

#[tokio::test]
async fn a_client_of_the_given_authority_is_let_in_as_is_one_without_a_certificate() {
    let authority = Authority::new("servers");
    let clients = Authority::new("clients");
    let material = ServerMaterial {
        client_ca: Some(clients.pem().as_bytes().to_vec()),
        ..authority.server(&["localhost"])
    };
    let certificate = Arc::new(ServerCertificate::new(Protocols::Grpc, &material).unwrap());
    let server = echo(certificate).await;
    let anonymous = client_config(authority.pem().as_bytes());
    let with = |authority: &Authority| {
        let client = authority.client("alice", &[]);
        let mut config = anonymous.clone();
        let chain = vec![CertificateDer::from_pem_slice(&client.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&client.key).unwrap();
        let signer = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let certified = rustls::sign::CertifiedKey::new(chain, signer);
        config.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        config
    };
    let mut nobody = connect(server.address, anonymous.clone()).await.unwrap();
    shown(&mut nobody).await.unwrap();
    let mut alice = connect(server.address, with(&clients)).await.unwrap();
    shown(&mut alice).await.unwrap();
    // In TLS 1.3 the client hears of the refusal only when it reads.
    let strangers = connect(server.address, with(&Authority::new("others"))).await;
    let refused = match strangers {
        Err(_) => true,
        Ok(mut stranger) => shown(&mut stranger).await.is_err(),
    };
    assert!(refused, "a certificate of another authority must not do");
}
