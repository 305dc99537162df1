use std::{
    io::Write as _,
    sync::{Arc, Mutex},
};

use expect_test::expect;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wfe_proto::v1::{
    CancelMode, CancelResponse, ClearBlockRequest, ClearBlockResponse, EventType, Execution, Gate,
    GetResponse, GetTargetResponse, ListEventsResponse, ListResponse, StartOutcome, StartRequest,
    StartResponse, State, Target, Waiting, get_request::Key, start_request::Workflow,
};

use crate::{
    Exit,
    testing::{
        messages::{mk_event, mk_execution, mk_failure, refusal, snapshot, terminal},
        service::{Act, Service, serve},
        shell::{Gone, Shell},
    },
};

const START: &str = "start --bundle registry.example/workflows/restart:v1 --target node/n";

fn started(outcome: StartOutcome, state: State) -> StartResponse {
    StartResponse { execution: Some(mk_execution("e-1", state, 1)), outcome: outcome.into() }
}

/// What a service was asked, call by call.
struct Asked<T>(Arc<Mutex<Vec<T>>>);

impl<T> Asked<T> {
    fn nothing() -> Asked<T> {
        Asked(Arc::default())
    }

    fn pen(&self) -> impl FnMut(T) + Send + 'static
    where
        T: Send + 'static,
    {
        let page = self.0.clone();
        move |asked| page.lock().unwrap().push(asked)
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn a_start_sends_the_request_and_tells_its_id() {
    let asked = Asked::<StartRequest>::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().start(move |request| {
        note(request);
        Ok(started(StartOutcome::Accepted, State::Starting))
    }))
    .await;
    let shell = Shell::at(&server.address());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"A: from-file\nB: '2'\n").unwrap();
    let path = file.path().display();
    let exit = shell.run(&format!("{START} --parameters-file {path} -p A=given")).await;
    assert_eq!(exit, Exit::Ok, "{}", shell.stderr());
    assert_eq!(
        shell.stdout(),
        "accepted: e-1  default/deployment/api  STARTING: its run is being created\n"
    );
    assert_eq!(shell.stderr(), "request id: new-id\nfollow it: wfe watch e-1 --server SERVER\n");
    let [request] = asked.take().try_into().unwrap();
    assert_eq!(request.request_id, "new-id");
    assert_eq!(request.parameters["A"], "given");
    assert_eq!(request.parameters["B"], "2");
    let Some(Workflow::Bundle(bundle)) = request.workflow else {
        panic!("{request:?}");
    };
    assert_eq!(bundle.reference, "registry.example/workflows/restart:v1");
}

#[tokio::test]
async fn a_start_tells_how_its_answer_came_about() {
    for (outcome, state, options, expected) in [
        (
            StartOutcome::Repeated,
            State::Succeeded,
            "--request-id r-7",
            "accepted before: e-1  default/deployment/api  SUCCEEDED after 10m 0s\n",
        ),
        (
            StartOutcome::Attached,
            State::Running,
            "--when-locked attach",
            "attached to the holder: e-1  default/deployment/api  RUNNING: its run exists\n",
        ),
        (
            StartOutcome::Validated,
            State::Waiting,
            "--validate-only",
            "valid, nothing was stored: default/deployment/api would be WAITING\n",
        ),
    ] {
        let service = Service::default().start(move |_| Ok(started(outcome, state)));
        let server = serve(service).await;
        let shell = Shell::at(&server.address());
        assert_eq!(shell.run(&format!("{START} {options}")).await, Exit::Ok);
        assert_eq!(shell.stdout(), expected);
    }
}

