//! Checkpoints in a file, one JSON document in each line, the newest last.

use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use wfe_audit::{checkpoint::Checkpoint, key::PublicKey};

use super::{Outside, OutsideError};

/// The newest checkpoint is looked for in so many bytes at the end; a line has some hundred.
const TAIL_BYTES: u64 = 16 * 1024;

/// A file that only grows.
#[derive(Debug, Clone)]
pub struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    /// The file at `path`; made when something is kept in it.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn failed(&self) -> impl Fn(io::Error) -> OutsideError {
        |source| OutsideError::File { path: self.path.clone(), source }
    }
}

#[async_trait]
impl Outside for CheckpointFile {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn name(&self) -> String {
        format!("the checkpoint file {}", self.path.display())
    }

    fn remedy(&self) -> &'static str {
        "keep that file as evidence under another name"
    }

    fn pause(&self) -> Duration {
        Duration::ZERO
    }

    async fn newest(&self) -> Result<Option<Checkpoint>, OutsideError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || tail(&path)).await;
        let text = read.unwrap_or_else(|error| Err(error.into())).map_err(self.failed())?;
        newest_of(&text).map_err(|source| OutsideError::Unreadable { place: self.name(), source })
    }

    async fn keep(&self, checkpoint: &Checkpoint, _: &PublicKey) -> Result<(), OutsideError> {
        let line = serde_json::to_string(checkpoint).map_err(OutsideError::Json)?;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
        written.unwrap_or_else(|error| Err(error.into())).map_err(self.failed())
    }
}

/// The last line that is a checkpoint: one after it may have been cut by the end of a process. A text
/// of which no line is one was not written here.
fn newest_of(text: &str) -> Result<Option<Checkpoint>, serde_json::Error> {
    let mut wrong = None;
    for line in text.lines().rev().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    wrong.map_or(Ok(None), Err)
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let length = file.metadata()?.len();
    let mut text = String::with_capacity(line.len() + 2);
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.push('\n');
        }
    }
    text.push_str(line);
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if length == 0 {
        let folder = std::path::absolute(path)?;
        let folder = folder.parent().unwrap_or(Path::new("/"));
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
