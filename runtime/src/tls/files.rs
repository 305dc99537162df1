//! TLS material in files, which somebody else replaces: mounted Secrets, cert-manager, people.
//!
//! Files are read anew at an interval and compared: a mounted Secret is replaced by moving a symbolic
//! link, which watchers of files do not see alike on every system.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{MaterialError, ServerCertificate, ServerMaterial};
use crate::error::chain;

/// A file of TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is in it cannot be used.
    #[error("{path} cannot be used")]
    Unusable {
        /// The file with the certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: MaterialError,
    },
}

/// The whole content of a small file.
async fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    tokio::fs::read(path).await.map_err(unreadable)
}

/// The PEM files of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// Its certificate with the chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of its clients' certificates.
    pub client_ca: Option<PathBuf>,
}

impl ServerFiles {
    /// What is in the files now. Between two reads a file may be replaced, so the pieces need not fit;
    /// the next look finds them together.
    pub async fn read(&self) -> Result<ServerMaterial, FileError> {
        Ok(ServerMaterial {
            certificate: read(&self.certificate).await?,
            key: read(&self.key).await?,
            client_ca: match &self.client_ca {
                Some(path) => Some(read(path).await?),
                None => None,
            },
        })
    }
}

/// Looks at the files again and again until `stopping`, and shows by `certificate` what is new in them.
/// What cannot be used is logged once, and what is shown stays.
pub async fn keep_files(
    files: ServerFiles,
    certificate: Arc<ServerCertificate>,
    interval: Duration,
    stopping: CancellationToken,
) {
    let mut shown = None;
    let mut told = None;
    loop {
        let problem = match files.read().await {
            Err(error) => Some(chain(&error)),
            Ok(material) if shown.as_ref() == Some(&material) => None,
            Ok(material) => match certificate.replace(&material) {
                Ok(()) => {
                    // At the first look it is what the process has begun with.
                    if shown.replace(material).is_some() {
                        tracing::info!(certificate = %files.certificate.display(), "the certificate was replaced");
                    }
                    None
                }
                Err(source) => {
                    let path = files.certificate.clone();
                    Some(chain(&FileError::Unusable { path, source }))
                }
            },
        };
        if let Some(problem) = problem.as_ref().filter(|problem| told.as_ref() != Some(*problem)) {
            tracing::warn!(problem, "a new certificate cannot be used; the old one is still shown");
        }
        told = problem;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Files that a client needs, such as the authority of a server or a token, and which change.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Option<Vec<Vec<u8>>>,
}

impl Watched {
    /// Nothing of `paths` was seen yet.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { paths: paths.into_iter().collect(), seen: None }
    }

    /// The contents of all files, in order, when they are not what they were at the last call; `None`
    /// when they are. The first call answers them.
    pub async fn changed(&mut self) -> Result<Option<&[Vec<u8>]>, FileError> {
        let mut contents = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            contents.push(read(path).await?);
        }
        if self.seen.as_ref() == Some(&contents) {
            return Ok(None);
        }
        Ok(Some(self.seen.insert(contents)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watched_files_are_told_once_for_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let mut watched = Watched::new([path.clone()]);
        assert!(watched.changed().await.is_err());
        std::fs::write(&path, "one").unwrap();
        assert_eq!(watched.changed().await.unwrap(), Some(&[b"one".to_vec()][..]));
        assert_eq!(watched.changed().await.unwrap(), None);
        std::fs::write(&path, "two").unwrap();
        assert_eq!(watched.changed().await.unwrap(), Some(&[b"two".to_vec()][..]));
    }
}
