//! The cluster that scenarios play on, and who else does as they like there.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::super::Tekton;

/// Makes a connection that knows nothing yet.
pub type Connect = Arc<dyn Fn() -> Arc<dyn Tekton> + Send + Sync>;

/// Somebody with kubectl, who does not know of this service.
#[async_trait]
pub trait Outsider: Send + Sync {
    /// Deletes something. Panics when it cannot, or when there is nothing to delete.
    async fn delete(&self, what: Deletion);
}

/// What somebody deletes, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deletion {
    /// A run, and all that it created.
    Run(String),
    /// A run, but not its TaskRuns.
    RunAlone(String),
    /// A TaskRun.
    TaskRun(String),
    /// The pod of a TaskRun.
    PodOf(String),
}

/// The cluster that scenarios play on.
#[derive(Clone)]
pub struct Ground {
    /// Connects to it.
    pub connect: Connect,
    /// Who does as they like there.
    pub outsider: Arc<dyn Outsider>,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").finish_non_exhaustive()
    }
}
