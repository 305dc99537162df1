//! What a record concerned, so that each stands for itself.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{CorrelationId, Execution, ExecutionId, RequestId, Source, StartRequest, TargetKey};
use crate::ids::ClusterId;

/// What a record concerned. Empty fields are left out of its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// The request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// The target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<AboutTarget>,
    /// The workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<AboutWorkflow>,
    /// Ties executions of one incident together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<CorrelationId>,
    /// The Kubernetes object that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// The target of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutTarget {
    /// Its cluster; empty is the local one.
    pub cluster: ClusterId,
    /// Its canonical form.
    pub name: String,
    /// As the caller wrote it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_given: Option<String>,
}

/// The workflow of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutWorkflow {
    /// OCI reference of the bundle; of inline steps `inline#` and the beginning of their digest.
    pub reference: String,
    /// Digest of its content, when the request pinned one; of inline steps that of their definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The pipeline in the bundle; of inline steps empty.
    pub pipeline: String,
    /// Id in the catalogue; empty when it was not given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Name in the catalogue; empty when it was not given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Version in the catalogue; empty when it was not given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

impl About {
    /// What a record of an execution concerns.
    pub fn of_execution(execution: &Execution) -> Self {
        Self { execution: Some(execution.id), ..Self::of_request(&execution.request) }
    }

    /// What a record of a request concerns.
    pub fn of_request(request: &StartRequest) -> Self {
        let (workflow, identity) = (&request.workflow, &request.identity);
        let as_given = Some(request.target_as_given.clone());
        Self {
            execution: None,
            request_id: Some(request.request_id.clone()),
            target: Some(AboutTarget { as_given, ..AboutTarget::of(&request.target) }),
            workflow: Some(AboutWorkflow {
                reference: workflow.reference().into_owned(),
                digest: workflow.digest().map(Cow::into_owned),
                pipeline: workflow.pipeline().to_owned(),
                id: identity.id.clone(),
                name: identity.name.clone(),
                version: identity.version.clone(),
            }),
            correlation_id: request.correlation_id.clone(),
            source: request.source.clone(),
        }
    }

    /// What this and another record both concern.
    #[must_use]
    pub fn common(self, other: &Self) -> Self {
        Self {
            execution: self.execution.filter(|one| other.execution == Some(*one)),
            request_id: same(self.request_id, other.request_id.as_ref()),
            target: same(self.target, other.target.as_ref()),
            workflow: same(self.workflow, other.workflow.as_ref()),
            correlation_id: same(self.correlation_id, other.correlation_id.as_ref()),
            source: same(self.source, other.source.as_ref()),
        }
    }

    /// The key of the target, when it is one that this version can lock.
    pub fn target_key(&self) -> Option<TargetKey> {
        let AboutTarget { cluster, name, .. } = self.target.as_ref()?;
        Some(TargetKey { cluster: cluster.clone(), target: name.parse().ok()? })
    }
}

fn same<T: PartialEq>(one: Option<T>, other: Option<&T>) -> Option<T> {
    one.filter(|one| other == Some(one))
}

impl AboutTarget {
    /// A target that nobody wrote down.
    pub fn of(key: &TargetKey) -> Self {
        Self { cluster: key.cluster.clone(), name: key.target.to_string(), as_given: None }
    }
}
