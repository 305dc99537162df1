//! Who tries the same again and again is on record once, and then summed up.
//!
//! Bounded in every direction, so that who hammers can neither fill the log nor the memory: of one
//! caller at most [`MAX_SUBJECTS`] different targets are told apart for each code, and at most
//! [`MAX_CALLERS`] callers; what goes beyond is counted together.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{Actor, Record, Try, tries::Matter};

/// So many different targets, requests or calls of one caller are told apart for each code.
pub const MAX_SUBJECTS: usize = 16;

/// So many callers are told apart: of those who are known, and of those who are not.
pub const MAX_CALLERS: usize = 1_000;

/// Counts tries. The first of its kind opens an interval; what follows in it is counted only.
#[derive(Debug)]
pub struct Tally {
    interval: SignedDuration,
    open: HashMap<Key, Open>,
    /// Open intervals, in the order in which they were opened.
    order: VecDeque<(Timestamp, Key)>,
    /// How many intervals are open of each caller who is told apart.
    callers: HashMap<Arc<Actor>, usize>,
    /// How many of these are unknown.
    unknown: usize,
    /// How many different things each of them tried.
    subjects: HashMap<(Arc<Actor>, Matter), usize>,
}

/// What is counted together. `None` is all that is not told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    caller: Option<Arc<Actor>>,
    matter: Matter,
    subject: Option<String>,
}

#[derive(Debug)]
struct Open {
    /// What came after the first one.
    more: Option<Try>,
    /// Whether the next try counts as the first, because that one was not written.
    vacant: bool,
}

/// What a try is.
#[derive(Debug)]
#[must_use]
pub enum Counted {
    /// The first of its kind: to be put on record at once.
    First(Box<First>),
    /// One more, which was counted.
    More,
}

/// The first try of an interval.
#[derive(Debug)]
pub struct First {
    key: Key,
    tried: Try,
}

/// What becomes of a first try that could not be put on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritten {
    /// It did not happen: the next one is the first.
    TakeBack,
    /// It happened: it is counted with those after it.
    Count,
}

/// Which intervals are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Those that are over.
    Over,
    /// All.
    All,
}

/// What was counted in an interval that is closed.
#[derive(Debug)]
pub struct Sum {
    key: Key,
    tried: Try,
}

impl First {
    /// To be put on record.
    pub fn record(&self) -> Record {
        self.tried.clone().into_record()
    }
}

impl Sum {
    /// To be put on record.
    pub fn record(&self) -> Record {
        self.tried.clone().into_record()
    }
}

impl Tally {
    /// Counts nothing yet. An interval lasts this long.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: SignedDuration::try_from(interval).unwrap_or(SignedDuration::MAX),
            open: HashMap::new(),
            order: VecDeque::new(),
            callers: HashMap::new(),
            unknown: 0,
            subjects: HashMap::new(),
        }
    }

    /// Counts a try.
    pub fn count(&mut self, tried: Try) -> Counted {
        let key = self.key_of(&tried);
        match self.open.get_mut(&key) {
            Some(Open { vacant: vacant @ true, .. }) => {
                *vacant = false;
                Counted::First(Box::new(First { key, tried }))
            }
            Some(open) => {
                open.add(tried);
                Counted::More
            }
            None => {
                self.begin(key.clone(), tried.at(), None);
                Counted::First(Box::new(First { key, tried }))
            }
        }
    }

    /// A first try could not be put on record.
    pub fn unwritten(&mut self, first: First, then: Unwritten) {
        let First { key, tried } = first;
        match (then, self.open.get_mut(&key)) {
            (Unwritten::TakeBack, Some(open)) => open.vacant = true,
            (Unwritten::TakeBack, None) => {}
            (Unwritten::Count, Some(open)) => open.add(tried),
            (Unwritten::Count, None) => self.begin(key, tried.at(), Some(tried)),
        }
    }

    /// Closes intervals, and answers what was counted in them, in the order in which they began.
    pub fn close(&mut self, due: Due, now: Timestamp) -> Vec<Sum> {
        let mut sums = Vec::new();
        while let Some((since, _)) = self.order.front() {
            let age = now.duration_since(*since);
            // A clock that was set back must not keep an interval open.
            let over = age >= self.interval || age.is_negative();
            if due == Due::Over && !over {
                break;
            }
            let Some((_, key)) = self.order.pop_front() else { break };
            if let Some(tried) = self.end(&key) {
                sums.push(Sum { key, tried: tried.told(now) });
            }
        }
        sums
    }

    /// What was closed could not be put on record: it is counted on.
    pub fn reopen(&mut self, sums: Vec<Sum>, now: Timestamp) {
        for Sum { key, tried } in sums {
            match self.open.get_mut(&key) {
                Some(open) => open.add(tried),
                None => self.begin(key, now, Some(tried)),
            }
        }
    }

    /// How many intervals are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn key_of(&self, tried: &Try) -> Key {
        let matter = tried.matter();
        let actor = tried.actor();
        let caller = match self.callers.get_key_value(actor) {
            Some((known, _)) => Some(Arc::clone(known)),
            None => self.has_room(actor).then(|| Arc::new(actor.clone())),
        };
        let Some(caller) = caller else { return Key { caller: None, matter, subject: None } };
        // Of somebody unknown nothing is sure but the address.
        let limit = if actor.is_unknown() { 0 } else { MAX_SUBJECTS };
        let mut key =
            Key { caller: Some(Arc::clone(&caller)), matter, subject: Some(tried.subject()) };
        if !self.open.contains_key(&key) {
            let told = self.subjects.get(&(caller, key.matter.clone())).copied().unwrap_or(0);
            key.subject = key.subject.filter(|_| told < limit);
        }
        key
    }

    /// Whether one more caller like this is told apart.
    fn has_room(&self, actor: &Actor) -> bool {
        let told =
            if actor.is_unknown() { self.unknown } else { self.callers.len() - self.unknown };
        told < MAX_CALLERS
    }

    fn begin(&mut self, key: Key, since: Timestamp, more: Option<Try>) {
        if let Some(caller) = &key.caller {
            match self.callers.entry(Arc::clone(caller)) {
                hash_map::Entry::Occupied(mut open) => *open.get_mut() += 1,
                hash_map::Entry::Vacant(none) => {
                    none.insert(1);
                    self.unknown += usize::from(caller.is_unknown());
                }
            }
            if key.subject.is_some() {
                *self.subjects.entry((Arc::clone(caller), key.matter.clone())).or_default() += 1;
            }
        }
        self.order.push_back((since, key.clone()));
        self.open.insert(key, Open { more, vacant: false });
    }

    /// Answers what came after the first one.
    fn end(&mut self, key: &Key) -> Option<Try> {
        let more = self.open.remove(key)?.more;
        let Some(caller) = &key.caller else { return more };
        if one_less(&mut self.callers, caller) {
            self.unknown -= usize::from(caller.is_unknown());
        }
        if key.subject.is_some() {
            one_less(&mut self.subjects, &(Arc::clone(caller), key.matter.clone()));
        }
        more
    }
}

impl Open {
    fn add(&mut self, tried: Try) {
        self.more = Some(match self.more.take() {
            Some(before) => before.and(tried),
            None => tried,
        });
    }
}

/// Counts down, and forgets what is at zero. Answers whether it was.
fn one_less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    let gone = *count == 0;
    if gone {
        counts.remove(key);
    }
    gone
}

#[cfg(test)]
mod tests;
