//! Keys in files.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use ring::rand::SystemRandom;
use wfe_audit::key::{PublicKey, SigningKey};

use super::error::AuditError;

/// The key in a file; `None` when there is no file.
pub(super) fn read(path: &Path) -> Result<Option<SigningKey>, AuditError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(AuditError::KeyUnreadable { path: path.to_owned(), source });
        }
    };
    SigningKey::from_pem(&text)
        .map(Some)
        .map_err(|source| AuditError::NotAKey { path: path.to_owned(), source })
}

/// Makes a key in a file that does not exist, which its owner alone can read, and writes the public
/// key beside it.
pub(super) fn make(path: &Path) -> Result<SigningKey, AuditError> {
    let unwritable = |source| AuditError::KeyUnwritable { path: path.to_owned(), source };
    let (key, pem) = SigningKey::generate(&SystemRandom::new()).map_err(AuditError::KeyNotMade)?;
    // The public key first: there is no key without it, should the process end in between.
    write(&public_path(path), &key.public().to_pem(), Readers::Everybody, Existing::Replaced)
        .map_err(unwritable)?;
    write(path, &pem, Readers::Owner, Existing::Kept).map_err(unwritable)?;
    tracing::debug!(key = %key.public().id(), path = %path.display(), "made an audit key");
    Ok(key)
}

/// Where the public key of a key is written.
pub(super) fn public_path(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// Writes the public key beside the key, when nothing is there and the folder can be written.
pub(super) fn publish(path: &Path, key: &PublicKey) {
    let public = public_path(path);
    if public.exists() {
        return;
    }
    if let Err(error) = write(&public, &key.to_pem(), Readers::Everybody, Existing::Kept) {
        tracing::debug!(%error, path = %public.display(), "the public key is not written");
    }
}

/// Who may read a file.
#[derive(Clone, Copy)]
enum Readers {
    Owner,
    Everybody,
}

impl Readers {
    #[cfg(unix)]
    fn mode(self) -> fs::Permissions {
        use std::os::unix::fs::PermissionsExt as _;
        fs::Permissions::from_mode(match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        })
    }
}

#[derive(Clone, Copy)]
enum Existing {
    Kept,
    Replaced,
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str, readers: Readers, existing: Existing) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().permissions(readers.mode()).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match existing {
        Existing::Kept => file.persist_noclobber(&path)?,
        Existing::Replaced => file.persist(&path)?,
    };
    fs::File::open(folder)?.sync_all()
}
