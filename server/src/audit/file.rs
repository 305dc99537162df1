//! The file of the database: whether it is still the one that was opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file that was opened.
#[derive(Debug, Clone)]
pub struct DatabaseFile {
    path: PathBuf,
    opened: Identity,
}

/// What stands at the path of a file that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// The file.
    Same,
    /// Another one.
    Replaced,
    /// Nothing.
    Missing,
}

/// Device and number; the same for every file where a system has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

#[cfg(unix)]
fn identity(file: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    Identity(file.dev(), file.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Identity {
    Identity(0, 0)
}

impl DatabaseFile {
    /// The file at `path`, which was opened just now.
    pub fn opened(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let opened = identity(&fs::metadata(&path)?);
        Ok(Self { path, opened })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands at its path now. A path that cannot be looked at is told by those who write there.
    pub fn state(&self) -> FileState {
        match fs::metadata(&self.path) {
            Ok(found) if identity(&found) == self.opened => FileState::Same,
            Ok(_) => FileState::Replaced,
            Err(error) if error.kind() == io::ErrorKind::NotFound => FileState::Missing,
            Err(_) => FileState::Same,
        }
    }
}
