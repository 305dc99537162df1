//! Where checkpoints are kept outside of the database.

use std::{io, path::PathBuf, time::Duration};

use async_trait::async_trait;
use wfe_audit::{checkpoint::Checkpoint, key::PublicKey};
use wfe_runtime::cluster::CallError;

mod config_map;
mod ndjson;

pub use config_map::CheckpointMap;
pub use ndjson::CheckpointFile;

/// A place that keeps checkpoints, which whoever can write the database cannot write, or would be
/// seen to.
#[async_trait]
pub trait Outside: Send + Sync + 'static {
    /// Which kind of place: a label.
    fn kind(&self) -> &'static str;

    /// The place, for people.
    fn name(&self) -> String;

    /// What to do with its checkpoints when the entries that they sign are lost for ever.
    fn remedy(&self) -> &'static str;

    /// How long to wait between two checkpoints.
    fn pause(&self) -> Duration;

    /// The newest checkpoint that is kept there.
    async fn newest(&self) -> Result<Option<Checkpoint>, OutsideError>;

    /// Keeps a checkpoint; durable when it answers.
    async fn keep(&self, checkpoint: &Checkpoint, key: &PublicKey) -> Result<(), OutsideError>;
}

/// A place outside cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The file cannot be read or written.
    #[error(
        "the checkpoint file {} cannot be read and written: allow the process both, or give \
         another path",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else is kept there.
    #[error("{place} holds no checkpoint at its end: keep it as evidence under another name")]
    Unreadable {
        /// The place.
        place: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The API server did not do what was asked.
    #[error("{place} cannot be read and written")]
    Call {
        /// The ConfigMap.
        place: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The checkpoint cannot be written as JSON.
    #[error("a checkpoint cannot be written")]
    Json(#[source] serde_json::Error),
}
