use std::time::Duration;

use serde_json::{Value, json};

use super::*;

#[derive(Debug, PartialEq)]
enum Verdict {
    Later(Option<u64>),
    Refused(FailureReason),
}

fn verdict(code: u16, body: &str, retry_after: Option<u64>) -> (Verdict, String) {
    let retry_after = retry_after.map(Duration::from_secs);
    let error = CallError::refused(code, body.as_bytes(), retry_after);
    match not_created(error, "kubernaut-workflows") {
        CreateError::Later { message, retry_after } => {
            (Verdict::Later(retry_after.map(|wait| wait.as_secs())), message)
        }
        CreateError::Refused { reason, message, .. } => (Verdict::Refused(reason), message),
        CreateError::Exists(run) => panic!("{run:?}"),
    }
}

fn status(code: u16, reason: &str, message: &str, details: &Value) -> String {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message, "details": details,
    })
    .to_string()
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[test]
fn each_answer_to_a_create_has_its_meaning() {
    use FailureReason::{ConfigurationError, Forbidden, ResourceExhausted, Unknown};
    use Verdict::{Later, Refused};
    let group = || json!({"group": "tekton.dev", "kind": "pipelineruns"});
    let cases = [
        (
            status(
                404,
                "NotFound",
                "namespaces \"kubernaut-workflows\" not found",
                &json!({"name": "kubernaut-workflows", "kind": "namespaces"}),
            ),
            Refused(ConfigurationError),
            "namespace kubernaut-workflows does not exist",
        ),
        (
            "404 page not found\n".to_owned(),
            Refused(ConfigurationError),
            "does not serve PipelineRuns",
        ),
        (status(401, "Unauthorized", "Unauthorized", &Value::Null), Later(None), "credentials"),
        (
            status(
                403,
                "Forbidden",
                "pipelineruns.tekton.dev is forbidden: User \"alice\" cannot create resource",
                &group(),
            ),
            Refused(Forbidden),
            "alice",
        ),
        (
            status(
                403,
                "Forbidden",
                "pipelineruns.tekton.dev \"p\" is forbidden: exceeded quota: q, requested: \
                 count/pipelineruns.tekton.dev=1, used: count/pipelineruns.tekton.dev=0",
                &group(),
            ),
            Refused(ResourceExhausted),
            "exceeded quota: q",
        ),
        (
            status(
                403,
                "Forbidden",
                "pipelineruns.tekton.dev \"p\" is forbidden: status unknown for quota: q",
                &group(),
            ),
            Later(None),
            "status unknown",
        ),
        (
            status(
                403,
                "Forbidden",
                "pipelineruns.tekton.dev \"p\" is forbidden: unable to create new content in namespace \
                 kubernaut-workflows because it is being terminated",
                &json!({"kind": "pipelineruns", "causes": [
                    {"reason": "NamespaceTerminating", "message": "x", "field": "metadata.namespace"},
                ]}),
            ),
            Refused(ConfigurationError),
            "is being deleted",
        ),
        (
            status(
                400,
                "BadRequest",
                "admission webhook \"validation.webhook.pipeline.tekton.dev\" denied the request: \
                 validation failed: expected exactly one, got neither: spec.pipelineRef, spec.pipelineSpec",
                &Value::Null,
            ),
            Refused(ConfigurationError),
            "spec.pipelineRef",
        ),
        (
            status(
                422,
                "Invalid",
                "pipelineruns.tekton.dev \"p\" is forbidden: ValidatingAdmissionPolicy 'no-zoom' with \
                 binding 'everywhere' denied request: exceeded quota of zooms",
                &group(),
            ),
            Refused(Forbidden),
            "of zooms",
        ),
        (
            status(
                400,
                "BadRequest",
                "admission webhook \"policy.example\" denied the request: not on a Friday",
                &Value::Null,
            ),
            Refused(Forbidden),
            "Friday",
        ),
        (
            status(
                400,
                "BadRequest",
                "strict decoding error: unknown field \"spec.foo\"",
                &Value::Null,
            ),
            Refused(ConfigurationError),
            "spec.foo",
        ),
        (
            status(
                422,
                "Invalid",
                "PipelineRun.tekton.dev \"P\" is invalid: metadata.name",
                &json!({"kind": "PipelineRun", "causes": []}),
            ),
            Refused(ConfigurationError),
            "metadata.name",
        ),
        (
            status(413, "RequestEntityTooLarge", "limit is 3145728", &Value::Null),
            Refused(ConfigurationError),
            "limit",
        ),
        (
            status(
                409,
                "Conflict",
                "Operation cannot be fulfilled on resourcequotas \"q\"",
                &json!({"kind": "resourcequotas"}),
            ),
            Later(None),
            "resourcequotas",
        ),
        (
            status(
                429,
                "TooManyRequests",
                "the server has asked us to back off",
                &json!({"retryAfterSeconds": 7}),
            ),
            Later(Some(7)),
            "back off",
        ),
        (
            status(
                500,
                "InternalError",
                "Internal error occurred: failed calling webhook \"webhook.pipeline.tekton.dev\": \
                 failed to call webhook: Post \"https://tekton-pipelines-webhook\": connection refused",
                &json!({"causes": [{"message": "failed calling webhook"}]}),
            ),
            Later(None),
            "failed calling webhook",
        ),
        (status(503, "ServiceUnavailable", "starting", &Value::Null), Later(None), "starting"),
        (
            status(504, "Timeout", "Timeout: request did not complete", &Value::Null),
            Later(None),
            "Timeout",
        ),
        (status(418, "Teapot", "no", &Value::Null), Refused(Unknown), "no"),
    ];
    for (body, expected, part) in cases {
        let code = serde_json::from_str::<Value>(&body).ok().and_then(|body| body["code"].as_u64());
        let code = u16::try_from(code.unwrap_or(404)).unwrap();
        let (verdict, message) = verdict(code, &body, None);
        assert_eq!(verdict, expected, "{body}");
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

#[test]
fn an_answer_that_is_no_status_is_told_by_its_code() {
    let (busy, message) = verdict(429, "Too many requests, please try again later.\n", Some(1));
    assert_eq!(busy, Verdict::Later(Some(1)));
    assert!(message.contains("Too many requests"), "{message}");
    let (proxy, _) = verdict(502, "<html>Bad gateway</html>", None);
    assert_eq!(proxy, Verdict::Later(None));
}

#[test]
fn only_a_taken_name_is_one() {
    let error = |reason: &str| {
        CallError::refused(409, status(409, reason, "", &Value::Null).as_bytes(), None)
    };
    assert!(error("AlreadyExists").is_already_exists());
    assert!(!error("Conflict").is_already_exists());
}

#[test]
fn no_answer_is_for_later_and_says_why() {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let error = CallError::from(kube::Error::Service(Box::new(refused)));
    let CreateError::Later { message, .. } = not_created(error, "n") else { panic!() };
    assert_eq!(message, "the API server cannot be reached: connection refused");
    let error = CallError::Unanswered(Duration::from_secs(25));
    let CreateError::Later { message, .. } = not_created(error, "n") else { panic!() };
    assert_eq!(message, "the API server did not answer within 25s");
}
