use std::{collections::HashMap, time::Duration};

use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wfe_crds::workflow_execution::{FailureReason, WorkflowExecutionSpec};
use wfe_proto::{
    ERROR_DOMAIN,
    v1::{self, WhenLocked},
};

use super::{Answer, Cause, Holder, Refusal, Trouble, TroubleKind, start_request};

fn mk_source() -> v1::Source {
    v1::Source { namespace: "demo".into(), name: "fix-api".into(), uid: "uid-1".into() }
}

fn mk_spec(changes: serde_json::Value) -> WorkflowExecutionSpec {
    let mut spec = json!({
        "remediationRequestRef": { "name": "rr-7" },
        "workflowRef": {
            "workflowId": "5f0c", "workflowName": "restart", "actionType": "RestartPod",
            "version": "1.2.0", "executionBundle": "registry.example/workflows/restart:v1",
            "executionEngine": "tekton",
        },
        "targetResource": "default/Deployment/api",
    });
    merge(&mut spec, changes);
    serde_json::from_value(spec).unwrap()
}

fn merge(into: &mut serde_json::Value, changes: serde_json::Value) {
    if let (true, serde_json::Value::Object(changes)) = (into.is_object(), &changes) {
        for (key, value) in changes {
            merge(&mut into[key], value.clone());
        }
    } else {
        *into = changes;
    }
}

fn mk_start(changes: serde_json::Value) -> v1::StartRequest {
    start_request(mk_source(), &mk_spec(changes), "", WhenLocked::Wait).unwrap()
}

#[test]
fn a_minimal_spec_asks_for_a_bundle_on_a_target() {
    let start = mk_start(json!({}));
    let expected = v1::StartRequest {
        request_id: "uid-1".into(),
        workflow: Some(v1::start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: "registry.example/workflows/restart:v1".into(),
            ..v1::BundleWorkflow::default()
        })),
        target: "default/Deployment/api".into(),
        correlation_id: "rr-7".into(),
        when_locked: WhenLocked::Wait.into(),
        when_cooling: v1::WhenCooling::Wait.into(),
        when_blocked: v1::WhenBlocked::Wait.into(),
        workflow_identity: Some(v1::WorkflowIdentity {
            id: "5f0c".into(),
            name: "restart".into(),
            version: "1.2.0".into(),
        }),
        source: Some(mk_source()),
        ..v1::StartRequest::default()
    };
    assert_eq!(start, expected);
}

#[test]
fn a_full_spec_passes_everything_on() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let start = mk_start(json!({
        "workflowRef": {
            "executionBundleDigest": digest,
            "serviceAccountName": "restarter",
            "dependencies": {
                "secrets": [{ "name": "token" }, { "name": "key" }],
                "configMaps": [{ "name": "settings" }],
            },
            "engineConfig": { "playbookPath": "x.yml" },
            "resources": { "limits": { "memory": "1Gi" } },
        },
        "parameters": { "GRACE": "30", "FORCE": "" },
        "timesOutAt": "2026-01-02T03:04:05Z",
        "clusterID": "",
    }));
    let Some(v1::start_request::Workflow::Bundle(bundle)) = start.workflow else { panic!() };
    assert_eq!(bundle.digest, digest);
    assert_eq!(start.service_account, "restarter");
    assert_eq!(
        (start.secrets, start.config_maps),
        (vec!["token".to_owned(), "key".to_owned()], vec!["settings".to_owned()],)
    );
    let parameters = [("GRACE", "30"), ("FORCE", "")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(start.parameters, HashMap::from(parameters));
    let deadline = prost_types::Timestamp { seconds: 1_767_323_045, nanos: 0 };
    assert_eq!((start.deadline, start.cluster_id.as_str()), (Some(deadline), ""));
}

#[test]
fn only_parameters_that_are_declared_reach_the_run() {
    let cases = [
        (json!({}), None),
        (json!({ "declaredParameterNames": null }), None),
        (json!({ "declaredParameterNames": {} }), Some(vec![])),
        (
            json!({ "declaredParameterNames": { "B": true, "A": true, "C": false } }),
            Some(vec!["A".to_owned(), "B".to_owned()]),
        ),
    ];
    for (changes, expected) in cases {
        let start = mk_start(json!({ "workflowRef": changes.clone() }));
        assert_eq!(start.declared_parameters.map(|declared| declared.names), expected, "{changes}");
    }
}