#[tokio::test]
async fn a_start_that_waits_ends_as_the_execution_does() {
    let service = Service::default()
        .start(|_| Ok(started(StartOutcome::Accepted, State::Starting)))
        .watch(|request| {
            assert_eq!(request.after, None);
            Ok(vec![
                Act::say(snapshot(mk_execution("e-1", State::Starting, 1))),
                Act::say(crate::testing::messages::event(mk_event(
                    2,
                    State::Failed,
                    EventType::Failed,
                ))),
                Act::say(terminal(Execution {
                    failure: Some(mk_failure()),
                    ..mk_execution("e-1", State::Failed, 2)
                })),
            ])
        });
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run(&format!("{START} --wait")).await, Exit::Failed);
    expect![[r#"
        accepted: e-1  default/deployment/api  STARTING: its run is being created
        2026-11-21T10:00:09.000Z     1  STARTING    its run is being created
        2026-11-21T10:00:02.000Z     2  FAILED      message 2
        e-1  default/deployment/api  FAILED after 10m 0s: TASK_FAILED: Step apply of task restart exited with code 1. Look at its log.
          task restart, step apply, TaskRun wfe-1-restart, exit code 1
          evidence: TaskRun wfe-1-restart status.steps[apply].terminated.exitCode = 1
          Failed: "step-apply" exited with code 1
          A step had started: side effects may have happened.
    "#]].assert_eq(&shell.stdout());

    let json = Shell::at(&server.address());
    assert_eq!(json.run(&format!("{START} --wait -o json")).await, Exit::Failed);
    let lines: Vec<Value> =
        json.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["outcome"], "START_OUTCOME_ACCEPTED");
    assert_eq!(lines[1]["snapshot"]["state"], "STATE_STARTING");
    assert_eq!(lines[2]["event"]["revision"], "2");
    assert_eq!(lines[3]["terminal"]["failure"]["reason"], "FAILURE_REASON_TASK_FAILED");
    assert_eq!(lines.len(), 4);
    assert_eq!(json.stderr(), "{\"requestId\":\"new-id\"}\n");
}

#[tokio::test]
async fn a_refused_start_names_the_holder() {
    let refuse = |_| {
        let mut details =
            ErrorDetails::with_error_info("TARGET_LOCKED", wfe_proto::ERROR_DOMAIN, []);
        details.set_resource_info("execution", "e-9", "", "RUNNING");
        let message = "node/n is held by e-9";
        Err(Status::with_error_details(Code::Aborted, message, details))
    };
    let server = serve(Service::default().start(refuse)).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run(START).await, Exit::Refused);
    assert_eq!(shell.stdout(), "");
    expect![[r"
        request id: new-id
        error: node/n is held by e-9
        code: ABORTED
        reason: TARGET_LOCKED
        holder: execution e-9: RUNNING
    "]]
    .assert_eq(&shell.stderr());

    let shell = Shell::at(&server.address());
    assert_eq!(shell.run(&format!("{START} -o json")).await, Exit::Refused);
    let error: Value = serde_json::from_str(shell.stderr().lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["status"], "ABORTED");
    assert_eq!(error["error"]["details"][0]["reason"], "TARGET_LOCKED");
    assert_eq!(error["error"]["details"][1]["resourceName"], "e-9");
}

#[tokio::test]
async fn a_start_without_a_clear_answer_says_how_to_repeat_it() {
    let service = Service::default().start(|_| Err(Status::unavailable("going away")));
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run(&format!("{START} --deadline 10m")).await, Exit::Unavailable);
    let told = shell.stderr();
    assert!(told.contains("with --request-id new-id --deadline 2026-11-21T10:20:00Z"), "{told}");

    let refused = Service::default().start(|_| Err(refusal(Code::InvalidArgument, "R", "no")));
    let server = serve(refused).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run(START).await, Exit::Usage);
    assert!(!shell.stderr().contains("repeat"), "{}", shell.stderr());
}

#[tokio::test]
async fn a_wrong_parameters_file_ends_before_any_call() {
    let shell = Shell::at("http://127.0.0.1:9");
    let exit = shell.run(&format!("{START} --parameters-file not-there.yaml")).await;
    assert_eq!(exit, Exit::Usage);
    assert!(
        shell.stderr().starts_with("error: cannot read the parameters file not-there.yaml: "),
        "{}",
        shell.stderr()
    );
}

