//! The decision of a Cancel by request id: what was accepted is stopped; what was not is withdrawn, so
//! that it cannot be accepted any more.

use jiff::Timestamp;

use crate::{
    actor::Actor,
    ids::{ExecutionId, RequestId},
};

/// A request that starts nothing from now on. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// The request.
    pub request_id: RequestId,
    /// Why, as the caller wrote it.
    pub reason: String,
    /// Who withdrew it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

/// What is stored about a request that is to be cancelled.
#[derive(Debug, Clone, Copy)]
pub struct WithdrawView<'a> {
    /// What a Start with this request id got.
    pub got: Option<Got>,
    /// The withdrawal, when it was withdrawn before.
    pub withdrawn: Option<&'a Withdrawal>,
}

/// What a request got when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// The execution that was accepted for it.
    Own(ExecutionId),
    /// It follows the execution of another request.
    Attached(ExecutionId),
}

/// What a Cancel by request id means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WithdrawDecision {
    /// An execution was accepted for the request: it is to be stopped as any other.
    Stop(ExecutionId),
    /// The request is withdrawn from now on.
    Withdraw(Withdrawal),
    /// The request was withdrawn before, and that stands.
    Withdrawn(Withdrawal),
}

/// Decides what becomes of a request that somebody cancels.
pub fn decide(view: WithdrawView<'_>, new: &Withdrawal) -> WithdrawDecision {
    if let Some(Got::Own(execution)) = view.got {
        return WithdrawDecision::Stop(execution);
    }
    // Who attached has nothing of its own to stop, and may not stop what was accepted for others.
    match view.withdrawn {
        Some(first) => WithdrawDecision::Withdrawn(first.clone()),
        None => WithdrawDecision::Withdraw(new.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn mk_withdrawal(second: i64) -> Withdrawal {
        Withdrawal {
            request_id: "request-1".parse().unwrap(),
            reason: format!("not needed at {second}"),
            actor: Actor::anonymous(None),
            at: at(second),
        }
    }

    #[test]
    fn what_was_accepted_is_stopped_what_was_not_is_withdrawn_and_the_first_withdrawal_stands() {
        let (first, new) = (mk_withdrawal(1), mk_withdrawal(2));
        let cases = [
            (None, None, WithdrawDecision::Withdraw(new.clone())),
            (None, Some(&first), WithdrawDecision::Withdrawn(first.clone())),
            (Some(Got::Own(mk_id(1))), None, WithdrawDecision::Stop(mk_id(1))),
            (Some(Got::Attached(mk_id(2))), None, WithdrawDecision::Withdraw(new.clone())),
            (
                Some(Got::Attached(mk_id(2))),
                Some(&first),
                WithdrawDecision::Withdrawn(first.clone()),
            ),
        ];
        for (got, withdrawn, expected) in cases {
            assert_eq!(decide(WithdrawView { got, withdrawn }, &new), expected, "{got:?}");
        }
    }
}
