//! Reviews changes of the status of a WorkflowExecution: asks whether the person may clear blocks, answers,
//! and makes known what was refused.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::api::{
    authentication::v1::UserInfo,
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::ObjectReference,
};
use kube::{
    Api, Client,
    api::PostParams,
    core::{
        DynamicObject,
        admission::{AdmissionRequest, AdmissionResponse, Operation},
        response::StatusSummary,
    },
};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use wfe_crds::workflow_execution::Requester;
use wfe_runtime::{clock::Clock, error::chain};

use super::{
    Users,
    admission::{Handler, status_of},
    review::{Change, Deletion, Denial, DenialKind, Rules, Run, Verdict, review},
};
use crate::{
    cluster::Cluster,
    metrics::{Metrics, Reviewed},
    notes::{self, Denied},
    seal::Seals,
};

/// Where the API server asks about statuses of WorkflowExecutions.
pub const PATH: &str = "/mutate/kubernaut.ai/v1alpha1/workflowexecutions/status";
/// The verb of the right to clear blocks, on the WorkflowExecution whose failure made the block.
pub const VERB: &str = "clearblock";

/// The API server must have answered a question about a right by then. It waits for the webhook itself a
/// little longer.
const RIGHT: Duration = Duration::from_secs(3);
/// Kubernetes events about refused changes that are on their way at most. Further ones are only counted and
/// logged.
pub(super) const NOTES_AT_ONCE: usize = 32;

/// Reviews changes of statuses.
pub struct Reviewer {
    pub(super) client: Client,
    pub(super) cluster: Cluster,
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) instance: String,
    pub(super) seals: watch::Receiver<Seals>,
    pub(super) cancellers: Users,
    /// Who this bridge is. Its own writes are not meant to come here; those that do are let through, so
    /// that a wrong configuration of the webhook does not stop executions.
    pub(super) own_name: String,
    pub(super) notes: Arc<Semaphore>,
}

/// What is answered.
enum Answer {
    Allow,
    Patch {
        status: Value,
        warnings: Vec<String>,
        reviewed: Reviewed,
    },
    Deny(Denial),
    /// It cannot be found out whether it is allowed.
    Unavailable(String),
}

impl Handler for Reviewer {
    fn path(&self) -> &'static str {
        PATH
    }

    fn covers(&self, request: &AdmissionRequest<DynamicObject>) -> bool {
        request.operation == Operation::Update
            && (&*request.resource.group, &*request.resource.resource)
                == ("kubernaut.ai", "workflowexecutions")
            && request.sub_resource.as_deref() == Some("status")
            && request.object.is_some()
            && request.old_object.is_some()
    }

    fn review(&self, request: AdmissionRequest<DynamicObject>) -> BoxFuture<'_, AdmissionResponse> {
        async move {
            let began = Instant::now();
            let answer = self.decide(&request).await;
            let (response, reviewed) = self.respond(&request, answer);
            self.metrics.reviewed(reviewed, began.elapsed());
            response
        }
        .boxed()
    }
}

impl Reviewer {
    async fn decide(&self, request: &AdmissionRequest<DynamicObject>) -> Answer {
        let by = requester(&request.user_info);
        if !by.username.is_empty() && by.username == self.own_name {
            return Answer::Allow;
        }
        let old = request.old_object.as_ref();
        let metadata = old.map(|old| old.metadata.clone()).unwrap_or_default();
        let (old, new) = (status_of(old), status_of(request.object.as_ref()));
        let change = Change {
            object_uid: metadata.uid.as_deref().unwrap_or_default(),
            deletion: match metadata.deletion_timestamp {
                Some(_) => Deletion::Asked,
                None => Deletion::NotAsked,
            },
            old: &old,
            new: &new,
            by: &by,
            run: if request.dry_run { Run::Dry } else { Run::Real },
        };
        let seals = self.seals.borrow().clone();
        let Seals::Key(key) = &seals else {
            return Answer::Unavailable("the webhook has no key for seals yet".to_owned());
        };
        let rules = Rules { key, cancellers: &self.cancellers };
        match review(&change, &rules, self.clock.now()) {
            Verdict::Allow => Answer::Allow,
            Verdict::Restore(status) => {
                Answer::Patch { status, warnings: Vec::new(), reviewed: Reviewed::Restored }
            }
            Verdict::Cancel(status) => {
                Answer::Patch { status, warnings: Vec::new(), reviewed: Reviewed::Stamped }
            }
            Verdict::IfMayClear { status, warnings } => match self.may_clear(request).await {
                Ok(true) => Answer::Patch { status, warnings, reviewed: Reviewed::Stamped },
                Ok(false) => Answer::Deny(no_right(&by.username, request)),
                Err(problem) => Answer::Unavailable(format!(
                    "it cannot be found out whether {} may clear blocks: {problem}",
                    by.username
                )),
            },
            Verdict::Deny(denial) => Answer::Deny(denial),
        }
    }

