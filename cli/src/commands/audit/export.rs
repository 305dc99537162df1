//! `wfe audit export`: the log of the service as a file.

use std::{
    io::{self, Write},
    path::{Path, PathBuf, absolute},
};

use tempfile::NamedTempFile;
use wfe_proto::v1::{ExportLogRequest, ExportLogResponse};

use crate::{
    args::{ExportArgs, Global},
    audit::AuditError,
    client::{connect, request},
    commands::answered,
    context::Context,
    error::Error,
    exit::Exit,
};

/// Stands for the standard output.
const STANDARD: &str = "-";

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: &ExportArgs,
) -> Result<Exit, Error> {
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    let message = ExportLogRequest { after: args.after };
    let call = client.export_log(request(message, global.timeout.0));
    let mut pieces = answered(context, call).await?;
    let mut target = Target::open(&args.file)?;
    let mut bytes = 0;
    loop {
        let piece = tokio::select! {
            biased;
            piece = pieces.message() => piece?,
            () = context.interrupt.cancelled() => return Err(Error::Interrupted),
        };
        let Some(ExportLogResponse { chunk }) = piece else { break };
        target.write(context, &chunk)?;
        bytes += chunk.len();
    }
    if let Some(path) = target.keep()? {
        context.note(&format!("wrote {}, {bytes} bytes", path.display()));
    }
    Ok(Exit::Ok)
}

/// Where the export goes. A file appears whole or not at all.
enum Target {
    Standard,
    File { path: PathBuf, file: NamedTempFile },
}

impl Target {
    fn open(path: &Path) -> Result<Self, AuditError> {
        if path == Path::new(STANDARD) {
            return Ok(Self::Standard);
        }
        let made = || {
            let whole = absolute(path)?;
            NamedTempFile::new_in(whole.parent().unwrap_or(Path::new("/")))
        };
        let file = made().map_err(failed(path))?;
        Ok(Self::File { path: path.to_owned(), file })
    }

    fn write(&mut self, context: &mut Context, chunk: &[u8]) -> Result<(), Error> {
        match self {
            Self::Standard => context.out.write_all(chunk).map_err(Error::Output),
            Self::File { path, file } => Ok(file.write_all(chunk).map_err(failed(path))?),
        }
    }

    /// The file that was written, when it is one.
    fn keep(self) -> Result<Option<PathBuf>, AuditError> {
        let Self::File { path, file } = self else { return Ok(None) };
        file.as_file().sync_all().map_err(failed(&path))?;
        file.persist(&path).map_err(|error| failed(&path)(error.error))?;
        Ok(Some(path))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> AuditError {
    |source| AuditError::Write { path: path.to_owned(), source }
}