#[test]
fn the_same_object_makes_the_same_request_whatever_the_order_of_its_fields() {
    let one = r#"{"parameters":{"B":"2","A":"1"},"targetResource":"node/a",
        "workflowRef":{"declaredParameterNames":{"B":true,"A":true},"executionEngine":"tekton"}}"#;
    let other = r#"{"workflowRef":{"executionEngine":"tekton","declaredParameterNames":{"A":true,
        "B":true}},"targetResource":"node/a","parameters":{"A":"1","B":"2"}}"#;
    let request = |text: &str| {
        start_request(mk_source(), &serde_json::from_str(text).unwrap(), "", WhenLocked::Reject)
    };
    assert_eq!(request(one), request(other));
}

#[test]
fn a_deadline_keeps_its_fraction_on_both_sides_of_1970() {
    let deadline = |time: &str| mk_start(json!({ "timesOutAt": time })).deadline.unwrap();
    let (seconds, nanos) = (0, 250_000_000);
    assert_eq!(deadline("1970-01-01T00:00:00.25Z"), prost_types::Timestamp { seconds, nanos });
    let seconds = -1;
    assert_eq!(deadline("1969-12-31T23:59:59.25Z"), prost_types::Timestamp { seconds, nanos });
}

#[test]
fn every_engine_but_tekton_is_refused_without_a_call() {
    for engine in [json!("job"), json!("ansible"), json!("Tekton"), json!(""), json!(null)] {
        let spec = mk_spec(json!({ "workflowRef": { "executionEngine": engine } }));
        let refusal = start_request(mk_source(), &spec, "", WhenLocked::Wait).unwrap_err();
        assert_eq!(refusal.reason(), FailureReason::UnsupportedEngine, "{engine}");
        assert_eq!(refusal.field(), Some("spec.workflowRef.executionEngine"));
        let named = engine.as_str().filter(|name| !name.is_empty());
        assert!(refusal.message.contains(named.unwrap_or("is required")), "{}", refusal.message);
        assert!(refusal.message.contains("tekton"), "{}", refusal.message);
    }
}

#[test]
fn a_target_in_another_cluster_is_refused_without_a_call() {
    let spec = mk_spec(json!({ "clusterID": "prod-eu" }));
    let refusal = start_request(mk_source(), &spec, "", WhenLocked::Wait).unwrap_err();
    assert_eq!(refusal.reason(), FailureReason::ConfigurationError);
    assert_eq!(refusal.field(), Some("spec.clusterID"));
    assert!(refusal.message.contains("prod-eu"), "{}", refusal.message);
}

fn mk_status(code: Code, reason: &str, change: impl FnOnce(&mut ErrorDetails)) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, ERROR_DOMAIN, HashMap::new());
    change(&mut details);
    Status::with_error_details(code, "what the service says", details)
}

fn mk_invalid(fields: &[&str]) -> Status {
    mk_status(Code::InvalidArgument, "INVALID_REQUEST", |details| {
        for field in fields {
            details.add_bad_request_violation(*field, "is wrong");
        }
    })
}

fn refusal(status: &Status, holder: Option<&Holder>) -> Refusal {
    let answer = Answer::of_status(status, holder);
    let Answer::Refused(refusal) = answer else { panic!("{answer:?}") };
    refusal
}

