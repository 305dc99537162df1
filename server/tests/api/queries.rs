//! Get, List, GetTarget and ListEvents.

use tonic::Code;
use wfe_proto::v1::{self, State};

use crate::support::*;

async fn list(client: &mut Client, request: v1::ListRequest) -> v1::ListResponse {
    client.list(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_execution_is_found_by_the_request_that_started_it() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start("r-1", "pod/x")).await.id;
    let key = Some(v1::get_request::Key::RequestId("r-1".to_owned()));
    let found = client.get(v1::GetRequest { key }).await.unwrap().into_inner().execution.unwrap();
    assert_eq!(found.id, id);
}

#[tokio::test]
async fn pages_cover_everything_once_while_more_is_accepted() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut expected = Vec::new();
    for n in 0..25 {
        let request = mk_start(&format!("r-{n}"), &format!("default/pod/p-{n}"));
        expected.push(start(&mut client, request).await.id);
    }
    expected.reverse();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    for round in 0.. {
        let request = v1::ListRequest { page_size: 10, page_token, ..v1::ListRequest::default() };
        let page = list(&mut client, request).await;
        seen.extend(page.executions.into_iter().map(|execution| execution.id));
        let request = mk_start(&format!("late-{round}"), &format!("default/pod/late-{round}"));
        start(&mut client, request).await;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn filters_are_combined() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = mk_start_of("never-ends", "a", "default/pod/a");
    request.correlation_id = "incident-1".to_owned();
    let a = start(&mut client, request).await.id;
    let mut request = mk_start("b", "default/pod/b");
    request.correlation_id = "incident-1".to_owned();
    let b = start(&mut client, request).await.id;
    until_terminal(&mut client, &b).await;
    start(&mut client, mk_start_of("never-ends", "c", "default/pod/c")).await;
    until_state(&mut client, &a, State::Running).await;

    let ids = async |client: &mut Client, request| -> Vec<String> {
        list(client, request).await.executions.into_iter().map(|e| e.id).collect()
    };
    let incident = || v1::ListRequest {
        correlation_id: "incident-1".to_owned(),
        ..v1::ListRequest::default()
    };
    assert_eq!(ids(&mut client, incident()).await, [b.clone(), a.clone()]);
    let ended = v1::ListRequest { states: vec![State::Succeeded.into()], ..incident() };
    assert_eq!(ids(&mut client, ended).await, [b]);
    let on_a = v1::ListRequest {
        target: "default/Pods/a".to_owned(),
        states: vec![State::Running.into(), State::Failed.into()],
        ..v1::ListRequest::default()
    };
    assert_eq!(ids(&mut client, on_a).await, [a]);
}

#[tokio::test]
async fn a_target_that_nobody_used_is_free_and_no_error() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let shown = target(&mut client, "default/Deploy/new").await;
    assert_eq!(shown.target, "default/deployment/new");
    assert_eq!((shown.lock, shown.queue.len()), (None, 0));
}

#[tokio::test]
async fn events_come_in_pages_in_order() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("three-tasks-in-order", "r", "pod/x")).await.id;
    let done = until_terminal(&mut client, &id).await;
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListEventsRequest { execution_id: id.clone(), page_size: 2, page_token };
        let page = client.list_events(request).await.unwrap().into_inner();
        assert!(page.events.len() <= 2);
        seen.extend(page.events.into_iter().map(|event| event.revision));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (1..=done.revision).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_with_its_name() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let key = Some(v1::get_request::Key::ExecutionId(unknown.to_owned()));
    let status = client.get(v1::GetRequest { key }).await.unwrap_err();
    assert!(refused(&status, Code::NotFound, "NOT_FOUND").contains(unknown));
    let key = Some(v1::get_request::Key::RequestId("nobody".to_owned()));
    let status = client.get(v1::GetRequest { key }).await.unwrap_err();
    assert!(refused(&status, Code::NotFound, "NOT_FOUND").contains("nobody"));
    let status = watch(&mut client, unknown, None).await.unwrap_err();
    refused(&status, Code::NotFound, "NOT_FOUND");
    let request = v1::CancelRequest {
        execution_id: unknown.to_owned(),
        reason: "x".to_owned(),
        ..v1::CancelRequest::default()
    };
    refused(&client.cancel(request).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let request = v1::ListEventsRequest {
        execution_id: unknown.to_owned(),
        ..v1::ListEventsRequest::default()
    };
    refused(&client.list_events(request).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
}