#[tokio::test]
async fn get_asks_by_id_or_by_request() {
    let asked = Asked::<Option<Key>>::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().get(move |request| {
        note(request.key);
        Ok(GetResponse { execution: Some(mk_execution("e-1", State::Running, 3)) })
    }))
    .await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("get e-1").await, Exit::Ok);
    assert!(shell.stdout().starts_with("e-1  RUNNING\n"), "{}", shell.stdout());
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("get --request-id r-1 -o json").await, Exit::Ok);
    let answer: Value = serde_json::from_str(&shell.stdout()).unwrap();
    assert_eq!(answer["execution"]["state"], "STATE_RUNNING");
    assert_eq!(
        asked.take(),
        [Some(Key::ExecutionId("e-1".to_owned())), Some(Key::RequestId("r-1".to_owned())),]
    );
}

#[tokio::test]
async fn get_of_nothing_is_not_found() {
    let service = Service::default()
        .get(|_| Err(refusal(Code::NotFound, "EXECUTION_NOT_FOUND", "no execution e-1")));
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("get e-1").await, Exit::NotFound);
    expect![[r"
        error: no execution e-1
        code: NOT_FOUND
        reason: EXECUTION_NOT_FOUND
    "]]
    .assert_eq(&shell.stderr());
}

#[tokio::test]
async fn list_passes_its_filters_and_tells_of_more() {
    let asked = Asked::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().list(move |request| {
        note(request);
        Ok(ListResponse {
            executions: vec![mk_execution("e-1", State::Running, 3)],
            next_page_token: "next".to_owned(),
        })
    }))
    .await;
    let shell = Shell::at(&server.address());
    let words = "list --state running --state waiting --target node/n --cluster prod \
                 --correlation-id rr-1 --limit 7 --page-token here";
    assert_eq!(shell.run(words).await, Exit::Ok);
    assert!(shell.stdout().contains("e-1  RUNNING"), "{}", shell.stdout());
    assert_eq!(shell.stderr(), "there are more: add --page-token next\n");
    assert_eq!(
        asked.take(),
        [wfe_proto::v1::ListRequest {
            page_size: 7,
            page_token: "here".to_owned(),
            states: vec![State::Running.into(), State::Waiting.into()],
            target: "node/n".to_owned(),
            cluster_id: "prod".to_owned(),
            correlation_id: "rr-1".to_owned(),
        }]
    );
}

#[tokio::test]
async fn cancel_sends_its_reason_and_shows_the_state() {
    let asked = Asked::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().cancel(move |request| {
        note((request.execution_id.clone(), request.reason.clone(), request.mode()));
        Ok(CancelResponse { execution: Some(mk_execution("e-1", State::Cancelling, 4)) })
    }))
    .await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("cancel e-1 --reason 'by mistake'").await, Exit::Ok);
    assert_eq!(shell.stdout(), "e-1  default/deployment/api  CANCELLING: it was asked to stop\n");
    let sent = ("e-1".to_owned(), "by mistake".to_owned(), CancelMode::Immediate);
    assert_eq!(asked.take(), [sent]);
}

#[tokio::test]
async fn cancel_of_a_request_tells_its_execution_or_that_it_is_withdrawn() {
    let asked = Asked::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().cancel(move |request| {
        note((request.execution_id, request.request_id.clone(), request.reason));
        let execution = mk_execution("e-1", State::Cancelling, 4);
        Ok(CancelResponse { execution: (request.request_id == "started").then_some(execution) })
    }))
    .await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("cancel --request-id started --reason why").await, Exit::Ok);
    assert_eq!(shell.stdout(), "e-1  default/deployment/api  CANCELLING: it was asked to stop\n");
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("cancel --request-id r-1 --reason why").await, Exit::Ok);
    assert_eq!(
        shell.stdout(),
        "request r-1 is withdrawn: nothing was started for it, and nothing ever will be\n"
    );
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("cancel --request-id r-1 --reason why -o json").await, Exit::Ok);
    assert_eq!(shell.stdout(), "{}\n");
    let sent = |id: &str| (String::new(), id.to_owned(), "why".to_owned());
    assert_eq!(asked.take(), [sent("started"), sent("r-1"), sent("r-1")]);
}