#[test]
fn a_wrong_field_is_named_as_it_is_called_in_the_object() {
    let cases = [
        ("target", "spec.targetResource"),
        ("bundle.reference", "spec.workflowRef.executionBundle"),
        ("bundle.digest", "spec.workflowRef.executionBundleDigest"),
        ("parameters", "spec.parameters"),
        (r#"parameters["a.b"]"#, r#"spec.parameters["a.b"]"#),
        ("sensitive_parameters[1]", "metadata.annotations[kubernaut.ai/sensitive-parameters]"),
        ("declared_parameters", "spec.workflowRef.declaredParameterNames"),
        ("declared_parameters.names[2]", "spec.workflowRef.declaredParameterNames"),
        ("service_account", "spec.workflowRef.serviceAccountName"),
        ("secrets", "spec.workflowRef.dependencies.secrets"),
        ("secrets[3]", "spec.workflowRef.dependencies.secrets[3].name"),
        ("config_maps[0]", "spec.workflowRef.dependencies.configMaps[0].name"),
        ("correlation_id", "spec.remediationRequestRef.name"),
        ("workflow_identity.id", "spec.workflowRef.workflowId"),
        ("workflow_identity.name", "spec.workflowRef.workflowName"),
        ("workflow_identity.version", "spec.workflowRef.version"),
    ];
    for (field, path) in cases {
        let refusal = refusal(&mk_invalid(&[field]), None);
        assert_eq!(refusal.reason(), FailureReason::ConfigurationError, "{field}");
        assert_eq!(refusal.field(), Some(path), "{field}");
        assert_eq!(refusal.message, format!("{path}: is wrong"));
    }
}

#[test]
fn all_wrong_fields_are_named_and_the_first_is_the_field() {
    let refusal = refusal(&mk_invalid(&["when_locked", "target", "deadline"]), None);
    assert_eq!(refusal.cause, Cause::Configuration { field: Some("spec.targetResource".into()) });
    assert_eq!(refusal.message, "spec.targetResource: is wrong; spec.timesOutAt: is wrong");
}

#[test]
fn a_deadline_that_has_passed_is_no_configuration_error() {
    let refusal = refusal(&mk_invalid(&["deadline"]), None);
    assert_eq!(refusal.cause, Cause::DeadlinePassed);
    assert_eq!(refusal.reason(), FailureReason::DeadlineExceeded);
    // The service tells its time, which would make two bridges write different statuses.
    assert!(!refusal.message.contains("is wrong"), "{}", refusal.message);
}

#[test]
fn a_field_that_the_object_does_not_fill_does_not_end_it() {
    for field in ["when_locked", "request_id", "source.name", "bundle.pipeline", "a_new_field"] {
        let Answer::Trouble(trouble) = Answer::of_status(&mk_invalid(&[field]), None) else {
            panic!("{field}");
        };
        assert_eq!(trouble.kind, TroubleKind::Incompatible, "{field}");
    }
}

#[test]
fn what_the_service_can_never_accept_is_a_configuration_error_in_its_words() {
    let cases = [
        (Code::InvalidArgument, "INVALID_REQUEST"),
        (Code::InvalidArgument, "MALFORMED"),
        (Code::InvalidArgument, "MESSAGE_TOO_LARGE"),
        (Code::Unimplemented, "NOT_AVAILABLE"),
        (Code::InvalidArgument, "A_REASON_OF_LATER"),
    ];
    for (code, reason) in cases {
        let refusal = refusal(&mk_status(code, reason, |_| {}), None);
        assert_eq!(refusal.cause, Cause::Configuration { field: None }, "{reason}");
        assert_eq!(refusal.message, "what the service says");
    }
}

fn mk_locked(kind: &str, name: &str) -> Status {
    mk_status(Code::Aborted, "TARGET_LOCKED", |details| {
        let metadata = match kind {
            "execution" => HashMap::from([("holder".to_owned(), name.to_owned())]),
            _ => HashMap::new(),
        };
        details.set_error_info("TARGET_LOCKED", ERROR_DOMAIN, metadata);
        details.set_resource_info(kind, name, "", "somebody holds it since noon");
    })
}

fn mk_holder(execution_id: &str, name: Option<&str>) -> Holder {
    Holder {
        execution_id: execution_id.to_owned(),
        namespace: name.map(|_| "demo".to_owned()),
        name: name.map(ToOwned::to_owned),
    }
}

#[test]
fn a_locked_target_names_whoever_holds_it_as_well_as_it_is_known() {
    let first = mk_holder("0199", Some("first"));
    let nameless = mk_holder("0199", None);
    let another = mk_holder("0200", Some("another"));
    let ours = mk_locked("execution", "0199");
    let cases = [
        (&ours, Some(&first), Some("first"), "WorkflowExecution demo/first acts on"),
        (&ours, Some(&nameless), Some("0199"), "Something else acts on"),
        (&ours, Some(&another), Some("0199"), "Something else acts on"),
        (&ours, None, Some("0199"), "Something else acts on"),
        (&mk_locked("pipelinerun", "by-hand"), None, Some("by-hand"), "Something else acts on"),
        (&mk_locked("pipelinerun", ""), None, None, "Something else acts on"),
    ];
    for (status, holder, by, begins) in cases {
        let refusal = refusal(status, holder);
        assert_eq!(refusal.reason(), FailureReason::Deduplicated);
        assert_eq!(refusal.deduplicated_by(), by);
        assert!(refusal.message.starts_with(begins), "{}", refusal.message);
        assert!(refusal.message.ends_with("somebody holds it since noon"), "{}", refusal.message);
    }
    assert_eq!(Answer::holder_id(&ours).as_deref(), Some("0199"));
    assert_eq!(Answer::holder_id(&mk_locked("pipelinerun", "by-hand")), None);
    assert_eq!(Answer::holder_id(&Status::aborted("")), None);
}

#[test]
fn a_request_that_is_known_is_no_refusal() {
    let reused = mk_status(Code::AlreadyExists, "REQUEST_ID_REUSED", |_| {});
    let withdrawn = mk_status(Code::FailedPrecondition, "REQUEST_WITHDRAWN", |_| {});
    assert_eq!(Answer::of_status(&reused, None), Answer::Reused);
    assert_eq!(Answer::of_status(&withdrawn, None), Answer::Withdrawn);
}

#[test]
fn everything_else_is_tried_again() {
    use TroubleKind::{Busy, Incompatible, Refuses, Unreachable};
    let ours = [
        (Code::Unavailable, "STORE_UNAVAILABLE", Busy),
        (Code::Unavailable, "CLUSTER_UNAVAILABLE", Busy),
        (Code::Unavailable, "DRAINING", Busy),
        (Code::Internal, "INTERNAL", Busy),
        (Code::NotFound, "NOT_FOUND", Busy),
        (Code::FailedPrecondition, "COOLDOWN_ACTIVE", Busy),
        (Code::Unauthenticated, "NO_TOKEN", Refuses),
        (Code::PermissionDenied, "NOT_ALLOWED", Refuses),
        (Code::Unimplemented, "A_REASON_OF_LATER", Incompatible),
    ];
    let ours = ours.map(|(code, reason, kind)| (mk_status(code, reason, |_| {}), kind));
    let foreign = (0..=16).map(Code::from).filter(|code| *code != Code::Ok).map(|code| {
        let kind = match code {
            Code::Unauthenticated | Code::PermissionDenied => Refuses,
            Code::ResourceExhausted => Busy,
            Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Unreachable,
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented => Incompatible,
        };
        (Status::new(code, "said by a proxy"), kind)
    });
    for (status, kind) in ours.into_iter().chain(foreign) {
        let Answer::Trouble(trouble) = Answer::of_status(&status, None) else {
            panic!("{status:?}");
        };
        assert_eq!(trouble.kind, kind, "{status:?}");
        assert_eq!(trouble.is_about_the_bridge(), kind != Busy);
        assert!(trouble.to_string().ends_with(status.message()), "{trouble}");
    }
}

#[test]
fn an_error_of_another_domain_is_not_believed() {
    let mut details = ErrorDetails::new();
    details.set_error_info("INVALID_REQUEST", "proxy.example", HashMap::new());
    let status = Status::with_error_details(Code::InvalidArgument, "no", details);
    assert!(matches!(Answer::of_status(&status, None), Answer::Trouble(_)));
}

#[test]
fn the_service_says_when_to_come_back() {
    let status = mk_status(Code::Unavailable, "STORE_UNAVAILABLE", |details| {
        details.set_retry_info(Some(Duration::from_millis(1_500)));
    });
    assert_eq!(Trouble::of_status(&status).retry_after, Some(Duration::from_millis(1_500)));
    assert_eq!(Trouble::of_status(&Status::unavailable("")).retry_after, None);
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_said_to_be_that_and_alike_each_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client =
        v1::execution_service_client::ExecutionServiceClient::new(endpoint.connect_lazy());
    let mut call = async || {
        let status = client.get(v1::GetRequest::default()).await.unwrap_err();
        Trouble::of_status(&status)
    };
    let (first, second) = (call().await, call().await);
    assert_eq!(first.kind, TroubleKind::Unreachable);
    assert!(first.message.contains("refused"), "{first}");
    assert_eq!(first, second);
}

#[test]
fn a_huge_text_is_cut() {
    let huge = "ü".repeat(1 << 20);
    assert!(Trouble::of_status(&Status::unavailable(&huge)).message.chars().count() <= 1_024);
    assert!(Refusal::unreadable(&huge).message.chars().count() <= 4_096);
    let refusal = refusal(&mk_locked("execution", &huge), None);
    assert_eq!(refusal.deduplicated_by().map(|by| by.chars().count()), Some(253));
}

#[test]
fn the_names_of_sensitive_parameters_are_written_with_commas_and_spaces() {
    for (list, expected) in
        [("", &[][..]), ("A", &["A"]), (" A , B,\n A,,b ", &["A", "B", "b"]), (" , ", &[])]
    {
        let spec = mk_spec(json!({}));
        let request = start_request(mk_source(), &spec, list, WhenLocked::Wait).unwrap();
        assert_eq!(request.sensitive_parameters, expected, "{list:?}");
    }
}
