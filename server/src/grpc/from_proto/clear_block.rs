//! A ClearBlock: which target, and why it is safe to go on.

use wfe_core::{
    clear::{ClearReason, MAX_TICKET_CHARS},
    ids::ExecutionId,
    invalid::{Invalid, Violations},
    target::TargetKey,
};
use wfe_proto::v1;

use super::{optional, take_target_key};
use crate::error::ServiceError;

/// What is asked of a ClearBlock.
pub(in super::super) struct ClearBlock {
    pub(in super::super) key: TargetKey,
    pub(in super::super) reason: ClearReason,
    pub(in super::super) ticket: Option<String>,
    pub(in super::super) expected: Option<ExecutionId>,
}

/// A ClearBlock. For whom the caller acts is part of who it is.
pub(in super::super) fn clear_block(
    message: v1::ClearBlockRequest,
) -> Result<ClearBlock, ServiceError> {
    let v1::ClearBlockRequest {
        target,
        cluster_id,
        reason,
        ticket,
        expected_execution_id,
        on_behalf_of: _,
    } = message;
    let mut wrong = Violations(Vec::new());
    let key = take_target_key(&mut wrong, &target, &cluster_id);
    let reason = wrong.take("reason", reason.parse());
    let ticket = wrong.take("ticket", optional(ticket, short_ticket));
    let expected = optional(expected_execution_id, |id| id.parse());
    let expected = wrong.take("expected_execution_id", expected);
    match (key, reason, ticket, expected) {
        (Some(key), Some(reason), Some(ticket), Some(expected)) => {
            Ok(ClearBlock { key, reason, ticket, expected })
        }
        _ => Err(wrong.into()),
    }
}

fn short_ticket(ticket: String) -> Result<String, Invalid> {
    if ticket.chars().count() > MAX_TICKET_CHARS {
        return Err(Invalid::new("must have at most 253 characters"));
    }
    Ok(ticket)
}