#[tokio::test]
async fn a_start_of_a_withdrawn_request_is_refused_with_who_withdrew_it_and_why() {
    let refuse = |_| {
        let mut details =
            ErrorDetails::with_error_info("REQUEST_WITHDRAWN", wfe_proto::ERROR_DOMAIN, []);
        let why = "anonymous withdrew it: its object was deleted";
        details.add_precondition_failure_violation("REQUEST", "new-id", why);
        let message = "request_id new-id was withdrawn";
        Err(Status::with_error_details(Code::FailedPrecondition, message, details))
    };
    let server = serve(Service::default().start(refuse)).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run(START).await, Exit::Refused);
    let told = shell.stderr();
    assert!(told.contains("reason: REQUEST_WITHDRAWN"), "{told}");
    assert!(told.contains("anonymous withdrew it: its object was deleted"), "{told}");
}

#[tokio::test]
async fn target_tells_who_holds_it() {
    let server = serve(Service::default().get_target(|request| {
        Ok(GetTargetResponse {
            target: Some(Target {
                target: request.target,
                cluster_id: request.cluster_id,
                ..Target::default()
            }),
        })
    }))
    .await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("target node/n --cluster prod").await, Exit::Ok);
    assert_eq!(
        shell.stdout(),
        "node/n in cluster prod is free: nothing holds it.\nNothing waits for it.\n\
         No other gate is closed.\n"
    );
}

#[tokio::test]
async fn clear_block_sends_what_it_was_told_and_tells_what_was_cleared() {
    let asked = Asked::<ClearBlockRequest>::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().clear_block(move |request| {
        note(request.clone());
        Ok(ClearBlockResponse {
            target: Some(Target { target: request.target, ..Target::default() }),
            execution: Some(mk_execution("e-1", State::Failed, 9)),
        })
    }))
    .await;
    let shell = Shell::at(&server.address());
    let words = "clear-block node/n --cluster prod --reason 'rolled back by hand' --ticket OPS-1 \
                 --execution e-1";
    assert_eq!(shell.run(words).await, Exit::Ok, "{}", shell.stderr());
    assert_eq!(
        shell.stdout(),
        "cleared: execution e-1, which stays FAILED, does not block node/n any more\n\
         next: nothing waits for the target\n"
    );
    let shell = Shell::at(&server.address());
    let words = "clear-block node/n --reason 'rolled back by hand' -o json";
    assert_eq!(shell.run(words).await, Exit::Ok);
    let answer: Value = serde_json::from_str(&shell.stdout()).unwrap();
    assert_eq!(answer["execution"]["state"], "STATE_FAILED");
    let sent = |cluster: &str, ticket: &str, expected: &str| ClearBlockRequest {
        target: "node/n".to_owned(),
        cluster_id: cluster.to_owned(),
        reason: "rolled back by hand".to_owned(),
        ticket: ticket.to_owned(),
        expected_execution_id: expected.to_owned(),
        on_behalf_of: None,
    };
    assert_eq!(asked.take(), [sent("prod", "OPS-1", "e-1"), sent("", "", "")]);
}

