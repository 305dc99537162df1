//! A failure comes with what decided it and with the last lines of the step, however bad those are.

use std::time::Duration;

use wfe_proto::v1::{self, FailureReason, State};
use wfe_server::tekton::simulator::{LogAnswer, SimulatorConfig};

use crate::support::*;

async fn stack() -> Stack {
    let config =
        SimulatorConfig { task_time: Duration::from_millis(40), ..SimulatorConfig::default() };
    Stack::with(config).await
}

fn metrics(stack: &Stack) -> String {
    String::from_utf8(stack.metrics.render().unwrap()).unwrap()
}

async fn failed(stack: &Stack, bundle: &str, target: &str) -> v1::Failure {
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of(bundle, target, target)).await.id;
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Failed);
    done.failure.unwrap()
}

#[tokio::test]
async fn whoever_looks_at_a_failure_sees_the_same_evidence_and_log() {
    let stack = stack().await;
    let mut client = stack.client().await;
    let mut request = mk_start_of("step-exits-1", "r", "default/deployment/api");
    request.parameters.insert("REPLICAS".to_owned(), "3".to_owned());
    request.parameters.insert("DB_PASSWORD".to_owned(), "correct-horse-battery".to_owned());
    let id = start(&mut client, request).await.id;
    // What a watch tells at its end.
    let done = until_terminal(&mut client, &id).await;
    let failure = done.failure.clone().unwrap();
    let lines: Vec<&str> = failure.log_tail.lines().collect();
    assert_eq!(lines.last(), Some(&"error: the rollout did not finish in time"), "{failure:?}");
    assert!(failure.log_tail.contains("\"REPLICAS\",\"value\":\"3\""), "{failure:?}");
    assert!(!failure.log_tail.contains("horse"), "{failure:?}");
    let evidence = failure.evidence.clone().unwrap();
    assert_eq!(
        (evidence.object, evidence.field.as_str(), evidence.value.as_str()),
        (format!("TaskRun {}", failure.task_run), "status.steps[main].terminated.exitCode", "1")
    );
    assert_eq!(get(&mut client, &id).await.failure.unwrap(), failure);
    let told = events(&mut client, &id).await.pop().unwrap();
    assert_eq!(told.failure.unwrap(), failure);
    assert!(metrics(&stack).contains("wfe_step_logs_total{outcome=\"kept\"} 1"));
}

#[tokio::test]
async fn a_failure_before_any_step_ran_asks_for_no_log() {
    let stack = stack().await;
    for (n, bundle) in ["image-cannot-be-pulled", "missing"].into_iter().enumerate() {
        let failure = failed(&stack, bundle, &format!("pod/x-{n}")).await;
        assert_eq!(failure.log_tail, "", "{bundle}");
        assert!(failure.evidence.is_some(), "{bundle}");
    }
    let told = metrics(&stack);
    let asked = told.lines().filter(|line| line.starts_with("wfe_step_logs_total"));
    assert!(asked.clone().count() > 0 && asked.clone().all(|line| line.ends_with(" 0")), "{told}");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_changes_nothing_but_itself() {
    let answers = [(LogAnswer::Never, "late"), (LogAnswer::Forbidden, "forbidden")];
    for (answer, outcome) in answers {
        let stack = stack().await;
        stack.cluster.answer_logs_with(answer);
        let failure = failed(&stack, "oom-killed", "pod/x").await;
        assert_eq!((failure.reason(), failure.log_tail.as_str()), (FailureReason::OomKilled, ""));
        let counted = format!("wfe_step_logs_total{{outcome=\"{outcome}\"}} 1");
        assert!(metrics(&stack).contains(&counted), "{}", metrics(&stack));
    }
}

#[tokio::test]
async fn a_log_of_any_bytes_is_told_as_short_plain_lines() {
    let stack = stack().await;
    let mut bytes = vec![0xff; 1_000_000];
    bytes.extend_from_slice(b"\n\x1b[2J\x1b[31mred\x1b[0m \x00 \xc3\x28\n");
    bytes.extend_from_slice("\u{202e}turned\u{200b}\nthe end".as_bytes());
    stack.cluster.answer_logs_with(LogAnswer::Bytes(bytes));
    let failure = failed(&stack, "step-exits-1", "pod/x").await;
    let tail = failure.log_tail;
    assert!(tail.ends_with("\nred   \u{fffd}(\n turned \nthe end"), "{tail}");
    assert!(tail.len() <= 4 * 1024, "{}", tail.len());
}
