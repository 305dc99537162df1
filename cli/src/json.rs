//! Messages in the proto3 JSON mapping, by the descriptors of the contract: lowerCamelCase names,
//! enum values by name, RFC 3339 times, 64-bit numbers as strings.

use std::{fmt::Write as _, sync::OnceLock};

use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage};
use serde_json::Value;
use tonic::Status;
use wfe_proto::v1;
use wfe_runtime::text::shown;

/// Why a message could not be written as JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The descriptors that are compiled in cannot be used.
    #[error("the descriptors of the contract cannot be used")]
    Descriptors(#[source] DescriptorError),
    /// The descriptors lack a message.
    #[error("the contract has no message {0}")]
    UnknownMessage(&'static str),
    /// A message does not fit its descriptor.
    #[error("a {message} does not fit its descriptor")]
    Decode {
        /// Name of the message.
        message: &'static str,
        /// Why.
        #[source]
        source: prost::DecodeError,
    },
    /// A value has no JSON form, for example a time outside of the years 1 to 9999.
    #[error("a {message} has no JSON form")]
    Encode {
        /// Name of the message.
        message: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// An answer of the service that can be printed as one document.
pub(crate) trait Document: Message {
    /// Full name of the message in the contract.
    const NAME: &'static str;
}

macro_rules! documents {
    ($($message:ident),*) => {$(
        impl Document for v1::$message {
            const NAME: &'static str = concat!("kubernaut.execution.v1.", stringify!($message));
        }
    )*};
}
documents!(
    StartResponse,
    GetResponse,
    ListResponse,
    WatchResponse,
    CancelResponse,
    ClearBlockResponse,
    GetTargetResponse,
    ListEventsResponse
);

impl Document for tonic_types::Status {
    const NAME: &'static str = "google.rpc.Status";
}

/// `message` as a JSON document.
pub(crate) fn to_value<M: Document>(message: &M) -> Result<Value, JsonError> {
    let descriptor =
        pool()?.get_message_by_name(M::NAME).ok_or(JsonError::UnknownMessage(M::NAME))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|source| JsonError::Decode { message: M::NAME, source })?;
    serde_json::to_value(&message).map_err(|source| JsonError::Encode { message: M::NAME, source })
}

/// The error of a call as `google.rpc.Status`, its details opened, and with the code's name.
///
/// Details of a kind that is not known here are left out: code and message must get through.
pub(crate) fn status_to_value(status: &Status) -> Value {
    let bare = tonic_types::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    };
    let full = tonic_types::Status::decode(status.details())
        .map(|sent| tonic_types::Status { details: sent.details, ..bare.clone() })
        .ok();
    let mut value = full
        .and_then(|full| to_value(&full).ok())
        .or_else(|| to_value(&bare).ok())
        .unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        let name = wfe_proto::code_name(status.code());
        fields.insert("status".to_owned(), Value::from(name));
    }
    value
}

/// A document in one line.
pub(crate) fn line(document: &Value) -> String {
    escaped(&document.to_string())
}

/// A document in many lines.
pub(crate) fn lines(document: &Value) -> String {
    escaped(&format!("{document:#}"))
}

/// The same document with escapes for what a terminal would obey or would not show.
fn escaped(document: &str) -> String {
    let mut escaped = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || shown(c) == c {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

fn pool() -> Result<&'static DescriptorPool, JsonError> {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let mut pool =
        DescriptorPool::decode(wfe_proto::FILE_DESCRIPTOR_SET).map_err(JsonError::Descriptors)?;
    pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .map_err(JsonError::Descriptors)?;
    Ok(POOL.get_or_init(|| pool))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tonic_types::{ErrorDetails, StatusExt as _};
    use wfe_proto::v1::{Execution, GetResponse, State, StepProgress, TaskProgress};

    use super::*;

    #[test]
    fn an_answer_has_the_proto3_json_shape() {
        let response = GetResponse {
            execution: Some(Execution {
                id: "e-1".to_owned(),
                state: State::Running.into(),
                revision: 5,
                create_time: Some(prost_types::Timestamp {
                    seconds: 1_700_000_000,
                    nanos: 120_000_000,
                }),
                parameters: [("A".to_owned(), "b".to_owned())].into(),
                progress: Some(v1::Progress {
                    tasks: vec![TaskProgress {
                        task_run: "run-a".to_owned(),
                        steps: vec![StepProgress { exit_code: Some(0), ..StepProgress::default() }],
                        ..TaskProgress::default()
                    }],
                    ..v1::Progress::default()
                }),
                ..Execution::default()
            }),
        };
        assert_eq!(
            to_value(&response).unwrap(),
            json!({"execution": {
                "id": "e-1",
                "state": "STATE_RUNNING",
                "revision": "5",
                "createTime": "2023-11-14T22:13:20.120Z",
                "parameters": {"A": "b"},
                "progress": {"tasks": [{"taskRun": "run-a", "steps": [{"exitCode": 0}]}]},
            }})
        );
    }

    #[test]
    fn every_document_is_in_the_contract() {
        fn check<M: Document + Default>() {
            assert_eq!(to_value(&M::default()).unwrap(), json!({}), "{}", M::NAME);
        }
        check::<v1::StartResponse>();
        check::<v1::GetResponse>();
        check::<v1::ListResponse>();
        check::<v1::WatchResponse>();
        check::<v1::CancelResponse>();
        check::<v1::ClearBlockResponse>();
        check::<v1::GetTargetResponse>();
        check::<v1::ListEventsResponse>();
        check::<tonic_types::Status>();
    }

    #[test]
    fn the_details_of_an_error_are_opened() {
        let mut details = ErrorDetails::with_error_info(
            "TARGET_LOCKED",
            wfe_proto::ERROR_DOMAIN,
            [("holder".to_owned(), "e-1".to_owned())],
        );
        details.set_retry_info(Some(std::time::Duration::from_millis(1500)));
        let status = Status::with_error_details(tonic::Code::Aborted, "locked", details);
        assert_eq!(
            status_to_value(&status),
            json!({
                "code": 10,
                "status": "ABORTED",
                "message": "locked",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.RetryInfo",
                        "retryDelay": "1.500s",
                    },
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "TARGET_LOCKED",
                        "domain": wfe_proto::ERROR_DOMAIN,
                        "metadata": {"holder": "e-1"},
                    },
                ],
            })
        );
    }

    #[test]
    fn an_error_with_unknown_details_keeps_its_code_and_message() {
        let sent = tonic_types::Status {
            code: 5,
            message: "no".to_owned(),
            details: vec![prost_types::Any {
                type_url: "type.googleapis.com/unknown.Detail".to_owned(),
                value: vec![1, 2, 3],
            }],
        };
        let status = Status::with_details(tonic::Code::NotFound, "no", sent.encode_to_vec().into());
        assert_eq!(
            status_to_value(&status),
            json!({"code": 5, "status": "NOT_FOUND", "message": "no"})
        );
    }
}