#[tokio::test]
async fn a_clearance_that_is_refused_ends_as_refusals_do() {
    for (code, reason, exit) in [
        (Code::FailedPrecondition, "NOT_BLOCKED", Exit::Refused),
        (Code::Aborted, "BLOCK_CHANGED", Exit::Refused),
        (Code::InvalidArgument, "INVALID_REQUEST", Exit::Usage),
        (Code::PermissionDenied, "PERMISSION_DENIED", Exit::Unavailable),
    ] {
        let service = Service::default().clear_block(move |_| Err(refusal(code, reason, "no")));
        let server = serve(service).await;
        let shell = Shell::at(&server.address());
        assert_eq!(shell.run("clear-block node/n --reason 'rolled back'").await, exit);
        assert_eq!(shell.stdout(), "");
        assert!(shell.stderr().contains(&format!("reason: {reason}")), "{}", shell.stderr());
    }
}

#[tokio::test]
async fn a_start_that_waits_for_a_person_tells_the_command() {
    let service = Service::default().start(|_| {
        let waiting = Waiting {
            gate: Gate::Block.into(),
            message: "execution e-0 failed; a person must look".to_owned(),
            cause_execution_id: "e-0".to_owned(),
            ..Waiting::default()
        };
        Ok(StartResponse {
            execution: Some(Execution {
                waiting: Some(waiting),
                ..mk_execution("e-1", State::Waiting, 1)
            }),
            outcome: StartOutcome::Accepted.into(),
        })
    });
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run(&format!("{START} --when-blocked wait")).await, Exit::Ok);
    expect![[r#"
        request id: new-id
        follow it: wfe watch e-1 --server SERVER
        it waits for a person: wfe clear-block default/deployment/api --execution e-0 --reason "..." --server SERVER
    "#]].assert_eq(&shell.stderr());
}

#[tokio::test]
async fn events_are_read_to_the_last_page() {
    let server = serve(Service::default().list_events(|request| {
        let revision = match request.page_token.as_str() {
            "" => 1,
            token => token.parse().unwrap(),
        };
        let next = if revision < 3 { (revision + 1).to_string() } else { String::new() };
        Ok(ListEventsResponse {
            events: vec![mk_event(revision, State::Running, EventType::Progressed)],
            next_page_token: next,
        })
    }))
    .await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("events e-1").await, Exit::Ok);
    expect![[r"
        2026-11-21T10:00:01.000Z     1  RUNNING     message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  RUNNING     message 3
    "]]
    .assert_eq(&shell.stdout());

    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("events e-1 -o json").await, Exit::Ok);
    let all: Value = serde_json::from_str(&shell.stdout()).unwrap();
    let revisions: Vec<&Value> =
        all["events"].as_array().unwrap().iter().map(|event| &event["revision"]).collect();
    assert_eq!(revisions, [&json!("1"), &json!("2"), &json!("3")]);
    assert_eq!(all.get("nextPageToken"), None);
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shell = Shell::at(&format!("http://{}", listener.local_addr().unwrap()));
    assert_eq!(shell.run("get e-1 --timeout 100ms").await, Exit::Unavailable);
    assert!(shell.stderr().contains("code: DEADLINE_EXCEEDED"), "{}", shell.stderr());
}

#[tokio::test]
async fn an_interrupted_call_ends_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shell = Shell::at(&format!("http://{}", listener.local_addr().unwrap()));
    let (exit, _connection) = tokio::join!(shell.run("get e-1 --timeout 1h"), async {
        let connection = listener.accept().await.unwrap();
        shell.interrupt.cancel();
        connection
    });
    assert_eq!(exit, Exit::Interrupted);
    assert_eq!(shell.stderr(), "");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_command_quietly() {
    let service = Service::default().list(|_| Ok(ListResponse::default()));
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    let mut context = shell.context();
    context.out = Box::new(Gone);
    assert_eq!(shell.run_in(&mut context, "list").await, Exit::BrokenPipe);
    assert_eq!(shell.stderr(), "");
}

#[tokio::test]
async fn a_large_answer_gets_through() {
    let service = Service::default().get(|_| {
        Ok(GetResponse {
            execution: Some(Execution {
                parameters: (0..200).map(|n| (format!("P{n}"), "x".repeat(32 * 1024))).collect(),
                ..mk_execution("e-1", State::Running, 3)
            }),
        })
    });
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("get e-1 -o json --timeout 20s").await, Exit::Ok);
    assert!(shell.stdout().len() > 200 * 32 * 1024);
}

