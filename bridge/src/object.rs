//! A WorkflowExecution as the bridge sees it.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wfe_crds::{
    names::{FINALIZER, object_annotation::SENSITIVE_PARAMETERS},
    workflow_execution::{WorkflowExecution, WorkflowExecutionSpec, WorkflowExecutionStatus},
};
use wfe_proto::v1::{Source, StartRequest, WhenLocked};
use wfe_runtime::cluster::{Version, version_of};

use crate::request::{Refusal, start_request};

/// A WorkflowExecution of which nothing but the metadata was looked at, so that one that cannot be
/// read does not hide the others.
#[derive(Debug, Clone, Default, Resource, Serialize, Deserialize)]
#[resource(inherit = "WorkflowExecution")]
pub struct RawObject {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl RawObject {
    /// Its metadata, and its status whatever that is.
    pub fn into_status(self) -> (ObjectMeta, Value) {
        (self.metadata, self.status)
    }
}

/// A WorkflowExecution.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Where it is.
    pub key: Key,
    /// Its UID, which is also the id of the request that it stands for.
    pub uid: String,
    /// In which version it was seen.
    pub version: Version,
    /// Counts the changes of its spec.
    pub generation: i64,
    /// When its deletion was asked for.
    pub deletion: Option<Timestamp>,
    /// All its finalizers.
    pub finalizers: Vec<String>,
    /// Names of parameters whose values nobody may read, as people wrote them.
    pub sensitive: String,
    /// What is asked for, or why that cannot be read.
    pub spec: Result<WorkflowExecutionSpec, String>,
    /// What it shows, or why that cannot be read.
    pub status: Result<WorkflowExecutionStatus, String>,
}

/// Namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Key {
    /// Of an object with this metadata.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl Object {
    /// Reads what can be read.
    pub fn read(raw: RawObject) -> Self {
        let RawObject { metadata, spec, status } = raw;
        let mut object = Self {
            key: Key::of(&metadata),
            uid: String::new(),
            version: 0,
            generation: 0,
            deletion: None,
            finalizers: Vec::new(),
            sensitive: String::new(),
            spec: read_spec(spec),
            status: read(status),
        };
        object.take_metadata(metadata);
        object
    }

    /// Its metadata has become this.
    pub fn take_metadata(&mut self, metadata: ObjectMeta) {
        self.version = version_of(&metadata);
        self.uid = metadata.uid.unwrap_or_default();
        self.generation = metadata.generation.unwrap_or_default();
        self.deletion = metadata.deletion_timestamp.map(|time| time.0);
        self.finalizers = metadata.finalizers.unwrap_or_default();
        let mut annotations = metadata.annotations.unwrap_or_default();
        self.sensitive = annotations.remove(SENSITIVE_PARAMETERS).unwrap_or_default();
    }

    /// Whether the bridge's finalizer is on it.
    pub fn is_held(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
    }

    /// As the service is told of it.
    pub fn source(&self) -> Source {
        Source {
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            uid: self.uid.clone(),
        }
    }

    /// The request that it stands for, or why the service need not be asked.
    pub fn request(&self, when_locked: WhenLocked) -> Result<StartRequest, Refusal> {
        match &self.spec {
            Ok(spec) => start_request(self.source(), spec, &self.sensitive, when_locked),
            Err(error) => Err(Refusal::unreadable(error)),
        }
    }

    /// As Kubernetes events name it.
    pub fn reference(&self) -> ObjectReference {
        reference(&self.key, &self.uid)
    }
}

/// An object of this name and UID as Kubernetes events name it.
pub fn reference(key: &Key, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(WorkflowExecution::api_version(&()).into_owned()),
        kind: Some(WorkflowExecution::kind(&()).into_owned()),
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// The error does not repeat a parameter: that may be sensitive, and the error is shown.
fn read_spec(mut spec: Value) -> Result<WorkflowExecutionSpec, String> {
    let Err(error) = read::<WorkflowExecutionSpec>(spec.clone()) else { return read(spec) };
    if spec.as_object_mut().and_then(|spec| spec.remove("parameters")).is_none() {
        return Err(error);
    }
    match read::<WorkflowExecutionSpec>(spec) {
        Ok(_) => Err("parameters: each must be a string".to_owned()),
        Err(other) => Err(other),
    }
}

fn read<T: Default + serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    if value.is_null() {
        return Ok(T::default());
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mk_object(spec: &Value, status: &Value) -> Object {
        let raw = json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": {
                "namespace": "n", "name": "a", "uid": "u", "resourceVersion": "7", "generation": 1,
                "finalizers": ["other", FINALIZER],
                "deletionTimestamp": "2026-01-02T03:04:05Z",
            },
            "spec": spec,
            "status": status,
        });
        Object::read(serde_json::from_value(raw).unwrap())
    }

    #[test]
    fn what_is_said_of_a_spec_that_cannot_be_read_repeats_no_parameter() {
        for spec in [
            json!({ "parameters": { "TOKEN": 123_456_789, "A": "hunter2" } }),
            json!({ "parameters": { "TOKEN": ["hunter2"] } }),
            json!({ "parameters": "hunter2" }),
            json!({ "parameters": { "A": "hunter2" }, "targetResource": {} }),
        ] {
            let error = mk_object(&spec, &Value::Null).spec.unwrap_err();
            assert!(!error.contains("hunter2") && !error.contains("123456789"), "{error}");
        }
    }

    #[test]
    fn names_in_the_annotation_reach_the_request() {
        let mut object = mk_object(&json!({}), &Value::Null);
        assert_eq!(object.sensitive, "");
        let names = [(SENSITIVE_PARAMETERS.to_owned(), "A".to_owned())];
        let annotations = Some(names.into());
        object.take_metadata(ObjectMeta { annotations, ..ObjectMeta::default() });
        assert_eq!(object.sensitive, "A");
    }

    #[test]
    fn metadata_is_read_whatever_the_rest_is() {
        let object = mk_object(&json!("nonsense"), &json!({"phase": 7}));
        assert_eq!(object.key.to_string(), "n/a");
        assert_eq!((object.uid.as_str(), object.version, object.generation), ("u", 7, 1));
        assert!(object.is_held() && object.deletion.is_some());
        assert!(object.spec.is_err() && object.status.is_err());
    }

    #[test]
    fn what_is_absent_is_empty() {
        let object = mk_object(&Value::Null, &Value::Null);
        assert_eq!(object.spec, Ok(WorkflowExecutionSpec::default()));
        assert_eq!(object.status, Ok(WorkflowExecutionStatus::default()));
    }
}
