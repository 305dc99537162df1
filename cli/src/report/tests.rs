use std::time::Duration;

use expect_test::expect;
use tonic_types::FieldViolation;

use super::*;
use crate::args::{Cli, Output};
use clap::Parser as _;

fn global(output: Output) -> Global {
    let mut global = Cli::try_parse_from(["wfe", "demo", "--server", "host:1"]).unwrap().global;
    global.output = output;
    global
}

fn text(error: &Error) -> String {
    lines(error, &global(Output::Text)).join("\n")
}

fn locked() -> Status {
    let mut details = ErrorDetails::with_error_info(
        "TARGET_LOCKED",
        wfe_proto::ERROR_DOMAIN,
        [("holder".to_owned(), "e-1".to_owned())],
    );
    details
        .set_resource_info("execution", "e-1", "alice", "RUNNING since 10:00")
        .add_precondition_failure_violation("LOCK", "node/n", "wait for e-1 or cancel it")
        .set_retry_info(Some(Duration::from_secs(90)))
        .add_help_link("what to do", "https://docs.example/TARGET_LOCKED");
    Status::with_error_details(Code::Aborted, "node/n is held by e-1", details)
}

#[test]
fn a_refusal_names_reason_holder_delay_and_help() {
    expect![[r"
        error: node/n is held by e-1
        code: ABORTED
        reason: TARGET_LOCKED
        precondition LOCK of node/n: wait for e-1 or cancel it
        holder: execution e-1, owner alice: RUNNING since 10:00
        retry after: 1m 30s
        help: what to do: https://docs.example/TARGET_LOCKED"]]
    .assert_eq(&text(&locked().into()));
}

/// A refusal at a gate, as the service sends it.
fn gate(code: Code, reason: &str, message: &str, delay: Option<Duration>) -> Status {
    let metadata = [("target", "node/n"), ("cluster_id", "prod"), ("execution", "e-1")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut details = ErrorDetails::with_error_info(reason, wfe_proto::ERROR_DOMAIN, metadata);
    details.set_resource_info("execution", "e-1", "", "execution e-1 did it").set_retry_info(delay);
    Status::with_error_details(code, format!("{message}: execution e-1 did it"), details)
}

#[test]
fn a_refusal_at_a_gate_says_what_to_type() {
    let failed = Code::FailedPrecondition;
    let refusals = [
        gate(failed, "COOLDOWN_ACTIVE", "node/n cools down", Some(Duration::from_secs(243))),
        gate(failed, "PREVIOUS_EXECUTION_FAILED", "node/n is blocked", None),
        gate(Code::Aborted, "BLOCK_CHANGED", "another one blocks node/n", None),
        gate(failed, "NOT_BLOCKED", "node/n is not blocked", None),
    ];
    let texts = refusals.map(|status| text(&status.into()));
    expect![[r#"
        error: node/n cools down: execution e-1 did it
        code: FAILED_PRECONDITION
        reason: COOLDOWN_ACTIVE
        cause: execution e-1
        retry after: 4m 3s
        hint: with --when-cooling wait it starts by itself then

        error: node/n is blocked: execution e-1 did it
        code: FAILED_PRECONDITION
        reason: PREVIOUS_EXECUTION_FAILED
        blocked by: execution e-1
        look first: wfe get e-1 --server http://host:1
        then: wfe clear-block node/n --cluster prod --execution e-1 --reason "..." --server http://host:1

        error: another one blocks node/n: execution e-1 did it
        code: ABORTED
        reason: BLOCK_CHANGED
        blocked by: execution e-1
        look first: wfe get e-1 --server http://host:1
        then: wfe clear-block node/n --cluster prod --execution e-1 --reason "..." --server http://host:1

        error: node/n is not blocked: execution e-1 did it
        code: FAILED_PRECONDITION
        reason: NOT_BLOCKED
        resource: execution e-1
        look: wfe target node/n --cluster prod --server http://host:1"#]].assert_eq(&texts.join("\n\n"));
}

#[test]
fn every_wrong_field_is_named() {
    let mut details = ErrorDetails::with_error_info("INVALID_REQUEST", wfe_proto::ERROR_DOMAIN, []);
    details.set_bad_request(vec![
        FieldViolation::new("target", "must be kind/name"),
        FieldViolation::new("parameters[\"A\u{7}\"]", "is too long"),
    ]);
    let status = Status::with_error_details(Code::InvalidArgument, "2 fields are wrong", details);
    expect![[r#"
        error: 2 fields are wrong
        code: INVALID_ARGUMENT
        reason: INVALID_REQUEST
        field target: must be kind/name
        field parameters["A "]: is too long"#]]
    .assert_eq(&text(&status.into()));
}

#[test]
fn an_error_without_a_reason_names_the_server() {
    expect![[r"
        error: the call to http://host:1 failed: tcp connect error
        code: UNAVAILABLE
        hint: is a server running there? `wfe dev` starts one"]]
    .assert_eq(&text(&Status::unavailable("tcp connect error").into()));
}

#[test]
fn a_lost_watch_says_how_to_resume() {
    let error = Error::WatchLost {
        subject: "e-1".to_owned(),
        after: Some(7),
        status: Box::new(Status::unavailable("gone")),
    };
    expect![[r"
        error: the watch of e-1 broke and could not be resumed
        error: the call to http://host:1 failed: gone
        code: UNAVAILABLE
        hint: is a server running there? `wfe dev` starts one
        resume: wfe watch e-1 --after 7 --server http://host:1"]]
    .assert_eq(&text(&error));
    expect![[r#"{"error":{"after":"7","code":14,"message":"gone","status":"UNAVAILABLE"}}"#]]
        .assert_eq(&document(&error).to_string());
}

#[test]
fn an_error_of_the_tool_itself_has_its_causes() {
    let error = Error::ParametersFile {
        path: "params.yaml".into(),
        source: std::io::Error::other("no such file"),
    };
    expect!["error: cannot read the parameters file params.yaml: no such file"]
        .assert_eq(&text(&error));
    expect![[
        r#"{"error":{"message":"cannot read the parameters file params.yaml: no such file"}}"#
    ]]
    .assert_eq(&document(&error).to_string());
}
