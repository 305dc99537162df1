//! What the reviewer said, believed for a short time.
//!
//! Who asks for what is being asked waits for that answer. That there was no answer is not remembered.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;

use super::{
    AccessError, Authentication, Identity, Reviewer, Right, Token, Unauthenticated, Verdict,
};

/// At most so many answers of each kind are remembered.
const MAX_ANSWERS: u64 = 10_000;

pub(super) struct Reviews {
    reviewer: Arc<dyn Reviewer>,
    tokens: Cache<[u8; 32], Authentication>,
    rights: Cache<(Arc<Identity>, Right), Verdict>,
}

impl Reviews {
    pub(super) fn new(reviewer: Arc<dyn Reviewer>, lifetime: Duration) -> Self {
        Self { reviewer, tokens: cache(lifetime), rights: cache(lifetime) }
    }

    /// Who this token is for.
    pub(super) async fn authenticate(&self, token: &Token) -> Result<Arc<Identity>, AccessError> {
        let asking = self.reviewer.authenticate(token);
        let answer = Box::pin(self.tokens.try_get_with(token.digest(), asking)).await;
        match answer.map_err(AccessError::Unavailable)? {
            Authentication::Known(identity) => Ok(identity),
            Authentication::Unknown => Err(Unauthenticated::NotAccepted.into()),
        }
    }

    /// Whether somebody has a right.
    pub(super) async fn authorize(
        &self,
        who: &Arc<Identity>,
        right: Right,
    ) -> Result<Verdict, AccessError> {
        let asked = right.clone();
        let asking = self.reviewer.authorize(who, &asked);
        // Boxed: every call that is under way holds one.
        let answer = Box::pin(self.rights.try_get_with((Arc::clone(who), right), asking)).await;
        answer.map_err(AccessError::Unavailable)
    }
}

fn cache<K, V>(lifetime: Duration) -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(MAX_ANSWERS).time_to_live(lifetime).build()
}
