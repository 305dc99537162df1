//! Keeps the watches, and has looked at what they show.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Reconciler;
use wfe_runtime::error::chain;

use crate::tekton::RunChange;

/// Keeps the watches until `shutdown`. They never wait for the store: what they show is put into
/// sets, in which every execution and every target is once.
pub async fn follow_runs(reconciler: &Reconciler, shutdown: CancellationToken) {
    let touched = Touched::default();
    let changed = |change: RunChange| {
        if let Some(id) = change.execution {
            reconciler.queue.enqueue(id);
        }
        if let Some(hash) = change.target_hash {
            touched.add(hash);
        }
    };
    tokio::select! {
        biased;
        () = reconciler.tekton.watch(&changed, shutdown) => {}
        () = let_in_who_waits(reconciler, &touched) => {}
    }
}

/// A run that ended may have been what somebody waits for.
async fn let_in_who_waits(reconciler: &Reconciler, touched: &Touched) {
    loop {
        touched.news.notified().await;
        for hash in touched.take() {
            match reconciler.ledger.store().head_of(&hash).await {
                Ok(Some(head)) => reconciler.queue.enqueue(head),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot look for who waits");
                }
            }
        }
    }
}

/// Hashes of targets of which a run changed.
#[derive(Default)]
struct Touched {
    hashes: Mutex<BTreeSet<String>>,
    news: Notify,
}

impl Touched {
    fn add(&self, hash: String) {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
        self.news.notify_one();
    }

    fn take(&self) -> BTreeSet<String> {
        mem::take(&mut *self.hashes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
