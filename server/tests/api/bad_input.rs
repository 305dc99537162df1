//! Bad input is refused with the field and what is right, and nothing is stored.

use tonic::{Code, codegen::http};
use wfe_proto::v1::{self, CancelMode, start_request::Workflow};

use crate::support::*;

fn mk() -> v1::StartRequest {
    mk_start("r", "pod/x")
}

fn bundle(reference: &str, digest: &str) -> v1::StartRequest {
    let workflow = Some(Workflow::Bundle(v1::BundleWorkflow {
        reference: reference.to_owned(),
        digest: digest.to_owned(),
        pipeline: String::new(),
    }));
    v1::StartRequest { workflow, ..mk() }
}

fn until(seconds: i64, nanos: i32) -> v1::StartRequest {
    v1::StartRequest { deadline: Some(prost_types::Timestamp { seconds, nanos }), ..mk() }
}

#[tokio::test]
async fn a_start_with_wrong_fields_names_each_and_stores_nothing() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let pinned = format!("registry.example/wfe/x@{}", digest("a"));
    let cases: Vec<(v1::StartRequest, Vec<&str>)> = vec![
        (v1::StartRequest { target: String::new(), ..mk() }, vec!["target"]),
        (v1::StartRequest { target: "just-a-name".to_owned(), ..mk() }, vec!["target"]),
        (v1::StartRequest { target: "a/b/c/d".to_owned(), ..mk() }, vec!["target"]),
        (v1::StartRequest { cluster_id: "Not A Cluster".to_owned(), ..mk() }, vec!["cluster_id"]),
        (v1::StartRequest { request_id: String::new(), ..mk() }, vec!["request_id"]),
        (v1::StartRequest { request_id: "a b".to_owned(), ..mk() }, vec!["request_id"]),
        (v1::StartRequest { workflow: None, ..mk() }, vec!["workflow"]),
        (bundle("", ""), vec!["bundle.reference"]),
        (bundle("not a reference", ""), vec!["bundle.reference"]),
        (bundle("registry.example/x/y", "sha1:0"), vec!["bundle.digest"]),
        (bundle(&pinned, &digest("b")), vec!["bundle.digest"]),
        (
            v1::StartRequest { service_account: "No_Name".to_owned(), ..mk() },
            vec!["service_account"],
        ),
        (
            v1::StartRequest {
                secrets: vec!["ok".to_owned(), "ok".to_owned(), String::new()],
                ..mk()
            },
            vec!["secrets[1]", "secrets[2]"],
        ),
        (v1::StartRequest { correlation_id: "a b".to_owned(), ..mk() }, vec!["correlation_id"]),
        (until(1_000_000_000, 0), vec!["deadline"]),
        (until(i64::MAX, 0), vec!["deadline"]),
        (until(4_000_000_000, -1), vec!["deadline"]),
        (v1::StartRequest { when_locked: 99, ..mk() }, vec!["when_locked"]),
        (
            v1::StartRequest {
                target: "x".to_owned(),
                request_id: String::new(),
                workflow: None,
                ..mk()
            },
            vec!["request_id", "workflow", "target"],
        ),
    ];
    for (request, fields) in cases {
        let status = client.start(request.clone()).await.expect_err(&format!("{request:?}"));
        assert_eq!(violated(&status), fields, "{request:?}");
    }
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn parameters_beyond_limits_are_named() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let cases = [
        ("1st", "x".to_owned(), "parameters[\"1st\"]"),
        ("big", "x".repeat(32 * 1024 + 1), "parameters[\"big\"]"),
        ("TARGET_RESOURCE", "pod/other".to_owned(), "parameters[\"TARGET_RESOURCE\"]"),
    ];
    for (name, value, field) in cases {
        let mut request = mk();
        request.parameters.insert(name.to_owned(), value);
        assert_eq!(violated(&client.start(request).await.unwrap_err()), [field]);
    }
    let mut request = mk();
    request.parameters.extend((0..257).map(|n| (format!("p{n}"), String::new())));
    assert_eq!(violated(&client.start(request).await.unwrap_err()), ["parameters"]);
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn what_is_not_there_yet_says_so_and_stores_nothing() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    for request in [v1::StartRequest {
        workflow: Some(Workflow::Inline(v1::InlineWorkflow::default())),
        ..mk()
    }] {
        let status = client.start(request).await.unwrap_err();
        refused(&status, Code::Unimplemented, "NOT_AVAILABLE");
    }
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn a_cancel_gives_time_within_limits_and_only_where_time_is_given() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk()).await.id;
    let day = 24 * 60 * 60;
    let time = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let cancel = |mode: i32, escalate_after| v1::CancelRequest {
        execution_id: id.clone(),
        reason: "why".to_owned(),
        mode,
        escalate_after,
        ..v1::CancelRequest::default()
    };
    let gently = CancelMode::RunFinally.into();
    for (request, field) in [
        (cancel(CancelMode::Unspecified.into(), time(60, 0)), "escalate_after"),
        (cancel(CancelMode::Immediate.into(), time(60, 0)), "escalate_after"),
        (cancel(gently, time(0, 0)), "escalate_after"),
        (cancel(gently, time(-1, 0)), "escalate_after"),
        (cancel(gently, time(day, 1)), "escalate_after"),
        (cancel(gently, time(i64::MAX, 999_999_999)), "escalate_after"),
        (cancel(9, None), "mode"),
    ] {
        assert_eq!(violated(&client.cancel(request).await.unwrap_err()), [field]);
    }
    assert_eq!(get(&mut client, &id).await.cancellation, None);
}

