//! The steps for what people ask for in a status.

use wfe_proto::v1::{CancelRequest, ClearBlockRequest};

use super::{Follower, Record};
use crate::{
    decide::{Outcome, Refused, Wish},
    notes,
    request::Answer,
};

impl Follower {
    pub(super) async fn clear(&mut self, request: ClearBlockRequest) {
        let status = match self.around.link.clear(request).await {
            Ok(execution) => return self.has(execution),
            Err(status) => status,
        };
        let Some(why) = Answer::refusal_of_wish(&status) else {
            return self.cannot_call(&status);
        };
        // Another bridge, or somebody else, may have cleared it meanwhile: then the record says who.
        self.ask().await;
        if self.server.until().is_none() {
            self.remember(Wish::Clearance, why);
        }
    }

    pub(super) async fn stop(&mut self, request: CancelRequest) {
        match self.around.link.stop(request).await {
            Ok(Some(execution)) => self.has(execution),
            Ok(None) => {
                self.server.worked();
                self.learn(Record::Withdrawn);
            }
            Err(status) => match Answer::refusal_of_wish(&status) {
                Some(why) => {
                    self.server.worked();
                    self.remember(Wish::Cancel, why);
                }
                None => self.cannot_call(&status),
            },
        }
    }

    fn remember(&mut self, wish: Wish, why: String) {
        let seal = self.object.status.as_ref().ok().and_then(|status| match wish {
            Wish::Clearance => status.block_clearance_request.as_ref()?.seal.clone(),
            Wish::Cancel => status.cancel_request.as_ref()?.seal.clone(),
        });
        self.refused = seal.map(|seal| Refused { seal, why });
    }

    pub(super) async fn settle(&mut self, wish: Wish, outcome: Outcome) {
        let (object, instance) = (self.object.reference(), &self.around.instance);
        let request = self.object.status.as_ref().ok();
        let words = request.map(|status| match wish {
            Wish::Clearance => serde_json::to_string(&status.block_clearance_request),
            Wish::Cancel => serde_json::to_string(&status.cancel_request),
        });
        let words = words.and_then(Result::ok).unwrap_or_default();
        let note = match &outcome {
            Outcome::Cleared { by, at } => {
                let reason = request.and_then(|status| status.block_clearance_request.as_ref());
                let reason = reason.map_or("", |request| request.clear_reason.as_str());
                let at = at.unwrap_or_else(|| self.now());
                Some(notes::cleared_note(&object, by, reason, at, instance))
            }
            Outcome::Over => None,
            Outcome::Refused { why } => {
                tracing::warn!(object = %self.object.key, ?wish, why, "a request is not carried out");
                Some(notes::unfulfilled_note(&object, wish, why, &words, self.now(), instance))
            }
        };
        if let Some(note) = note {
            self.note(note).await;
        }
        if self.around.stopping.is_cancelled() {
            return;
        }
        match self.around.cluster.remove_request(&self.object, wish).await {
            Ok(object) => {
                self.writes.worked();
                self.around.metrics.settled(wish, &outcome);
                self.object = object;
            }
            Err(error) => self.cannot_write("take a request out of the status", error).await,
        }
    }
}