    async fn may_clear(&self, request: &AdmissionRequest<DynamicObject>) -> Result<bool, String> {
        let UserInfo { username, uid, groups, extra } = request.user_info.clone();
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: username,
                uid,
                groups,
                extra,
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(VERB.to_owned()),
                    group: Some(request.resource.group.clone()),
                    version: Some(request.resource.version.clone()),
                    resource: Some(request.resource.resource.clone()),
                    namespace: request.namespace.clone(),
                    name: Some(request.name.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let params = PostParams::default();
        let answer = tokio::time::timeout(RIGHT, reviews.create(&params, &review)).await;
        let answer = answer.map_err(|_| format!("no answer within {RIGHT:?}"))?;
        let status = answer.map_err(|error| chain(&error))?.status;
        let status = status.ok_or_else(|| "an answer without a status".to_owned())?;
        // An authorizer that failed may have said yes if it had not.
        match status.evaluation_error.filter(|_| !status.allowed) {
            Some(error) if status.denied != Some(true) => Err(error),
            Some(_) | None => Ok(status.allowed && status.denied != Some(true)),
        }
    }

    fn respond(
        &self,
        request: &AdmissionRequest<DynamicObject>,
        answer: Answer,
    ) -> (AdmissionResponse, Reviewed) {
        let response = AdmissionResponse::from(request);
        match answer {
            Answer::Allow => (response, Reviewed::Allowed),
            Answer::Patch { status, warnings, reviewed } => {
                match patched(response, request, &status, warnings) {
                    Ok(response) => (response, reviewed),
                    Err(error) => {
                        let response = AdmissionResponse::from(request);
                        (refuse(response, 500, "InternalError", &error), Reviewed::Unavailable)
                    }
                }
            }
            Answer::Deny(denial) => {
                let (code, reason) = match denial.kind {
                    DenialKind::Forbidden => (403, "Forbidden"),
                    DenialKind::Invalid => (422, "Invalid"),
                    DenialKind::Conflict => (409, "Conflict"),
                };
                self.tell(request, &denial.message);
                (refuse(response, code, reason, &denial.message), Reviewed::Denied)
            }
            Answer::Unavailable(problem) => {
                tracing::warn!(object = name(request), problem, "a review was not possible");
                let response = refuse(response, 503, "ServiceUnavailable", &problem);
                (response, Reviewed::Unavailable)
            }
        }
    }

    /// Makes a refusal known, beside the answer. Of a dry run nothing is known.
    fn tell(&self, request: &AdmissionRequest<DynamicObject>, why: &str) {
        if request.dry_run {
            return;
        }
        let user = request.user_info.username.clone().unwrap_or_default();
        tracing::warn!(object = name(request), user, why, "a change of a status was refused");
        let Ok(turn) = Arc::clone(&self.notes).try_acquire_owned() else {
            return self.metrics.note_lost();
        };
        let (old, new) = (request.old_object.as_ref(), request.object.as_ref());
        let asked = |object| status_of(object)["blockClearanceRequest"].clone();
        let what = if asked(old) == asked(new) { Denied::Change } else { Denied::Clearance };
        let object = reference(request);
        let (at, review) = (self.clock.now(), &request.uid);
        let note = notes::denied_note(&object, what, &user, why, review, at, &self.instance);
        let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
        tokio::spawn(async move {
            if let Err(error) = cluster.note(&note).await {
                metrics.note_lost();
                tracing::warn!(error = chain(&error), "a Kubernetes event is lost");
            }
            drop(turn);
        });
    }
}

fn requester(user: &UserInfo) -> Requester {
    Requester {
        username: user.username.clone().unwrap_or_default(),
        uid: user.uid.clone().filter(|uid| !uid.is_empty()),
        groups: user.groups.clone().unwrap_or_default(),
    }
}

fn no_right(user: &str, request: &AdmissionRequest<DynamicObject>) -> Denial {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let message = format!(
        "{user} may not clear blocks in the namespace {namespace}: the verb {VERB} on \
         workflowexecutions of kubernaut.ai is needed. The ClusterRole \
         kubernaut-workflowexecutions-clear has it."
    );
    Denial { kind: DenialKind::Forbidden, message }
}

/// The smallest change that makes the status this one.
fn patched(
    mut response: AdmissionResponse,
    request: &AdmissionRequest<DynamicObject>,
    status: &Value,
    warnings: Vec<String>,
) -> Result<AdmissionResponse, String> {
    let part = |status: &Value| {
        if status.is_null() { json!({}) } else { json!({ "status": status }) }
    };
    let new = part(&status_of(request.object.as_ref()));
    let patch = json_patch::diff(&new, &part(status));
    response.warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
    response.with_patch(patch).map_err(|error| chain(&error))
}

fn refuse(
    response: AdmissionResponse,
    code: u16,
    reason: &str,
    message: &str,
) -> AdmissionResponse {
    let mut response = response.deny(message);
    response.result.status = Some(StatusSummary::Failure);
    response.result.code = code;
    reason.clone_into(&mut response.result.reason);
    response
}

fn name(request: &AdmissionRequest<DynamicObject>) -> String {
    format!("{}/{}", request.namespace.as_deref().unwrap_or_default(), request.name)
}

fn reference(request: &AdmissionRequest<DynamicObject>) -> ObjectReference {
    let uid = request.old_object.as_ref().and_then(|old| old.metadata.uid.clone());
    ObjectReference {
        api_version: Some("kubernaut.ai/v1alpha1".to_owned()),
        kind: Some("WorkflowExecution".to_owned()),
        namespace: request.namespace.clone(),
        name: Some(request.name.clone()),
        uid,
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests;
