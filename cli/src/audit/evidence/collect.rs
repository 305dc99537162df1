//! Takes from each entry what the tables need.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use wfe_core::{
    actor::{Actor, AuthenticationMethod},
    audit::{About, Logged, What},
    event::EventKind,
    execution::StateCode,
    ids::ExecutionId,
};

use super::{Period, When};

/// All that is told of a period.
#[derive(Debug)]
pub(crate) struct Collected {
    period: Period,
    pub(crate) population: Vec<Accepted>,
    pub(crate) clearances: Vec<Deed>,
    pub(crate) refusals: Vec<Deed>,
    pub(crate) denials: Vec<Deed>,
    pub(crate) cancels: Vec<Deed>,
    pub(crate) counts: Counts,
    /// Index in the population.
    known: HashMap<ExecutionId, usize>,
}

/// An execution that was accepted in the period.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// The entry that says so.
    pub(crate) sequence: u64,
    pub(crate) id: ExecutionId,
    pub(crate) about: About,
    pub(crate) actor: Actor,
    pub(crate) at: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    /// Where it stands at the end of the export.
    pub(crate) state: StateCode,
    pub(crate) failure: Option<&'static str>,
}

/// Something that was done or tried in the period, with the columns that are its own.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    pub(crate) about: About,
    pub(crate) own: Vec<String>,
    /// How often, when it is told once for many times.
    pub(crate) times: u64,
}

/// How many entries there are of which kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) before: u64,
    pub(crate) inside: u64,
    pub(crate) after: u64,
    /// Entries that this program does not understand.
    pub(crate) unread: u64,
    /// Entries of the period by what they record.
    pub(crate) kinds: BTreeMap<&'static str, u64>,
    /// Acceptances among them.
    pub(crate) acceptances: u64,
    /// Time of the first entry.
    pub(crate) first: Option<Timestamp>,
}

impl Collected {
    pub(crate) fn of(period: Period) -> Self {
        Self {
            period,
            population: Vec::new(),
            clearances: Vec::new(),
            refusals: Vec::new(),
            denials: Vec::new(),
            cancels: Vec::new(),
            counts: Counts::default(),
            known: HashMap::new(),
        }
    }

    /// Takes note of an entry, in the order of the log.
    pub(crate) fn see(&mut self, text: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<Logged>(text) else {
            self.counts.unread += 1;
            return;
        };
        self.counts.first.get_or_insert(entry.at);
        let when = self.period.place(entry.at);
        match when {
            When::Before => self.counts.before += 1,
            When::After => self.counts.after += 1,
            When::Inside => {
                self.counts.inside += 1;
                *self.counts.kinds.entry(entry.what.as_str()).or_default() += 1;
            }
        }
        self.follow(&entry);
        if when == When::Inside {
            self.keep(entry);
        }
    }

