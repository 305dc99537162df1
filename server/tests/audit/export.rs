//! Exports: whole ones, parts, and of a log that was pruned.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_audit::{export::Header, verify::Verdict};
use wfe_proto::v1;
use wfe_server::Config;

use crate::support::{Home, Running, eventually, verify_with};

fn header(export: &[u8]) -> Header {
    let line = export.split(|byte| *byte == b'\n').next().unwrap();
    serde_json::from_slice(line).unwrap()
}

async fn refused(running: &mut Running, after: i64) -> (Code, String) {
    let status = running.export_after(after).await.unwrap_err();
    (status.code(), status.get_error_details().error_info().unwrap().reason.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_all_and_a_later_one_what_followed() {
    let home = Home::new();
    let mut running = home.start().await;
    let empty = home.verify(&running.export().await);
    assert_eq!((empty.verdict(), empty.entries), (Verdict::Sound, 0), "{:?}", empty.findings);
    running.work(1..=3).await;
    let first = home.verify(&running.export().await);
    assert_eq!(first.verdict(), Verdict::Sound, "{:?}", first.findings);
    assert_eq!((first.after, first.last), (0, first.entries));
    running.work(4..=4).await;
    let after = i64::try_from(first.last).unwrap();
    let export = running.export_after(after).await.unwrap();
    let next = verify_with(&export, home.public_key(), &home.checkpoints());
    assert_eq!(next.verdict(), Verdict::Sound, "{:?}", next.findings);
    assert_eq!(next.after, first.last);

    let out_of_range = (Code::OutOfRange, "CURSOR_AHEAD".to_owned());
    assert_eq!(refused(&mut running, after * 9).await, out_of_range);
    let invalid = (Code::InvalidArgument, "INVALID_REQUEST".to_owned());
    assert_eq!(refused(&mut running, -1).await, invalid);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_pruned_can_be_verified_from_its_checkpoint_on() {
    let home = Home::new();
    let config = || Config { audit_retention: Duration::from_secs(1), ..home.config() };
    let mut running = Running::start(config()).await;
    running.work(1..=3).await;
    let export = eventually("old entries are gone", async || {
        let export = running.export().await;
        (header(&export).after.sequence.0 >= 12).then_some(export)
    })
    .await;
    let report = verify_with(&export, home.public_key(), &home.checkpoints());
    assert_eq!(report.verdict(), Verdict::Sound, "{:?}", report.findings);
    assert!(report.fitting_signatures >= 2, "where it begins is signed too: {report:?}");
    let expired = (Code::OutOfRange, "CURSOR_EXPIRED".to_owned());
    assert_eq!(refused(&mut running, 1).await, expired);

    let request = v1::ListRequest::default();
    let listed = running.client.list(request).await.unwrap().into_inner();
    assert_eq!(listed.executions.len(), 3, "executions stay");
    running.stop().await;
    let mut running = Running::start(config()).await;
    running.work(4..=4).await;
    let report = home.verify(&running.export().await);
    assert_eq!(report.verdict(), Verdict::Sound, "{:?}", report.findings);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_brought_outside_before_the_server_has_stopped() {
    let home = Home::new();
    let rare = Config { audit_checkpoint_interval: Duration::from_hours(1), ..home.config() };
    let mut running = Running::start(rare).await;
    running.work(1..=2).await;
    running.stop().await;
    let mut intruder = home.intruder().await;
    let last = intruder.entries().await.pop().unwrap();
    intruder.leave().await;
    assert_eq!(home.checkpoints().last().unwrap().head(), last.head());
}
