//! The part of a server that has the log signed in time: one process at a time, by lease.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use wfe_audit::checkpoint::Checkpoint;
use wfe_core::audit::Position;
use wfe_runtime::error::chain;

pub use super::plan::Timing;
use super::{
    doubt,
    outside::OutsideError,
    plan::{LOOK, Leftovers, Place, Situation, Step, Trust, plan, prune_limit, worth_pruning},
    sealer::{Look, SealError, Sealer},
    status::PlaceReport,
};
use crate::{
    metrics::{AuditWork, Metrics},
    notify::Notifier,
    store::{StoreError, Tenure},
};

/// The lease of the process that signs.
const LEASE: &str = "audit";

/// How long it lasts; renewed in its last two thirds.
const LEASE_TIME: Duration = Duration::from_secs(30);

/// So much news is looked at together.
const GATHER: Duration = Duration::from_millis(250);

/// A place outside is waited for this long. Signing waits meanwhile, and so does the end of a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many rows are deleted in one transaction.
const SWEEP: u32 = 500;

/// Who still needs entries of the log.
#[async_trait]
pub trait Needs: Send + Sync + 'static {
    /// After which place everything is still needed; `None` when nothing is.
    async fn needed_after(&self) -> Result<Option<Position>, StoreError>;
}

/// Nobody needs what is old enough.
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingNeeded;

#[async_trait]
impl Needs for NothingNeeded {
    async fn needed_after(&self) -> Result<Option<Position>, StoreError> {
        Ok(None)
    }
}

/// Has the log signed, brings checkpoints outside, and lets go of what is old enough.
pub struct Auditor {
    sealer: Arc<Sealer>,
    notifier: Arc<Notifier>,
    needs: Arc<dyn Needs>,
    metrics: Metrics,
    timing: Timing,
    /// Names the process.
    holder: String,
}

/// What an auditor remembers from one look to the next.
pub(super) struct Memory {
    tenure: Tenure,
    places: Vec<Place>,
    /// Which of them were compared with the log.
    compared: Vec<bool>,
    shaken: Option<Timestamp>,
    leftovers: Leftovers,
    /// When it was looked for something to prune.
    looked_for_old: Option<Timestamp>,
    behind: Vec<Option<Timestamp>>,
}

impl Auditor {
    /// Puts the parts together. `holder` names the process, and no other one.
    pub fn new(
        sealer: Arc<Sealer>,
        notifier: Arc<Notifier>,
        needs: Arc<dyn Needs>,
        metrics: Metrics,
        timing: Timing,
        holder: String,
    ) -> Self {
        Self { sealer, notifier, needs, metrics, timing, holder }
    }

    /// What it remembers before the first look.
    pub(super) fn memory(&self) -> Memory {
        let renewed_below = LEASE_TIME * 2 / 3;
        let tenure = Tenure::new(LEASE, self.holder.clone(), LEASE_TIME, renewed_below);
        Memory::new(tenure, self.sealer.places().len())
    }

