//! `wfe audit keygen`: a key that signs checkpoints.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ring::rand::SystemRandom;
use serde_json::json;
use wfe_audit::key::SigningKey;

use crate::{
    args::{Global, KeygenArgs, Output},
    audit::AuditError,
    context::Context,
    error::Error,
    exit::Exit,
};

/// Only the owner reads and writes.
const PRIVATE: u32 = 0o600;
/// Everybody reads.
const PUBLIC: u32 = 0o644;

pub(super) fn run(
    context: &mut Context,
    global: &Global,
    args: &KeygenArgs,
) -> Result<Exit, Error> {
    let private = args.file.clone();
    let mut public = private.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    if public.try_exists().is_ok_and(|there| there) {
        return Err(AuditError::Exists { path: public }.into());
    }
    let (key, pem) = SigningKey::generate(&SystemRandom::new()).map_err(AuditError::NewKey)?;
    write(&private, &pem, PRIVATE)?;
    if let Err(error) = write(&public, &key.public().to_pem(), PUBLIC) {
        // Half a pair is of no use, and would be in the way of the next attempt.
        let _ = fs::remove_file(&private);
        return Err(error.into());
    }
    let id = key.public().id();
    match global.output {
        Output::Json => {
            let (private, public) = (private.display(), public.display());
            let answer = json!({
                "key": id,
                "privateKey": private.to_string(),
                "publicKey": public.to_string(),
            });
            context.say(&format!("{answer:#}"))?;
        }
        Output::Text => {
            context.say(&format!("key {id}"))?;
            context
                .say(&format!("private key  {}: only its owner may read it", private.display()))?;
            context.say(&format!("public key   {}: for those who verify", public.display()))?;
        }
    }
    Ok(Exit::Ok)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuditError> {
    let wrong = |source: io::Error| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::AlreadyExists {
            AuditError::Exists { path }
        } else {
            AuditError::Write { path, source }
        }
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)
}
