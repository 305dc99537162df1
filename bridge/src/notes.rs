//! stub
#![allow(missing_docs)]
use crate::{metrics::Released, request::*};
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::ObjectReference, events::v1::Event};
use wfe_proto::v1::*;
pub fn note(_: &ObjectReference, _: &ExecutionEvent, _: &Execution, _: &str) -> Option<Event> {
    None
}
pub fn refusal_note(_: &ObjectReference, _: &Refusal, _: Timestamp, _: &str) -> Option<Event> {
    None
}
pub fn release_note(_: &ObjectReference, _: Released, _: Timestamp, _: &str) -> Option<Event> {
    None
}
