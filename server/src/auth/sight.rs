//! What of the log somebody may see, looked at again for each entry.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use wfe_core::{
    access::{Method, Scope, Verb},
    audit::{Logged, What},
    execution::Execution,
    ids::ExecutionId,
};

use super::{Access, AccessError, Known, Verdict};
use crate::error::ServiceError;

/// The starters of at most so many executions are remembered. They are needed for those readers alone
/// who may see neither the whole cluster nor the namespace of the target.
const MAX_STARTERS: usize = 1_024;

/// Where an execution is found that a record is about.
#[async_trait]
pub trait Scenes: Send + Sync {
    /// The execution, if there is one.
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, ServiceError>;
}

/// The eyes of one reader of the log.
pub struct Sight {
    access: Access,
    verb: Verb,
    /// Where the starter of an execution lets it be seen besides the target.
    starters: HashMap<ExecutionId, Option<Scope>>,
}

impl Sight {
    /// Of a caller who needs the right of this call.
    pub fn of(access: Access, method: Method) -> Self {
        Self { access, verb: method.verb(), starters: HashMap::new() }
    }

    /// Whether the reader may see an execution.
    pub async fn sees(&self, execution: &Execution) -> Result<Verdict, AccessError> {
        self.access.may(self.verb, execution).await
    }

    /// Whether the reader may see an entry.
    pub async fn sees_entry(
        &mut self,
        entry: &Logged,
        scenes: &dyn Scenes,
    ) -> Result<Verdict, ServiceError> {
        let scope = Scope::of_about(&entry.about);
        if self.access.any(self.verb, std::slice::from_ref(&scope)).await? == Verdict::Allowed {
            return Ok(Verdict::Allowed);
        }
        let Some(known) = self.access.known.clone() else { return Ok(Verdict::Allowed) };
        Ok(match self.beside_target(entry, &known, scenes).await? {
            None => Verdict::Denied,
            Some(scope) => self.access.any(self.verb, std::slice::from_ref(&scope)).await?,
        })
    }

    /// Where a right is enough that does not reach the target: where the object is for which a bridge
    /// asked.
    async fn beside_target(
        &mut self,
        entry: &Logged,
        known: &Arc<Known>,
        scenes: &dyn Scenes,
    ) -> Result<Option<Scope>, ServiceError> {
        let bridges = &known.reviewed.bridges;
        let Some(source) = &entry.about.source else { return Ok(None) };
        let starter = match &entry.what {
            // Who asked is who caused it.
            What::Refused { .. }
            | What::Attached { .. }
            | What::Transition { before: None, .. } => None,
            What::Transition { .. }
            | What::CancelIgnored { .. }
            | What::ClearBlock { .. }
            | What::Withdrawn { .. }
            | What::Denied { .. }
            | What::KeyRotated { .. }
            | What::Pruned { .. } => entry.about.execution,
        };
        let Some(id) = starter else { return Ok(Scope::of_source(source, &entry.actor, bridges)) };
        if let Some(scope) = self.starters.get(&id) {
            return Ok(scope.clone());
        }
        let execution = scenes.execution(id).await?;
        let scope = execution.and_then(|execution| {
            let source = execution.request.source.as_ref()?;
            Scope::of_source(source, &execution.actor, bridges)
        });
        if self.starters.len() >= MAX_STARTERS {
            self.starters.clear();
        }
        self.starters.insert(id, scope.clone());
        Ok(scope)
    }
}
