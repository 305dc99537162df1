//! Sending: batches go out, and what became of each is written down. One that is refused falls into parts
//! until the event is alone that is wrong.

use std::collections::VecDeque;

use tokio_util::sync::CancellationToken;
use wfe_datastorage::{Batch, Place, SendOutcome, Window};

use super::{Courier, Hindrance, PAGE};
use crate::{
    delivery::{Input, Trouble},
    store::{Due, Move, ParkReason, Row, Standing, StoreError},
};

/// The smallest limit of a body that is tried.
const SMALLEST_BODY: usize = 64 * 1024;

impl Courier {
    /// Sends what is due. Answers whether there is more to send.
    pub(super) async fn send(&mut self, stopping: &CancellationToken) -> Result<bool, Hindrance> {
        let rows = self.parts.outbox.due(Due::Pending, self.now(), PAGE).await?;
        let (rows, left_behind) = self.park_old(rows).await?;
        if rows.is_empty() {
            return Ok(left_behind);
        }
        // One batch, and what it falls into when there is something wrong with it.
        let mut groups = VecDeque::from([rows]);
        let mut more = false;
        while let Some(mut group) = groups.pop_front() {
            if !self.may_ask(stopping).await? {
                return Ok(false);
            }
            let Some(first) = group.first() else { continue };
            let mut batch = Batch::of(&first.event)?;
            let rest = self.fill(&mut batch, &mut group)?;
            if !rest.is_empty() {
                groups.push_front(rest);
            }
            let outcome = self.send_group(&batch, &group).await?;
            let queued = outcome == SendOutcome::Accepted;
            for part in self.after(&outcome, &batch, group).await?.into_iter().rev() {
                groups.push_front(part);
            }
            more = true;
            if queued {
                // Whether it can store anything is found out by looking for these, before it is given more.
                break;
            }
        }
        Ok(more)
    }

    /// Parks what is too old, and leaves out what is ahead of its time.
    async fn park_old(&mut self, rows: Vec<Row>) -> Result<(Vec<Row>, bool), StoreError> {
        let now = self.now();
        let count = rows.len();
        let (old, rows): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.event.window(now) == Window::TooOld);
        self.moved(old.iter().map(|row| (row, Input::TooOld)).collect()).await?;
        // A clock was set back; what is ahead of it waits without being in the way of others.
        let (rows, ahead): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.event.window(now) == Window::Open);
        let put_off = ahead.iter().filter_map(|row| match row.event.window(now) {
            Window::Ahead(due) => Some(Move::of(row, Some(Standing::Pending { due }))),
            Window::Open | Window::TooOld => None,
        });
        let put_off: Vec<Move> = put_off.collect();
        self.parts.outbox.move_rows(&put_off, now).await?;
        let left_behind = rows.len() < count;
        Ok((rows, left_behind))
    }

    /// Fills a batch that holds the first of `rows`. Answers those that are left over.
    fn fill(&self, batch: &mut Batch, rows: &mut Vec<Row>) -> Result<Vec<Row>, serde_json::Error> {
        let mut taken = 1;
        for row in &rows[1..] {
            match batch.push(&row.event, self.policy.limits)? {
                Place::Taken => taken += 1,
                Place::Full | Place::Behind => break,
            }
        }
        Ok(rows.split_off(taken))
    }

    async fn send_group(
        &mut self,
        batch: &Batch,
        group: &[Row],
    ) -> Result<SendOutcome, StoreError> {
        self.moved(group.iter().map(|row| (row, Input::Begin)).collect()).await?;
        let outcome = self.asked(self.client().send(batch)).await;
        self.parts.metrics.delivery_request(&outcome);
        Ok(outcome)
    }

    /// Writes down what became of a batch. Answers the parts of it that are to be sent by themselves.
    async fn after(
        &mut self,
        outcome: &SendOutcome,
        batch: &Batch,
        mut group: Vec<Row>,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        let now = self.now();
        for row in &mut group {
            row.standing = Standing::Sending { since: now };
        }
        let alone = group.len() == 1;
        let input = match outcome {
            SendOutcome::Stored => Input::Stored,
            SendOutcome::Accepted => Input::Queued,
            SendOutcome::Doubtful(_) => Input::Doubt,
            SendOutcome::Invalid { detail, .. } if alone => {
                Input::Refused(ParkReason::Invalid, detail.clone())
            }
            SendOutcome::TooLarge if alone => {
                let bytes = batch.body().len();
                let problem = format!("its body of {bytes} bytes is larger than is taken");
                Input::Refused(ParkReason::TooLarge, problem)
            }
            SendOutcome::Invalid { .. }
            | SendOutcome::TooLarge
            | SendOutcome::Unauthorized(_)
            | SendOutcome::Forbidden(_)
            | SendOutcome::RateLimited { .. }
            | SendOutcome::Unavailable(_) => Input::NotStored,
        };
        self.moved(group.iter().map(|row| (row, input.clone())).collect()).await?;
        for row in &mut group {
            row.standing = Standing::Pending { due: now };
        }
        match outcome {
            SendOutcome::Stored => self.steady(),
            SendOutcome::Accepted => {}
            SendOutcome::Invalid { index, .. } => {
                self.steady();
                return Ok(split(group, *index));
            }
            SendOutcome::TooLarge => {
                self.steady();
                let smaller = (batch.body().len() / 2).max(SMALLEST_BODY);
                self.policy.limits.bytes = self.policy.limits.bytes.min(smaller);
                return Ok(split(group, None));
            }
            SendOutcome::Unauthorized(said) => self.in_trouble(Trouble::Unauthorized, said, None),
            SendOutcome::Forbidden(said) => self.in_trouble(Trouble::Forbidden, said, None),
            SendOutcome::RateLimited { after } => {
                self.in_trouble(Trouble::RateLimited, "it is asked too often", Some(*after));
            }
            SendOutcome::Unavailable(said) => self.in_trouble(Trouble::Unavailable, said, None),
            SendOutcome::Doubtful(said) => self.in_trouble(Trouble::Unsure, said, None),
        }
        Ok(Vec::new())
    }
}

/// The parts of a batch in which something is wrong: the one that was named and the others, or halves.
fn split(mut group: Vec<Row>, named: Option<usize>) -> Vec<Vec<Row>> {
    if group.len() < 2 {
        return Vec::new();
    }
    if let Some(index) = named.filter(|index| *index < group.len()) {
        let named = group.remove(index);
        return vec![vec![named], group];
    }
    let second = group.split_off(group.len() / 2);
    vec![group, second]
}
