//! The chapters about the gates that the past of a target closes: one that a person opens, and one that
//! opens by itself.

use wfe_proto::v1::{ClearBlockRequest, Execution, Gate, GetTargetRequest, State, Waiting};

use super::{DATABASE, Story, WaitsFor, accepted, expect, expect_state, state_after};
use crate::{client::request, commands::answered, error::Error, render};

impl Story<'_> {
    /// The id of the execution that waited for the clearance of `failed`.
    pub(super) async fn block(&mut self, failed: &Execution) -> Result<String, Error> {
        self.chapter(
            "3. A failure blocks its target until a person has looked",
            "The next one waits and says why. A person says why it is safe to go on, and it runs.",
        )?;
        let started = self.start("succeeds", DATABASE, WaitsFor::Clearance);
        let second = accepted(started.await?)?;
        self.waits(&second, Gate::Block, &failed.id)?;
        self.look(&failed.id).await?;
        self.clear(&failed.id).await?;
        self.say("\nIt waited for that, and runs:")?;
        let execution = self.follow_to_end(&second.id, 0, |_| {}).await?;
        expect_state(&execution, State::Succeeded)?;
        Ok(second.id)
    }

    /// The id of the execution that waited for the end of the cooldown after `succeeded`.
    pub(super) async fn cooldown(&mut self, succeeded: &str) -> Result<String, Error> {
        self.chapter(
            "4. A target rests after a success",
            "The same workflow again waits for the end of the cooldown, and then starts by itself.",
        )?;
        let started = self.start("succeeds", DATABASE, WaitsFor::Cooldown);
        let third = accepted(started.await?)?;
        let waiting = self.waits(&third, Gate::Cooldown, succeeded)?;
        let until = render::time::from_proto(waiting.until.as_ref());
        expect(until.is_some(), || format!("{} does not know how long it waits", third.id))?;
        let mut waited = false;
        let execution = self
            .follow_to_end(&third.id, 0, |message| {
                waited |= state_after(message) == Some(State::Waiting);
            })
            .await?;
        expect(waited, || format!("{} was never seen WAITING", third.id))?;
        expect_state(&execution, State::Succeeded)?;
        Ok(third.id)
    }

    /// Says that an execution waits at a gate that another one closed, which must be so.
    fn waits(&mut self, execution: &Execution, gate: Gate, cause: &str) -> Result<Waiting, Error> {
        let (now, colour) = ((self.context.now)(), self.context.colour);
        self.say(&format!("accepted: {}", render::execution::headline(execution, now, colour)))?;
        expect_state(execution, State::Waiting)?;
        let waiting = execution.waiting.clone().unwrap_or_default();
        let (found, by) = (waiting.gate(), waiting.cause_execution_id.as_str());
        expect((found, by) == (gate, cause), || {
            let (found, gate) = (found.as_str_name(), gate.as_str_name());
            format!(
                "{} waits at {found} because of {by:?} instead of {gate} because of {cause}",
                execution.id
            )
        })?;
        Ok(waiting)
    }

    /// Shows the target, which `failed` must block.
    async fn look(&mut self, failed: &str) -> Result<(), Error> {
        self.say(&format!("$ wfe target {DATABASE}"))?;
        let message =
            GetTargetRequest { target: DATABASE.to_owned(), ..GetTargetRequest::default() };
        let call = self.client.get_target(request(message, self.call_limit));
        let target = answered(self.context, call).await?.target.unwrap_or_default();
        let text = render::target::sentences(&target, (self.context.now)(), "");
        self.say(&text)?;
        let blocking = target.block.map(|block| block.execution_id);
        expect(blocking.as_deref() == Some(failed), || {
            format!("{DATABASE} is blocked by {blocking:?} instead of {failed}")
        })
    }

    async fn clear(&mut self, failed: &str) -> Result<(), Error> {
        let reason = "looked at the database: nothing was changed";
        self.say(&format!(
            "$ wfe clear-block {DATABASE} --execution {failed} --reason \"{reason}\""
        ))?;
        let message = ClearBlockRequest {
            target: DATABASE.to_owned(),
            reason: reason.to_owned(),
            expected_execution_id: failed.to_owned(),
            ..ClearBlockRequest::default()
        };
        let call = self.client.clear_block(request(message, self.call_limit));
        let response = answered(self.context, call).await?;
        let text = render::clearance::cleared(&response, (self.context.now)());
        self.say(&text)?;
        let execution = response.execution.unwrap_or_default();
        let kept = execution.clearance.unwrap_or_default().reason;
        expect(kept == reason, || format!("the reason on record is {kept:?} instead of {reason:?}"))
    }
}
