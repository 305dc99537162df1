//! Signs the head of the log.

use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;
use wfe_audit::{
    checkpoint::Checkpoint,
    key::{PublicKey, SigningKey},
};

use super::{
    chain,
    doubt::{self, Doubt},
    file::DatabaseFile,
    outside::Outside,
    status::AuditStatus,
};
use crate::{
    clock::Clock,
    store::{Sealed, Store, StoreError},
};

/// The log was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It is not the one that was signed.
    #[error("the log is not signed any more")]
    Doubt(#[from] Doubt),
    /// It cannot be read, or the checkpoint not be written.
    #[error("the log cannot be signed now")]
    Store(#[from] StoreError),
}

/// Signs the head of the log whenever it is asked to.
pub struct Sealer {
    store: Arc<dyn Store>,
    file: DatabaseFile,
    clock: Arc<dyn Clock>,
    key: SigningKey,
    places: Vec<Arc<dyn Outside>>,
    status: AuditStatus,
    /// What was signed last, or found signed.
    last: Mutex<Checkpoint>,
    /// What was found outside, and a restart alone can put right.
    refused: OnceLock<Doubt>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Sealer {
    /// Signs the head of a log of which `last` was signed before.
    pub(crate) async fn begin(
        store: Arc<dyn Store>,
        file: DatabaseFile,
        clock: Arc<dyn Clock>,
        key: SigningKey,
        places: Vec<Arc<dyn Outside>>,
        status: AuditStatus,
        last: Option<Checkpoint>,
    ) -> Result<Self, StoreError> {
        let log = store.log().await?;
        let now = clock.now();
        let last = match last {
            Some(last) if last.sequence == log.head.sequence => last,
            _ => store.seal(&Checkpoint::sign(log.id, log.head, now, &key)).await?,
        };
        Ok(Self {
            store,
            file,
            clock,
            key,
            places,
            status,
            last: Mutex::new(last),
            refused: OnceLock::new(),
        })
    }

    /// The key that tells whether a checkpoint is right.
    pub const fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// The key that signs.
    pub(super) const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The store.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Time.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Where checkpoints are kept outside.
    pub(super) fn places(&self) -> &[Arc<dyn Outside>] {
        &self.places
    }

    /// What is told.
    pub fn status(&self) -> &AuditStatus {
        &self.status
    }

    /// Signs nothing any more: the log is not the one of a checkpoint outside.
    pub(super) fn refuse(&self, doubt: Doubt) {
        self.tell(Some(&doubt));
        // The first one stands.
        drop(self.refused.set(doubt));
    }

    /// What was signed last, the log now, and what is doubtful about it.
    pub(super) async fn look(&self) -> Result<Look, StoreError> {
        let mut last = self.last.lock().await;
        self.look_locked(&mut last).await
    }

    async fn look_locked(&self, last: &mut Checkpoint) -> Result<Look, StoreError> {
        let view = self.store.sealed(last.sequence).await?;
        let doubt = doubt::of_log(last, &view, self.file.state(), &self.key.public());
        let doubt = doubt.or_else(|| self.refused.get().cloned());
        if doubt.is_none()
            && let Some(newest) = &view.newest
            && newest.sequence > last.sequence
        {
            // Another process signs too.
            *last = newest.clone();
        }
        if doubt.is_some() {
            self.tell(doubt.as_ref());
        }
        Ok(Look { last: last.clone(), view, doubt })
    }

    /// The checkpoint of the newest entry. What nobody has signed yet must follow from what was signed.
    pub async fn seal(&self) -> Result<Checkpoint, SealError> {
        let mut last = self.last.lock().await;
        let Look { view, doubt, .. } = self.look_locked(&mut last).await?;
        if let Some(doubt) = doubt {
            return Err(doubt.into());
        }
        let log = view.log;
        if last.sequence == log.head.sequence {
            self.tell(None);
            return Ok(last.clone());
        }
        let from = if last.sequence < log.base.sequence { log.base } else { last.head() };
        if let Some(doubt) = chain::check(&*self.store, from, log.head).await? {
            self.tell(Some(&doubt));
            return Err(doubt.into());
        }
        let signed = Checkpoint::sign(log.id, log.head, self.clock.now(), &self.key);
        *last = self.store.seal(&signed).await?;
        self.tell(None);
        Ok(last.clone())
    }

    fn tell(&self, doubt: Option<&Doubt>) {
        if self.status.set_doubt(doubt) {
            if let Some(doubt) = doubt {
                tracing::error!(%doubt, "the log is not signed any more");
            } else {
                tracing::info!("the log is signed again");
            }
        }
    }
}

/// What there is to sign.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// What was signed last.
    pub(super) last: Checkpoint,
    /// The log.
    pub(super) view: Sealed,
    /// What is doubtful about it.
    pub(super) doubt: Option<Doubt>,
}
