//! Errors for people and for programs: everything that the server said about one, on stderr.

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wfe_audit::verify::NotAnExport;
use wfe_proto::code_name;

use crate::{
    args::{Global, Output},
    context::Context,
    error::{Error, causes},
    exit::Exit,
    json,
    render::{plain, time, waiting},
};

/// Writes why a command ended without its answer.
pub(crate) fn write(context: &mut Context, global: &Global, error: &Error) {
    match error.exit() {
        // What is to be said was said, or there is nobody left to read it.
        Exit::Interrupted | Exit::BrokenPipe => return,
        Exit::Ok
        | Exit::Failed
        | Exit::Usage
        | Exit::Cancelled
        | Exit::Refused
        | Exit::NotFound
        | Exit::Unavailable => {}
    }
    match global.output {
        Output::Json => context.note(&json::line(&document(error))),
        Output::Text => {
            for line in lines(error, global) {
                context.note(&line);
            }
        }
    }
}

/// An error as one JSON document. An error of a call has the fields of `google.rpc.Status`.
fn document(error: &Error) -> Value {
    let mut fields = match error.status() {
        Some(status) => {
            let mut fields = json::status_to_value(status);
            fields["message"] = Value::from(whole_message(status));
            fields
        }
        None => json!({ "message": chain(error) }),
    };
    if let (Value::Object(fields), Error::Audit(error)) = (&mut fields, error)
        && let Some(NotAnExport { line, byte, problem: _ }) = error.not_an_export()
    {
        fields.insert("line".to_owned(), json!(line));
        fields.insert("byte".to_owned(), json!(byte));
    }
    if let (Value::Object(fields), Error::WatchLost { after, .. }) = (&mut fields, error) {
        fields.insert("after".to_owned(), json!(after.map(|n| n.to_string())));
    }
    json!({ "error": fields })
}

/// An error as lines.
fn lines(error: &Error, global: &Global) -> Vec<String> {
    let mut lines = match error.status() {
        Some(status) => {
            let mut lines = status_lines(status, &global.server.to_string());
            lines.extend(advice(status, &global.server.as_option()));
            lines
        }
        None => vec![format!("error: {}", chain(error))],
    };
    if let Error::WatchLost { subject, after, .. } = error {
        lines.insert(0, format!("error: {error}"));
        let after = after.map_or_else(String::new, |revision| format!(" --after {revision}"));
        let server = global.server.as_option();
        lines.push(format!("resume: wfe watch {}{after}{server}", plain(subject)));
    }
    lines
}

/// What a status says, line by line.
fn status_lines(status: &Status, server: &str) -> Vec<String> {
    let details = status.get_error_details();
    let mut lines = Vec::new();
    match details.error_info() {
        Some(info) => {
            lines.push(format!("error: {}", plain(status.message())));
            lines.push(format!("code: {}", code_name(status.code())));
            lines.push(format!("reason: {}", plain(&info.reason)));
        }
        None => lines.extend(unexplained(status, server)),
    }
    lines.extend(fields_and_preconditions(&details));
    lines.extend(whom_and_when(status.message(), &details));
    lines
}

/// What to type to get past a closed gate.
fn advice(status: &Status, server: &str) -> Vec<String> {
    let Some(info) = status.get_details_error_info() else { return Vec::new() };
    let known = |key: &str| info.metadata.get(key).map(String::as_str).unwrap_or_default();
    let (target, cluster) = (known("target"), known("cluster_id"));
    match info.reason.as_str() {
        "COOLDOWN_ACTIVE" | "BACKOFF_ACTIVE" => {
            vec!["hint: with --when-cooling wait it starts by itself then".to_owned()]
        }
        "PREVIOUS_EXECUTION_FAILED" | "RETRIES_EXHAUSTED" | "BLOCK_CHANGED" => {
            let execution = known("execution");
            let clear = waiting::clear_command(target, cluster, execution, server);
            vec![
                format!("look first: wfe get {}{server}", plain(execution)),
                format!("then: {clear}"),
            ]
        }
        "TARGET_LOCKED" | "NOT_BLOCKED" if !target.is_empty() => {
            let cluster = match cluster {
                "" => String::new(),
                cluster => format!(" --cluster {}", plain(cluster)),
            };
            vec![format!("look: wfe target {}{cluster}{server}", plain(target))]
        }
        _ => Vec::new(),
    }
}

/// The message of a status, with the causes that the transport knows.
fn whole_message(status: &Status) -> String {
    let mut message = status.message().to_owned();
    for cause in causes(status) {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
    }
    message
}

/// A status without a reason comes from the transport or from something on the way.
fn unexplained(status: &Status, server: &str) -> Vec<String> {
    let message = plain(&whole_message(status));
    let mut lines = vec![
        format!("error: the call to {server} failed: {message}"),
        format!("code: {}", code_name(status.code())),
    ];
    if status.code() == Code::Unavailable {
        lines.push("hint: is a server running there? `wfe dev` starts one".to_owned());
    }
    lines
}

fn fields_and_preconditions(details: &ErrorDetails) -> Vec<String> {
    let fields = details.bad_request().map(|request| &request.field_violations);
    let fields = fields.into_iter().flatten().map(|violation| {
        format!("field {}: {}", plain(&violation.field), plain(&violation.description))
    });
    let preconditions = details.precondition_failure().map(|failure| &failure.violations);
    let preconditions = preconditions.into_iter().flatten().map(|violation| {
        format!(
            "precondition {} of {}: {}",
            plain(&violation.r#type),
            plain(&violation.subject),
            plain(&violation.description)
        )
    });
    let quotas = details.quota_failure().map(|failure| &failure.violations);
    let quotas = quotas.into_iter().flatten().map(|violation| {
        format!("quota of {}: {}", plain(&violation.subject), plain(&violation.description))
    });
    fields.chain(preconditions).chain(quotas).collect()
}

fn whom_and_when(message: &str, details: &ErrorDetails) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(resource) = details.resource_info() {
        let reason = details.error_info().map(|info| info.reason.as_str()).unwrap_or_default();
        let label = match reason {
            "TARGET_LOCKED" => "holder",
            "COOLDOWN_ACTIVE" | "BACKOFF_ACTIVE" => "cause",
            "PREVIOUS_EXECUTION_FAILED" | "RETRIES_EXHAUSTED" | "BLOCK_CHANGED" => "blocked by",
            _ => "resource",
        };
        let mut line = format!(
            "{label}: {} {}",
            plain(&resource.resource_type),
            plain(&resource.resource_name)
        );
        if !resource.owner.is_empty() {
            line = format!("{line}, owner {}", plain(&resource.owner));
        }
        // The message of a closed gate ends with the same sentence.
        if !resource.description.is_empty() && !message.ends_with(&resource.description) {
            line = format!("{line}: {}", plain(&resource.description));
        }
        lines.push(line);
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        lines.push(format!("retry after: {}", time::span(delay)));
    }
    if let Some(request) = details.request_info() {
        lines.push(format!("request: {}", plain(&request.request_id)));
    }
    let help = details.help().map(|help| &help.links);
    for link in help.into_iter().flatten() {
        lines.push(format!("help: {}: {}", plain(&link.description), plain(&link.url)));
    }
    lines
}

/// An error with its causes, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text = format!("{text}: {cause}");
    }
    plain(&text)
}

#[cfg(test)]
mod tests;
