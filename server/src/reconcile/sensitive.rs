//! The sensitive values of the execution that a turn is about: where they are opened, and what hides them.

use wfe_core::{execution::Execution, veil::Veil};

use super::Reconciler;
use crate::vault::{CannotOpen, Opened};

/// The sensitive values of one execution.
pub(super) struct Sensitive {
    /// In clear, for its run.
    pub(super) opened: Result<Opened, CannotOpen>,
    /// Hides them in all that the cluster says of it.
    pub(super) veil: Veil,
}

impl Reconciler {
    /// The sensitive values of an execution. When they cannot be opened, nothing that the cluster says may
    /// be told: it may repeat them.
    pub(super) fn sensitive(&self, execution: &Execution) -> Sensitive {
        let opened = self.ledger.vault().open_all(&execution.request);
        let veil = opened.as_ref().map_or_else(|_| Veil::everything(), Opened::veil);
        Sensitive { opened, veil }
    }
}
