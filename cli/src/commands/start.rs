//! `wfe start`: asks for an execution, and follows it when told to.

use std::{collections::HashMap, fs, path::Path};

use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use wfe_proto::v1::{Execution, StartOutcome, StartRequest, StartResponse};

use super::{answer, answered, watch};
use crate::{
    args::{Global, Output, StartArgs},
    client::{Client, connect, request},
    context::Context,
    error::Error,
    exit::Exit,
    json, render,
    steps::Steps,
    watch::{Contact, Follow, Patience, Subject},
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: StartArgs,
) -> Result<Exit, Error> {
    let from_file = match &args.parameters_file {
        Some(path) => read_parameters(path)?,
        None => HashMap::new(),
    };
    let steps = args.steps.as_ref().map(|path| Steps::read(context, path)).transpose()?;
    let request_id = args.request_id.clone();
    let request_id = request_id.unwrap_or_else(|| (context.new_request_id)());
    let workflow = steps.as_ref().map(|steps| steps.workflow().clone());
    let message = args.to_request(from_file, workflow, request_id, (context.now)());
    let message = message.map_err(Error::Usage)?;
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    tell_request_id(context, global, &message.request_id);
    let response = match call(context, global, &mut client, message).await {
        Ok(response) => response,
        Err(error) => {
            tell_places(context, global, steps.as_ref(), &error);
            return Err(error);
        }
    };
    let execution = response.execution.clone().unwrap_or_default();
    if !args.wait {
        answer(context, global, &response, |response, context| {
            sentence(response.outcome(), &execution, context)
        })?;
        if !args.validate_only && global.output == Output::Text {
            let server = global.server.as_option();
            let id = render::plain(&execution.id);
            context.note(&format!("follow it: wfe watch {id}{server}"));
            if let Some(command) = render::waiting::to_do(&execution, &server) {
                context.note(&format!("it waits for a person: {command}"));
            }
        }
        return Ok(Exit::Ok);
    }
    match global.output {
        Output::Json => context.say(&json::line(&json::to_value(&response)?))?,
        Output::Text => {
            let text = sentence(response.outcome(), &execution, context);
            context.say(&text)?;
        }
    }
    let wish = Follow {
        subject: Subject::Execution(execution.id),
        after: None,
        open_within: global.timeout.0,
        patience: Patience::usual(args.retry.retry_for.0, Contact::Made),
    };
    watch::to_end(context, global, client, wish).await
}

/// Tells the id before the call, because the answer to the call may be lost.
fn tell_request_id(context: &mut Context, global: &Global, id: &str) {
    match global.output {
        Output::Json => context.note(&json!({ "requestId": id }).to_string()),
        Output::Text => context.note(&format!("request id: {}", render::plain(id))),
    }
}

/// Tells where in the file of steps the fields are that the service did not take.
fn tell_places(context: &mut Context, global: &Global, steps: Option<&Steps>, error: &Error) {
    let details = error.status().and_then(StatusExt::get_details_bad_request);
    let (Some(steps), Some(details), Output::Text) = (steps, details, global.output) else {
        return;
    };
    for violation in details.field_violations {
        if let Some(place) = steps.place_of(&violation.field) {
            context.note(&format!("{place}: {}", render::plain(&violation.description)));
        }
    }
}

async fn call(
    context: &mut Context,
    global: &Global,
    client: &mut Client,
    message: StartRequest,
) -> Result<StartResponse, Error> {
    let repeat = repeat_options(&message);
    let call = client.start(request(message, global.timeout.0));
    let error = match answered(context, call).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    let unclear = match &error {
        Error::Interrupted => true,
        Error::Call(status) => may_have_been_accepted(status),
        Error::WatchLost { .. }
        | Error::Usage(_)
        | Error::ParametersFile { .. }
        | Error::ParametersSyntax { .. }
        | Error::Steps(_)
        | Error::Json(_)
        | Error::Output(_)
        | Error::Local(_)
        | Error::Audit(_)
        | Error::Demo(_) => false,
    };
    if unclear && global.output == Output::Text {
        context.note(&format!(
            "whether it was accepted is not known; it is safe to repeat the command with {repeat}"
        ));
    }
    Err(error)
}

