//! The API server as reviewer: TokenReview and SubjectAccessReview.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use wfe_core::access::{GROUP, RESOURCE};
use wfe_runtime::cluster::CallError;

use super::{Authentication, Identity, ReviewError, Reviewer, Right, Token, Verdict};

/// A review must be answered within this time: a call waits for it.
const REVIEW: Duration = Duration::from_secs(10);

/// Asks the API server.
pub struct KubeReviewer {
    client: Client,
    audience: String,
}

impl KubeReviewer {
    /// Accepts tokens for this audience.
    pub fn new(client: Client, audience: String) -> Self {
        Self { client, audience }
    }
}

#[async_trait]
impl Reviewer for KubeReviewer {
    async fn authenticate(&self, token: &Token) -> Result<Authentication, ReviewError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.expose().to_owned()),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = ask("TokenReview", api.create(&PostParams::default(), &review)).await?;
        Ok(identity(answer, &self.audience))
    }

    async fn authorize(&self, who: &Identity, right: &Right) -> Result<Verdict, ReviewError> {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = access_review(who, right);
        let params = PostParams::default();
        let answer = ask("SubjectAccessReview", api.create(&params, &review)).await?;
        Ok(verdict(&answer))
    }
}

async fn ask<T>(
    review: &'static str,
    asking: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ReviewError> {
    let answer = tokio::time::timeout(REVIEW, asking).await;
    let answer = answer.map_err(|_| CallError::Unanswered(REVIEW));
    answer
        .and_then(|answer| answer.map_err(CallError::from))
        .map_err(|source| ReviewError { review, source })
}

/// Who the token is for, as a TokenReview answers.
fn identity(review: TokenReview, audience: &str) -> Authentication {
    let Some(status) = review.status else { return Authentication::Unknown };
    // An authenticator that knows no audiences answers none: its token was meant for the API server.
    let meant_for_us = status.audiences.iter().flatten().any(|one| one == audience);
    let user = status.user.unwrap_or_default();
    let (true, true, Some(name)) =
        (status.authenticated == Some(true), meant_for_us, user.username)
    else {
        return Authentication::Unknown;
    };
    if name.is_empty() {
        return Authentication::Unknown;
    }
    Authentication::Known(Arc::new(Identity {
        user: name,
        uid: user.uid.filter(|uid| !uid.is_empty()),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default().into_iter().collect(),
    }))
}

fn access_review(who: &Identity, right: &Right) -> SubjectAccessReview {
    let Identity { user, uid, groups, extra } = who;
    let extra: BTreeMap<_, _> = extra.iter().cloned().collect();
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.clone()),
            uid: uid.clone(),
            groups: Some(groups.clone()),
            extra: Some(extra).filter(|extra| !extra.is_empty()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some(RESOURCE.to_owned()),
                verb: Some(right.verb.as_str().to_owned()),
                namespace: Some(right.scope.namespace().to_owned()),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SubjectAccessReview::default()
    }
}

/// Whether the review says yes, and nobody says no.
fn verdict(review: &SubjectAccessReview) -> Verdict {
    match &review.status {
        Some(status) if status.allowed && status.denied != Some(true) => Verdict::Allowed,
        Some(_) | None => Verdict::Denied,
    }
}

#[cfg(test)]
mod tests;
