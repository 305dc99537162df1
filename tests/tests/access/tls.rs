//! Certificates of the server and of its clients.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_proto::v1;
use wfe_runtime::grpc::Bearer;
use wfe_runtime::tls::testing::{Authority, ClientMaterial};
use wfe_runtime::tls::{ClientFiles, ClientIdentity, ServerMaterial};
use wfe_tests::server::Client;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, Namespace, ServerProcess, access};

use crate::support::{ALL, Guarded, Subject, mk_start};

/// Fails when the certificate is not trusted: a call without a token is refused by the server itself.
async fn is_reached(client: &mut Client) -> Result<(), String> {
    let Err(status) = client.list(v1::ListRequest::default()).await else {
        return Err("a call without a token was answered".to_owned());
    };
    let ours = status.get_details_error_info().is_some();
    if ours && status.code() == Code::Unauthenticated { Ok(()) } else { Err(format!("{status:?}")) }
}

fn write(directory: &Path, material: &ServerMaterial) -> Result<()> {
    std::fs::write(directory.join("tls.key"), &material.key)?;
    std::fs::write(directory.join("tls.crt"), &material.certificate)?;
    Ok(())
}

fn path(directory: &Path, name: &str) -> Result<String> {
    Ok(directory.join(name).to_str().context("UTF-8")?.to_owned())
}

#[tokio::test]
async fn a_certificate_that_is_replaced_on_disk_is_shown_without_a_restart() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let directory = tempfile::tempdir()?;
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        write(directory.path(), &old.server(&["127.0.0.1"]))?;
        let (certificate, key) =
            (path(directory.path(), "tls.crt")?, path(directory.path(), "tls.key")?);
        let kubernetes = ["--authentication", "kubernetes"];
        let files = ["--tls-certificate", &certificate, "--tls-key", &key];
        let flags = [&kubernetes[..], &files].concat();
        let server = ServerProcess::start_as(plane.kubeconfig(), namespace.name(), &flags).await?;
        let trusting = |authority: &Authority, name: &str| -> Result<Client> {
            let ca = directory.path().join(name);
            std::fs::write(&ca, authority.pem())?;
            server.secure_client(access::trusting(&ca), Bearer::nothing())
        };
        let mut open = trusting(&old, "old.crt")?;
        is_reached(&mut open).await.map_err(anyhow::Error::msg)?;
        assert!(is_reached(&mut trusting(&new, "new.crt")?).await.is_err());

        write(directory.path(), &new.server(&["127.0.0.1"]))?;
        eventually(PATIENCE, "the new certificate is shown", async || {
            let mut client = trusting(&new, "new.crt").map_err(|error| error.to_string())?;
            is_reached(&mut client).await
        })
        .await?;
        assert!(is_reached(&mut trusting(&old, "old.crt")?).await.is_err());
        is_reached(&mut open).await.map_err(anyhow::Error::msg).context("the open connection")
    })
    .await
}

#[tokio::test]
async fn servers_that_share_a_secret_share_its_certificate() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let starting = (0..3).map(|_| Guarded::start(&plane, namespace));
        let started: Vec<Guarded<'_>> = futures::future::try_join_all(starting).await?;
        let authorities: Vec<String> = started
            .iter()
            .map(|guarded| Ok(std::fs::read_to_string(&guarded.ca)?))
            .collect::<Result<_>>()?;
        assert!(authorities.iter().all(|one| *one == authorities[0]), "one authority for all");
        for guarded in &started {
            let mut client = guarded.client(Bearer::nothing())?;
            is_reached(&mut client).await.map_err(anyhow::Error::msg)?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_client_certificate_says_who_calls_and_to_which_groups_they_belong() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let clients = Authority::new("clients");
        let directory = tempfile::tempdir()?;
        let client_ca = path(directory.path(), "clients.crt")?;
        std::fs::write(&client_ca, clients.pem())?;
        let guarded = Guarded::start_with(&plane, namespace, &["--client-ca", &client_ca]).await?;
        let group = format!("{}-team", namespace.name());
        guarded.grant(namespace, &Subject::User("mallory-of-nothing".to_owned()), &["get"]).await?;
        guarded.grant(namespace, &Subject::Group(group.clone()), &ALL).await?;
        let target = format!("{}/deployment/api", namespace.name());
        let probe = v1::StartRequest {
            validate_only: true,
            ..mk_start("registry.example/any:v1", "probe", &target)
        };
        let with = |client: &ClientMaterial, name: &str| -> Result<Client> {
            let identity = identity(guarded.directory.path(), name, client)?;
            let files = ClientFiles { ca: guarded.ca.clone(), identity: Some(identity) };
            guarded.server.secure_client(files, Bearer::nothing())
        };
        let carol = with(&clients.client("carol", &[&group]), "carol")?;
        let started = eventually(PATIENCE, "the group counts", async || {
            carol.clone().start(probe.clone()).await.map_err(|status| status.to_string())
        })
        .await?;
        let actor = started.into_inner().execution.and_then(|one| one.actor).context("an actor")?;
        assert_eq!(actor.user, "carol");
        assert_eq!(actor.groups, [group.as_str(), "system:authenticated"]);
        assert_eq!(actor.method(), v1::AuthenticationMethod::Certificate);

        let mut stranger = with(&clients.client("stranger", &[]), "stranger")?;
        let status = stranger.start(probe.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        // Without a certificate a token is asked for; with one of another authority nothing is.
        let mut nobody = guarded.client(Bearer::nothing())?;
        is_reached(&mut nobody).await.map_err(anyhow::Error::msg)?;
        let forged = Authority::new("clients").client("carol", &[&group]);
        let status = with(&forged, "forged")?.start(probe.clone()).await.unwrap_err();
        assert!(status.get_details_error_info().is_none(), "{status:?}");
        Ok(())
    })
    .await
}

fn identity(directory: &Path, name: &str, client: &ClientMaterial) -> Result<ClientIdentity> {
    let file = |ending: &str, content: &[u8]| -> Result<PathBuf> {
        let path = directory.join(format!("{name}.{ending}"));
        std::fs::write(&path, content)?;
        Ok(path)
    };
    let certificate = file("crt", &client.certificate)?;
    Ok(ClientIdentity { certificate, key: file("key", &client.key)? })
}