/// The options that make a repetition the same request: a span until the deadline would give another
/// time.
fn repeat_options(message: &StartRequest) -> String {
    let mut options = format!("--request-id {}", render::plain(&message.request_id));
    if let Some(deadline) = render::time::from_proto(message.deadline.as_ref()) {
        options = format!("{options} --deadline {deadline}");
    }
    options
}

/// Whether the answer leaves open what happened.
fn may_have_been_accepted(status: &Status) -> bool {
    match status.code() {
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

/// How the answer came about, and where the execution stands.
fn sentence(outcome: StartOutcome, execution: &Execution, context: &Context) -> String {
    let now = (context.now)();
    let headline = render::execution::headline(execution, now, context.colour);
    match outcome {
        StartOutcome::Accepted | StartOutcome::Unspecified => format!("accepted: {headline}"),
        StartOutcome::Repeated => format!("accepted before: {headline}"),
        StartOutcome::Attached => format!("attached to the holder: {headline}"),
        StartOutcome::Validated => format!(
            "valid, nothing was stored: {} would be {}",
            render::target_name(&execution.target, &execution.cluster_id),
            render::state_name(execution.state()),
        ),
    }
}

/// The parameters of a file: a YAML (or JSON) mapping of names to strings.
///
/// Plain scalars are taken as they are written: `1.10` is the string 1.10, and `true` is true.
fn read_parameters(path: &Path) -> Result<HashMap<String, String>, Error> {
    let text = fs::read_to_string(path)
        .map_err(|source| Error::ParametersFile { path: path.to_owned(), source })?;
    let syntax = |source| Error::ParametersSyntax { path: path.to_owned(), source };
    // The untyped form refuses a name that is there twice, and knows what was left empty.
    let untyped: serde_yaml_ng::Mapping = serde_yaml_ng::from_str(&text).map_err(syntax)?;
    let parameters: HashMap<String, String> = serde_yaml_ng::from_str(&text).map_err(syntax)?;
    if let Some((name, _)) = untyped.iter().find(|(_, value)| value.is_null()) {
        let name = name.as_str().unwrap_or("null");
        return Err(Error::Usage(format!(
            "the parameter {name} of {} has no value; write \"\" for an empty one",
            path.display()
        )));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_parameters_file_maps_names_to_strings() {
        let file = file("A: \"1\"\nB: |\n  two\n  lines\nVERSION: 1.10\nFORCE: yes\nMODE: 0o644\n");
        assert_eq!(
            read_parameters(file.path()).unwrap(),
            [
                ("A", "1"),
                ("B", "two\nlines\n"),
                ("VERSION", "1.10"),
                ("FORCE", "yes"),
                ("MODE", "0o644"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
        );
    }

    #[test]
    fn a_parameters_file_with_anything_but_strings_is_refused() {
        for wrong in ["- A", "A: {B: c}", "A: [b]", "A: x\nA: y", "A: [", "A: ~", "A:", "A"] {
            let read = read_parameters(file(wrong).path());
            let exit = read.as_ref().map_err(Error::exit).err();
            assert_eq!(exit, Some(Exit::Usage), "{wrong}: {read:?}");
        }
        let missing = read_parameters(Path::new("does-not-exist.yaml")).unwrap_err();
        assert_eq!(missing.exit(), Exit::Usage);
    }

    #[test]
    fn a_repetition_names_the_deadline_as_a_time() {
        let message = StartRequest {
            request_id: "r-1".to_owned(),
            deadline: Some(prost_types::Timestamp { seconds: 1_795_255_800, nanos: 5 }),
            ..StartRequest::default()
        };
        assert_eq!(
            repeat_options(&message),
            "--request-id r-1 --deadline 2026-11-21T10:10:00.000000005Z"
        );
    }
}
