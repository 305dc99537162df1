//! The certificate of the gRPC service, from files or from a Secret, kept current.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wfe_runtime::{
    error::chain,
    tls::{
        FileError, Kept, MaterialError, Protocols, SecretError, SelfSigned, ServerCertificate,
        ServerFiles, ServerMaterial, Watched, keep_files,
    },
};

use crate::clock::Clock;

/// Files are looked at this often.
const FILES: Duration = Duration::from_secs(2);

/// The Secret is looked at this often.
const SECRET: Duration = Duration::from_secs(30);

/// There is no certificate to begin with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The Secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What is in them cannot be used.
    #[error("the certificate of the gRPC service cannot be used")]
    Material(#[from] MaterialError),
}

/// A certificate that is kept current.
pub(super) struct KeptTls {
    certificate: Arc<ServerCertificate>,
    source: Source,
}

enum Source {
    Files(ServerFiles),
    Secret(Box<FromSecret>),
}

struct FromSecret {
    secret: SelfSigned,
    kept: Kept,
    client_ca: Watched,
    material: ServerMaterial,
    clock: Arc<dyn Clock>,
}

impl KeptTls {
    /// From files, which somebody else replaces.
    pub(super) async fn files(files: ServerFiles) -> Result<Self, TlsError> {
        let certificate = ServerCertificate::new(Protocols::Grpc, &files.read().await?)?;
        Ok(Self { certificate: Arc::new(certificate), source: Source::Files(files) })
    }

    /// From a Secret, which is made when it is missing, and authorities of clients in a file.
    pub(super) async fn secret(
        secret: SelfSigned,
        client_ca: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TlsError> {
        let kept = secret.obtain(clock.now()).await?;
        let mut client_ca = Watched::new(client_ca);
        let mut material = kept.server.clone();
        material.client_ca = first(&mut client_ca).await?;
        let certificate = ServerCertificate::new(Protocols::Grpc, &material)?;
        let from = FromSecret { secret, kept, client_ca, material, clock };
        Ok(Self { certificate: Arc::new(certificate), source: Source::Secret(Box::new(from)) })
    }

    /// What the listener shows.
    pub(super) fn certificate(&self) -> Arc<ServerCertificate> {
        Arc::clone(&self.certificate)
    }

    /// Keeps it current until `stopping`.
    pub(super) async fn keep(self, stopping: CancellationToken) {
        match self.source {
            Source::Files(files) => keep_files(files, self.certificate, FILES, stopping).await,
            Source::Secret(from) => from.keep(self.certificate, stopping).await,
        }
    }
}

/// The content of the only file, when there is one and it is not what it was.
async fn first(file: &mut Watched) -> Result<Option<Vec<u8>>, FileError> {
    Ok(file.changed().await?.and_then(|contents| contents.first().cloned()))
}

impl FromSecret {
    async fn keep(self, certificate: Arc<ServerCertificate>, stopping: CancellationToken) {
        let Self { secret, kept, mut client_ca, mut material, clock } = self;
        let (tell, mut told) = watch::channel(kept.server.clone());
        let changed = move |kept: &Kept| {
            tell.send_replace(kept.server.clone());
        };
        let keeping = secret.keep(kept, clock, SECRET, changed, stopping.clone());
        let showing = async {
            let mut problem = None;
            loop {
                tokio::select! {
                    changed = told.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(FILES) => {}
                    () = stopping.cancelled() => return,
                }
                let mut next = told.borrow_and_update().clone();
                next.client_ca.clone_from(&material.client_ca);
                match first(&mut client_ca).await {
                    Ok(Some(changed)) => (next.client_ca, problem) = (Some(changed), None),
                    Ok(None) => problem = None,
                    Err(error) => {
                        let error = Some(chain(&error));
                        if problem != error {
                            tracing::warn!(error, "client_ca is not current");
                        }
                        problem = error;
                    }
                }
                if next != material {
                    match certificate.replace(&next) {
                        Ok(()) => tracing::info!("the certificate was replaced"),
                        Err(error) => tracing::warn!(
                            error = chain(&error),
                            "a new certificate cannot be used; the old one is still shown"
                        ),
                    }
                    material = next;
                }
            }
        };
        tokio::join!(keeping, showing);
    }
}