    /// An execution of the period goes on, whenever that is.
    fn follow(&mut self, entry: &Logged) {
        let What::Transition { after, event, .. } = &entry.what else { return };
        let Some(id) = entry.about.execution else { return };
        if matches!(event, EventKind::Accepted) && self.period.place(entry.at) == When::Inside {
            self.counts.acceptances += 1;
            self.known.insert(id, self.population.len());
            self.population.push(Accepted {
                sequence: entry.sequence.0,
                id,
                about: entry.about.clone(),
                actor: entry.actor.clone(),
                at: entry.at,
                started: None,
                ended: None,
                state: *after,
                failure: None,
            });
        }
        let Some(known) = self.known.get(&id).and_then(|index| self.population.get_mut(*index))
        else {
            return;
        };
        known.state = *after;
        match event {
            EventKind::RunCreated { run } => known.started = Some(run.created_at),
            EventKind::Succeeded { ended_at, .. } => known.ended = Some(*ended_at),
            EventKind::Failed { failure, .. } => {
                known.ended = Some(entry.at);
                known.failure = Some(failure.reason.as_str());
            }
            EventKind::Cancelled { .. } => known.ended = Some(entry.at),
            EventKind::Accepted
            | EventKind::Held { .. }
            | EventKind::Admitted { .. }
            | EventKind::Delayed { .. }
            | EventKind::Progressed { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::CancelEscalated { .. }
            | EventKind::DeadlinePassed { .. } => {}
        }
    }

    /// Keeps what a table of its own tells.
    fn keep(&mut self, entry: Logged) {
        let Logged { sequence, at, actor, what, about, .. } = entry;
        let deed = |own: Vec<String>, times: u64| Deed {
            sequence: sequence.0,
            at,
            actor: actor.clone(),
            about: about.clone(),
            own,
            times,
        };
        match &what {
            What::ClearBlock { outcome, reason, ticket } => self.clearances.push(deed(
                vec![outcome.to_string(), reason.to_string(), ticket.clone().unwrap_or_default()],
                1,
            )),
            What::Refused { code, hold, times } => {
                let gate = hold.as_ref().map_or("", |hold| hold.gate().as_str());
                let by = hold.as_ref().and_then(|hold| hold.holder().or(hold.cause()));
                let by = by.map(|id| id.to_string()).unwrap_or_default();
                let (since, until) = (times.since.to_string(), times.until.to_string());
                let own = vec![code.to_string(), gate.to_owned(), by, since, until];
                self.refusals.push(deed(own, times.count));
            }
            What::Denied { method, code, verb, detail, times } => {
                let verb = verb.as_deref().unwrap_or_default().to_owned();
                let (since, until) = (times.since.to_string(), times.until.to_string());
                let own =
                    vec![method.to_string(), code.to_string(), verb, detail.clone(), since, until];
                self.denials.push(deed(own, times.count));
            }
            What::Withdrawn { reason } => {
                self.cancels.push(deed(vec!["request withdrawn".to_owned(), reason.clone()], 1));
            }
            What::CancelIgnored { state, reason, times } => {
                let effect = format!("none: it was {}", state.as_str());
                self.cancels.push(deed(vec![effect, reason.clone()], times.count));
            }
            What::Transition { before, event, .. } => match event {
                EventKind::CancelRequested { cancellation } => {
                    let own = vec!["stopped".to_owned(), cancellation.reason.clone()];
                    self.cancels.push(deed(own, 1));
                }
                EventKind::CancelEscalated { cancellation } => {
                    let effect = format!("made stronger: {}", cancellation.mode.as_str());
                    self.cancels.push(deed(vec![effect, cancellation.reason_now().to_owned()], 1));
                }
                // What waits ends at once, with the same entry.
                EventKind::Cancelled { cancellation, .. }
                    if *before == Some(StateCode::Waiting) =>
                {
                    let own = vec!["stopped while waiting".to_owned(), cancellation.reason.clone()];
                    self.cancels.push(deed(own, 1));
                }
                EventKind::Cancelled { .. }
                | EventKind::Accepted
                | EventKind::Held { .. }
                | EventKind::Admitted { .. }
                | EventKind::Delayed { .. }
                | EventKind::RunCreated { .. }
                | EventKind::Progressed { .. }
                | EventKind::DeadlinePassed { .. }
                | EventKind::Succeeded { .. }
                | EventKind::Failed { .. } => {}
            },
            What::Attached { .. } | What::KeyRotated { .. } | What::Pruned { .. } => {}
        }
    }
}

/// How an identity was established, as it stands in the log.
pub(crate) const fn method(actor: &Actor) -> &'static str {
    match actor.method {
        AuthenticationMethod::None => "none",
        AuthenticationMethod::Token => "token",
        AuthenticationMethod::Certificate => "certificate",
        AuthenticationMethod::Service => "service",
    }
}

/// For whom somebody acted.
pub(crate) fn on_behalf_of(actor: &Actor) -> String {
    actor.on_behalf_of.as_ref().map(|somebody| somebody.user.clone()).unwrap_or_default()
}