    /// Works until `stopping`, and signs what is there then.
    pub async fn run(self, stopping: CancellationToken) {
        let mut news = self.notifier.subscribe_log();
        let mut memory = self.memory();
        loop {
            let rest = self.round(&mut memory, &stopping).await;
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                () = tokio::time::sleep(rest) => {}
                _ = news.changed() => {
                    tokio::select! {
                        biased;
                        () = stopping.cancelled() => break,
                        () = tokio::time::sleep(GATHER) => {}
                    }
                }
            }
        }
        self.leave(&mut memory).await;
    }

    /// Does what there is to do. Answers how long there is nothing more.
    async fn round(&self, memory: &mut Memory, stopping: &CancellationToken) -> Duration {
        loop {
            match self.step(memory).await {
                Ok(Some(rest)) => return rest,
                Ok(None) if stopping.is_cancelled() => return Duration::ZERO,
                Ok(None) => {}
                Err(Failed { work, error }) => {
                    self.metrics.audit_failed(work);
                    let error = format!("{}: {}", work.as_str(), chain(&error));
                    tracing::warn!(error, "the log is not looked after now");
                    self.sealer.status().set_failure(Some(error));
                    return LOOK;
                }
            }
        }
    }

    /// One step. `None` when there may be more to do.
    pub(super) async fn step(&self, memory: &mut Memory) -> Result<Option<Duration>, Failed> {
        let now = self.sealer.clock().now();
        let mine = memory.tenure.hold(self.sealer.store(), now).await;
        let mine = mine.map_err(Failed::of(AuditWork::Lease))?;
        let look = self.sealer.look().await.map_err(Failed::of(AuditWork::Read))?;
        self.tell(memory, &look, now);
        self.sealer.status().set_failure(memory.trouble(&self.sealer));
        if !mine {
            return Ok(Some(LOOK));
        }
        let prunable = self.prunable(memory, &look, now).await;
        let prunable = prunable.map_err(Failed::of(AuditWork::Prune))?;
        let situation = Situation {
            now,
            head: look.view.log.head.sequence,
            last: &look.last,
            trust: match (&look.doubt, memory.shaken) {
                (Some(_), _) => Trust::Lost,
                (None, Some(at)) => Trust::Shaken(at),
                (None, None) => Trust::Sound,
            },
            places: &memory.places,
            prunable,
            leftovers: memory.leftovers,
        };
        match plan(&situation, &self.timing) {
            Step::Rest(rest) => return Ok(Some(rest)),
            Step::Refuse => {
                memory.shaken = memory.shaken.or(Some(now));
                return Ok(Some(LOOK));
            }
            Step::Sign => self.sign(memory, now).await?,
            Step::Publish(number) => self.publish(memory, number, &look.last, now).await?,
            Step::Prune(through) => {
                let pruned = self.sealer.store().prune(through, now).await;
                let log = pruned.map_err(Failed::of(AuditWork::Prune))?;
                tracing::info!(through = log.base.sequence.0, "old entries of the log are pruned");
                memory.leftovers = Leftovers::MayBe;
                self.notifier.recorded();
            }
            Step::Sweep => {
                let gone = self.sealer.store().sweep(SWEEP).await;
                if gone.map_err(Failed::of(AuditWork::Prune))? == 0 {
                    memory.leftovers = Leftovers::Gone;
                }
            }
        }
        Ok(None)
    }

    async fn sign(&self, memory: &mut Memory, now: Timestamp) -> Result<(), Failed> {
        match self.sealer.seal().await {
            Ok(_) => memory.shaken = None,
            Err(SealError::Doubt(_)) => memory.shaken = Some(now),
            Err(SealError::Store(error)) => return Err(Failed::of(AuditWork::Sign)(error)),
        }
        Ok(())
    }

    /// Brings a checkpoint to a place. What is there already must fit the log: it may know better.
    async fn publish(
        &self,
        memory: &mut Memory,
        number: usize,
        last: &Checkpoint,
        now: Timestamp,
    ) -> Result<(), Failed> {
        let (Some(place), Some(state), Some(compared)) = (
            self.sealer.places().get(number),
            memory.places.get_mut(number),
            memory.compared.get_mut(number),
        ) else {
            return Ok(());
        };
        let kept = async {
            if !*compared && let Some(newest) = place.newest().await? {
                let view = self.sealer.store().sealed(newest.sequence).await;
                let Ok(view) = view else { return Ok(Kept::NotNow) };
                if let Some(doubt) = doubt::of_checkpoint(&newest, &view.log, view.hash) {
                    return Ok(Kept::Doubtful(doubt));
                }
                if newest.sequence >= last.sequence {
                    return Ok(Kept::Until(newest.sequence));
                }
            }
            place.keep(last, &self.sealer.public()).await?;
            Ok::<_, OutsideError>(Kept::Until(last.sequence))
        };
        let kept = tokio::time::timeout(PATIENCE, kept).await.unwrap_or(Ok(Kept::NotNow));
        match kept {
            Ok(Kept::Until(signed)) => {
                *compared = true;
                state.kept(signed, now, place.pause());
            }
            Ok(Kept::NotNow) => {
                self.metrics.audit_failed(AuditWork::of_place(place.kind()));
                tracing::warn!(place = place.name(), "a checkpoint is not kept outside yet");
                state.failed(now);
            }
            Ok(Kept::Doubtful(doubt)) => {
                let (place, remedy) = (place.name(), place.remedy());
                tracing::error!(%doubt, place, remedy, "a checkpoint outside does not fit the log");
                self.sealer.refuse(doubt);
                state.failed(now);
            }
            Err(error) => {
                self.metrics.audit_failed(AuditWork::of_place(place.kind()));
                let (place, error) = (place.name(), chain(&error));
                tracing::warn!(place, error, "a checkpoint is not kept outside yet");
                state.failed(now);
            }
        }
        Ok(())
    }

    /// The entry after which the log may begin.
    async fn prunable(
        &self,
        memory: &mut Memory,
        look: &Look,
        now: Timestamp,
    ) -> Result<Option<Position>, StoreError> {
        let Some(retention) = self.timing.retention else { return Ok(None) };
        let again = memory.looked_for_old.and_then(|at| at.checked_add(self.timing.interval).ok());
        if again.is_some_and(|again| now < again) {
            return Ok(None);
        }
        let needed = self.needs.needed_after().await?;
        let Some((at, place)) = prune_limit(now, &self.timing, &memory.places, needed) else {
            return Ok(None);
        };
        memory.looked_for_old = Some(now);
        let candidate = self.sealer.store().checkpoint_before(at, place).await?;
        let base = look.view.base.as_ref().filter(|base| base.sequence > Position(0));
        Ok(candidate.and_then(|candidate| worth_pruning(&candidate, base, retention)))
    }

    /// Tells how far everything is.
    fn tell(&self, memory: &mut Memory, look: &Look, now: Timestamp) {
        let head = look.view.log.head.sequence;
        let outside = self.sealer.places().iter().zip(&memory.places);
        let outside = outside.map(|(place, state)| (place.kind(), state.signed));
        let signed = std::iter::once(("database", Some(look.last.sequence))).chain(outside);
        let reports = signed.zip(&mut memory.behind).map(|((kind, signed), behind)| {
            *behind = if signed >= Some(head) { None } else { behind.or(Some(now)) };
            PlaceReport { kind, signed, behind_since: *behind }
        });
        let reports = reports.collect();
        self.sealer.status().set_places(head, reports);
    }

    /// Signs what is there, and lets another process go on.
    async fn leave(&self, memory: &mut Memory) {
        if !memory.tenure.is_held() {
            return;
        }
        let now = self.sealer.clock().now();
        match self.sealer.seal().await {
            Ok(last) => {
                for number in 0..memory.places.len() {
                    if memory.places.get(number).is_some_and(|p| p.signed < Some(last.sequence)) {
                        // Told in there.
                        drop(self.publish(memory, number, &last, now).await);
                    }
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "the log is not signed at the end"),
        }
        if let Err(error) = memory.tenure.release(self.sealer.store(), now).await {
            tracing::debug!(error = chain(&error), "the lease of the auditor runs out by itself");
        }
    }
}

impl Memory {
    fn new(tenure: Tenure, places: usize) -> Self {
        Self {
            tenure,
            places: vec![Place::default(); places],
            compared: vec![false; places],
            shaken: None,
            leftovers: Leftovers::MayBe,
            looked_for_old: None,
            behind: vec![None; places + 1],
        }
    }

    /// Which places cannot be reached.
    fn trouble(&self, sealer: &Sealer) -> Option<String> {
        let failing = sealer.places().iter().zip(&self.places).find(|(_, p)| p.failures > 0);
        failing.map(|(place, _)| format!("checkpoints do not reach {}", place.name()))
    }
}

/// What a place keeps.
enum Kept {
    /// A checkpoint of this entry.
    Until(Position),
    /// One that does not fit the log.
    Doubtful(doubt::Doubt),
    /// That could not be told.
    NotNow,
}

/// Something could not be done.
#[derive(Debug)]
pub(super) struct Failed {
    work: AuditWork,
    error: StoreError,
}

impl Failed {
    fn of(work: AuditWork) -> impl Fn(StoreError) -> Self {
        move |error| Self { work, error }
    }
}
