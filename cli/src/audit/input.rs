//! The files that an auditor brings: the export, keys, checkpoints.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use wfe_audit::{
    checkpoint::Checkpoint,
    key::PublicKey,
    verify::{Kept, Known, Report, Seen, verify_each},
};

use super::AuditError;
use crate::{args::TrustArgs, error::Error};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// Reads what is trusted, and what is known beside the export.
pub(crate) fn known(args: &TrustArgs) -> Result<Known, AuditError> {
    let text = |path: &Path| {
        fs::read_to_string(path)
            .map_err(|source| AuditError::Read { path: path.to_owned(), source })
    };
    let mut known = Known { log: args.log, ..Known::default() };
    for path in &args.key {
        let key = PublicKey::from_pem(&text(path)?);
        known.keys.push(key.map_err(|source| AuditError::Key { path: path.clone(), source })?);
    }
    for path in &args.checkpoints {
        let read = Checkpoint::read_all(&text(path)?);
        let read = read.map_err(|source| AuditError::Checkpoints { path: path.clone(), source })?;
        known.checkpoints.extend(read.into_iter().enumerate().map(|(index, checkpoint)| Kept {
            place: format!("{}, number {}", path.display(), index + 1),
            checkpoint,
        }));
    }
    Ok(known)
}

/// Opens an export.
pub(crate) fn open(path: &Path) -> Result<File, AuditError> {
    File::open(path).map_err(|source| AuditError::Read { path: path.to_owned(), source })
}

/// What an export was, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// SHA-256: hex.
    pub(crate) sha256: String,
    /// Its length in bytes.
    pub(crate) bytes: u64,
}

/// Verifies an export, and shows each entry on the way. `path` is for errors.
pub(crate) fn verify(
    path: &Path,
    input: impl Read,
    known: &Known,
    interrupt: &CancellationToken,
    see: impl FnMut(Seen<'_>),
) -> Result<(Report, Fingerprint), Error> {
    let counted = Counted::new(input, interrupt.clone());
    let so_far = counted.so_far.clone();
    match verify_each(BufReader::with_capacity(CHUNK, counted), known, see) {
        Ok(report) => Ok((report, fingerprint(&so_far))),
        Err(_) if interrupt.is_cancelled() => Err(Error::Interrupted),
        Err(error) => Err(AuditError::of_export(path.to_owned(), error).into()),
    }
}

/// What was read so far.
#[derive(Default)]
struct SoFar {
    digest: Sha256,
    bytes: u64,
}

/// Takes the fingerprint of what it passes on, and stops when the person does not want to wait.
struct Counted<R> {
    input: R,
    so_far: Arc<Mutex<SoFar>>,
    interrupt: CancellationToken,
}

impl<R> Counted<R> {
    fn new(input: R, interrupt: CancellationToken) -> Self {
        Self { input, so_far: Arc::default(), interrupt }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupt.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let length = self.input.read(buffer)?;
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.digest.update(&buffer[..length]);
        so_far.bytes += length as u64;
        Ok(length)
    }
}

fn fingerprint(so_far: &Mutex<SoFar>) -> Fingerprint {
    let so_far = so_far.lock().unwrap_or_else(PoisonError::into_inner);
    Fingerprint { sha256: hex::encode(so_far.digest.clone().finalize()), bytes: so_far.bytes }
}