#[tokio::test]
async fn the_demo_has_no_json_form() {
    let shell = Shell::at("http://127.0.0.1:9");
    assert_eq!(shell.run("demo -o json").await, Exit::Usage);
    let error: Value = serde_json::from_str(&shell.stderr()).unwrap();
    assert!(error["error"]["message"].is_string(), "{error}");
}

const STEPS: &str = "\
steps:
  - name: look
    image: registry.example/tools/kubectl:1.34
    script: kubectl version
  - name: repair
    image: registry.example/tools/kubectl:1.34
    script: kubectl version
    depends_on: [lok]
";

fn steps_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[tokio::test]
async fn a_file_of_steps_is_sent_instead_of_a_bundle() {
    let asked = Asked::<StartRequest>::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().start(move |request| {
        note(request);
        Ok(started(StartOutcome::Accepted, State::Starting))
    }))
    .await;
    let shell = Shell::at(&server.address());
    let file = steps_file(STEPS);
    let path = file.path().display();
    assert_eq!(shell.run(&format!("start --steps {path} --target node/n")).await, Exit::Ok);
    let [request] = asked.take().try_into().unwrap();
    let Some(Workflow::Inline(inline)) = request.workflow else { panic!("{request:?}") };
    assert_eq!(inline.steps[1].depends_on, ["lok"]);
}

#[tokio::test]
async fn a_file_of_steps_that_is_wrong_is_told_with_its_place_and_nothing_is_sent() {
    let asked = Asked::<StartRequest>::nothing();
    let mut note = asked.pen();
    let server = serve(Service::default().start(move |request| {
        note(request);
        Ok(started(StartOutcome::Accepted, State::Starting))
    }))
    .await;
    let shell = Shell::at(&server.address());
    let file = steps_file(&STEPS.replace("depends_on", "after"));
    let path = file.path().display();
    assert_eq!(shell.run(&format!("start --steps {path} --target node/n")).await, Exit::Usage);
    let told = shell.stderr();
    assert!(
        told.starts_with(&format!("error: {path}:8:5: steps[1]: unknown field `after`")),
        "{told}"
    );
    assert_eq!(shell.run("start --steps no-such-file.yaml --target node/n").await, Exit::Usage);
    assert!(asked.take().is_empty());
}

#[tokio::test]
async fn a_field_of_a_step_that_the_service_does_not_take_is_found_in_the_file() {
    let server = serve(Service::default().start(|_| {
        let details = ErrorDetails::with_bad_request_violation(
            "inline.steps[1].depends_on[0]",
            "there is no step \"lok\"",
        );
        Err(Status::with_error_details(Code::InvalidArgument, "wrong", details))
    }))
    .await;
    let shell = Shell::at(&server.address());
    let file = steps_file(STEPS);
    let path = file.path().display();
    assert_eq!(shell.run(&format!("start --steps {path} --target node/n")).await, Exit::Usage);
    let told = shell.stderr();
    assert!(told.contains(&format!("{path}:8:18: there is no step \"lok\"\n")), "{told}");
}

#[tokio::test]
async fn steps_are_read_from_standard_input_too() {
    let service =
        Service::default().start(|_| Ok(started(StartOutcome::Accepted, State::Starting)));
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    for (text, exit) in [(STEPS, Exit::Ok), ("steps: 7", Exit::Usage)] {
        let mut context = shell.context();
        context.input = Box::new(std::io::Cursor::new(text.to_owned()));
        assert_eq!(shell.run_in(&mut context, "start --steps - --target node/n").await, exit);
    }
    assert!(shell.stderr().contains("error: standard input:1:8: steps: invalid type"));
}