#[tokio::test]
async fn the_other_calls_name_their_wrong_fields_too() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk()).await.id;
    let both = |id: &str, request_id: &str| v1::CancelRequest {
        execution_id: id.to_owned(),
        request_id: request_id.to_owned(),
        reason: "why".to_owned(),
        ..v1::CancelRequest::default()
    };
    let cancel = |id: &str, reason: &str| v1::CancelRequest {
        execution_id: id.to_owned(),
        reason: reason.to_owned(),
        ..v1::CancelRequest::default()
    };
    for (request, fields) in [
        (cancel("x", "why"), vec!["execution_id"]),
        (cancel(&id, " \n"), vec!["reason"]),
        (cancel(&id, &"x".repeat(2001)), vec!["reason"]),
        (cancel(&id.to_uppercase(), ""), vec!["execution_id", "reason"]),
        (both("", ""), vec!["execution_id", "request_id"]),
        (both(&id, "r"), vec!["execution_id", "request_id"]),
        (both("", "a b"), vec!["request_id"]),
        (both("", &"r".repeat(129)), vec!["request_id"]),
    ] {
        assert_eq!(violated(&client.cancel(request).await.unwrap_err()), fields);
    }
    // None of them withdrew or stopped anything.
    assert_eq!(get(&mut client, &id).await.cancellation, None);
    assert_eq!(violated(&client.get(v1::GetRequest { key: None }).await.unwrap_err()), ["key"]);
    let status = client.watch(v1::WatchRequest::default()).await.unwrap_err();
    assert_eq!(violated(&status), ["scope"]);
    assert_eq!(violated(&watch(&mut client, &id, Some(-1)).await.unwrap_err()), ["after"]);
    let target = v1::GetTargetRequest { target: "x".to_owned(), cluster_id: String::new() };
    assert_eq!(violated(&client.get_target(target).await.unwrap_err()), ["target"]);
    for (request, fields) in [
        (v1::ListRequest { page_size: -1, ..v1::ListRequest::default() }, vec!["page_size"]),
        (v1::ListRequest { states: vec![0], ..v1::ListRequest::default() }, vec!["states[0]"]),
        (
            v1::ListRequest { cluster_id: "east".to_owned(), ..v1::ListRequest::default() },
            vec!["cluster_id"],
        ),
        (
            v1::ListRequest { page_token: "x".to_owned(), ..v1::ListRequest::default() },
            vec!["page_token"],
        ),
    ] {
        assert_eq!(violated(&client.list(request).await.unwrap_err()), fields);
    }
}

#[tokio::test]
async fn a_page_token_of_another_query_is_refused() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    for n in 0..3 {
        start(&mut client, mk_start(&format!("r-{n}"), &format!("default/pod/p-{n}"))).await;
    }
    let request = v1::ListRequest { page_size: 1, ..v1::ListRequest::default() };
    let page_token = client.list(request).await.unwrap().into_inner().next_page_token;
    let other = v1::ListRequest {
        page_token,
        correlation_id: "another".to_owned(),
        ..v1::ListRequest::default()
    };
    let status = client.list(other).await.unwrap_err();
    assert_eq!(violated(&status), ["page_token"]);
    assert!(status.message().contains("another query"));
}

#[tokio::test]
async fn an_oversized_message_is_refused_before_it_is_read() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = mk();
    request.parameters.insert("big".to_owned(), "x".repeat(2 * 1024 * 1024));
    let status = client.start(request).await.unwrap_err();
    let message = refused(&status, Code::InvalidArgument, "MESSAGE_TOO_LARGE");
    assert!(message.contains("1048576"), "{message}");
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused_as_malformed() {
    /// A message with the same numbers on the wire, which may hold what a string may not.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Raw {
        #[prost(bytes = "vec", tag = "1")]
        request_id: Vec<u8>,
    }
    let stack = Stack::start().await;
    let channel = stack.channel().await;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path =
        http::uri::PathAndQuery::from_static("/kubernaut.execution.v1.ExecutionService/Start");
    let raw = Raw { request_id: vec![0xff, 0xfe] };
    let codec = tonic_prost::ProstCodec::<Raw, v1::StartResponse>::default();
    let status = grpc.unary(tonic::Request::new(raw), path, codec).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "MALFORMED");
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn a_refusal_fits_into_the_headers_of_an_answer_however_much_is_wrong() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let parameters = |names: usize, length: usize| {
        let name = |n: usize| format!("not a name {n} {}", "ö".repeat(length));
        (0..names).map(|n| (name(n), String::new())).collect()
    };
    for (names, length) in [(5, 1), (60, 1), (200, 20), (1, 20_000), (200, 1_000)] {
        let request = v1::StartRequest { parameters: parameters(names, length), ..mk() };
        let status = client.start(request).await.unwrap_err();
        let message = refused(&status, Code::InvalidArgument, "INVALID_REQUEST");
        let fields = violated(&status);
        assert!(fields.iter().all(|field| field.starts_with("parameters[")), "{fields:?}");
        assert_eq!(fields.len(), names.min(16));
        assert_eq!(message.contains("more"), names > 4, "{message}");
    }
    assert_eq!(stored(&stack).await.0, 0);
}
