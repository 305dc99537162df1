//! Two bridges decide about one object, with a service and an API server that are played here. Every step may fail, be
//! late, or be lost with its bridge.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    /// A bridge sees the object as it is.
    See(usize),
    /// A bridge hears the next thing of the service.
    Hear(usize),
    /// A bridge takes its next step.
    Step(usize),
    /// The same, but it dies before it learns what came of it.
    StepAndDie(usize),
    /// A bridge dies and starts again.
    Die(usize),
    /// The execution goes on.
    Progress,
    /// The service goes away or comes back.
    Outage,
    /// Somebody changes the object's metadata.
    Annotate,
    /// Somebody deletes the object.
    Delete,
    /// Somebody asks for the block to be cleared: through the webhook, or past it.
    AskForClearance(Way),
    /// Somebody asks for the end: through the webhook, or past it.
    AskForEnd(Way),
    /// Somebody has the block cleared by a call.
    ClearByCall,
    /// Time passes.
    Wait,
}

/// How a request comes into a status.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Webhook,
    Forged,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![4 => Just(Way::Webhook), 1 => Just(Way::Forged)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..2_usize).prop_map(Act::See),
        6 => (0..2_usize).prop_map(Act::Hear),
        12 => (0..2_usize).prop_map(Act::Step),
        2 => (0..2_usize).prop_map(Act::StepAndDie),
        1 => (0..2_usize).prop_map(Act::Die),
        4 => Just(Act::Progress),
        1 => Just(Act::Outage),
        1 => Just(Act::Annotate),
        1 => Just(Act::Delete),
        2 => way().prop_map(Act::AskForClearance),
        1 => way().prop_map(Act::AskForEnd),
        1 => Just(Act::ClearByCall),
        3 => Just(Act::Wait),
    ]
}

/// The service's record of the request.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    Nothing,
    Withdrawn,
    Execution(Box<Execution>),
}

struct World {
    now: Timestamp,
    object: Option<Object>,
    service: Known,
    /// The states that the execution had, by revision from 1 on.
    history: Vec<State>,
    available: bool,
    /// The target is held by another when a request comes.
    locked: bool,
    when_locked: WhenLocked,
    bridges: [Bridge; 2],
    /// What the Kubernetes events tell: revisions.
    notes: BTreeSet<i64>,
    /// Every status that was there, as rank of its phase and revision.
    shown: Vec<(u8, i64)>,
    starts_after_withdrawal: usize,
    /// How runs end.
    end: State,
    /// Whether the failure blocks the target.
    blocks: bool,
    /// What came of requests.
    settled: Vec<(Wish, Outcome)>,
    /// Sealed requests that were made.
    asked_for_clearance: usize,
    asked_for_end: usize,
    /// Blocks that were cleared, and ends that were asked for, by calls of bridges.
    cleared: usize,
    stopped: usize,
}

#[derive(Clone)]
struct Bridge {
    object: Option<Object>,
    gone_since: Option<Timestamp>,
    record: Record,
    recorded_at: Timestamp,
    noted: i64,
    following: bool,
    failed_until: Option<(Timestamp, Timestamp)>,
    shown_at: Option<Timestamp>,
    refused: Option<Refused>,
}

impl Bridge {
    fn new(object: Option<&Object>, now: Timestamp) -> Self {
        let shown = object.and_then(|object| object.status.as_ref().ok()?.execution_revision);
        Self {
            object: object.cloned(),
            gone_since: object.is_none().then_some(now),
            record: Record::NotAsked,
            recorded_at: now,
            noted: shown.unwrap_or(0),
            following: false,
            failed_until: None,
            shown_at: None,
            refused: None,
        }
    }

    fn learn(&mut self, record: Record, now: Timestamp) {
        self.failed_until = None;
        if let (Record::Execution(known), Record::Execution(told)) = (&self.record, &record)
            && known.revision > told.revision
        {
            return;
        }
        let is_known = matches!(self.record, Record::Execution(_));
        let shown = self.object.as_ref().and_then(|object| object.status.as_ref().ok());
        if !is_known && shown.is_none_or(|status| status.execution_id.is_none()) {
            self.noted = 0;
        }
        self.record = record;
        self.recorded_at = now;
    }
}

fn rank(phase: Option<&Phase>) -> u8 {
    match phase {
        None => 0,
        Some(Phase::Pending) => 1,
        Some(Phase::Running) => 2,
        Some(Phase::Completed | Phase::Failed | Phase::Other(_)) => 3,
    }
}

impl World {
    fn new(locked: bool, when_locked: WhenLocked, end: State, blocks: bool) -> Self {
        let (object, now) = (mk_object(), at(0));
        let bridges = [Bridge::new(Some(&object), now), Bridge::new(Some(&object), now)];
        Self {
            now,
            object: Some(object),
            service: Known::Nothing,
            history: Vec::new(),
            available: true,
            locked,
            when_locked,
            bridges,
            notes: BTreeSet::new(),
            shown: Vec::new(),
            starts_after_withdrawal: 0,
            end,
            blocks,
            settled: Vec::new(),
            asked_for_clearance: 0,
            asked_for_end: 0,
            cleared: 0,
            stopped: 0,
        }
    }

    fn enter(&mut self, state: State) {
        self.history.push(state);
        let revision = i64::try_from(self.history.len()).unwrap();
        self.service = Known::Execution(Box::new(mk_execution(state, revision)));
    }

    fn act(&mut self, act: Act) {
        self.now += Duration::from_millis(100);
        match act {
            Act::See(who) => {
                let (now, object) = (self.now, self.object.clone());
                let bridge = &mut self.bridges[who];
                if object.is_none() {
                    bridge.gone_since.get_or_insert(now);
                }
                bridge.object = object.or(bridge.object.take());
            }
            Act::Hear(who) => self.hear(who),
            Act::Step(who) => self.step(who),
            Act::StepAndDie(who) => {
                self.step(who);
                self.act(Act::Die(who));
            }
            Act::Die(who) => self.bridges[who] = Bridge::new(self.object.as_ref(), self.now),
            Act::Progress => self.progress(),
            Act::Outage => self.available = !self.available,
            Act::Annotate => self.change(|_| {}),
            Act::Delete => {
                let now = self.now;
                self.change(|object| object.deletion = object.deletion.or(Some(now)));
            }
            Act::AskForClearance(way) => self.ask_for_clearance(way),
            Act::AskForEnd(way) => self.ask_for_end(way),
            Act::ClearByCall => {
                if self.available {
                    self.clear(mk_clearance("bob", None));
                }
            }
            Act::Wait => self.now += Duration::from_secs(2),
        }
    }

    /// Changes the object; one that is being deleted and that nobody holds is gone.
    fn change(&mut self, change: impl FnOnce(&mut Object)) {
        let Some(object) = &mut self.object else { return };
        change(object);
        object.version += 1;
        if object.deletion.is_some() && object.finalizers.is_empty() {
            self.object = None;
        }
    }

    fn progress(&mut self) {
        let Known::Execution(execution) = &self.service else { return };
        match execution.state() {
            State::Waiting => self.enter(State::Starting),
            State::Starting => self.enter(State::Running),
            State::Running => self.enter(self.end),
            State::Cancelling => self.enter(State::Cancelled),
            State::Unspecified | State::Succeeded | State::Failed | State::Cancelled => {}
        }
    }

    /// The next event of the execution, or what is over.
    fn hear(&mut self, who: usize) {
        let bridge = &mut self.bridges[who];
        if !bridge.following {
            return;
        }
        if !self.available {
            bridge.following = false;
            bridge.failed_until = Some((self.now, self.now + Duration::from_secs(1)));
            return;
        }
        let next = bridge.noted + 1;
        let Some(state) = usize::try_from(next - 1).ok().and_then(|n| self.history.get(n)) else {
            return;
        };
        // Not every bridge lives to see what its event became: the name is the same each time.
        self.notes.insert(next);
        let now = self.now;
        bridge.noted = next;
        bridge.learn(Record::Execution(Box::new(mk_execution(*state, next))), now);
        if matches!(state, State::Succeeded | State::Failed | State::Cancelled) {
            bridge.following = false;
        }
    }

    fn step(&mut self, who: usize) {
        let now = self.now;
        let bridge = &self.bridges[who];
        let trouble = mk_trouble();
        let situation = Situation {
            object: if bridge.gone_since.is_some() { None } else { bridge.object.as_ref() },
            gone_since: bridge.gone_since,
            record: &bridge.record,
            recorded_at: bridge.recorded_at,
            noted: bridge.noted,
            following: bridge.following,
            holder: None,
            server: bridge.failed_until.map(|(since, until)| Setback {
                trouble: &trouble,
                since,
                until,
            }),
            writes_from: None,
            shown_at: bridge.shown_at,
            seals: &mk_seals(),
            refused: bridge.refused.as_ref(),
        };
        let policy = Policy { when_locked: self.when_locked, ..POLICY };
        match decide(&situation, &policy, now) {
            Step::Rest(_) | Step::Done | Step::FindHolder(_) => {}
            Step::Refuse(refusal) => panic!("nothing is wrong with it: {refusal:?}"),
            Step::AddFinalizer => {
                self.write(who, |object| object.finalizers.push(FINALIZER.to_owned()));
            }
            Step::Show(status) => {
                let key = (rank(status.phase.as_ref()), status.execution_revision.unwrap_or(0));
                // An apply leaves alone what others have written.
                if self.write(who, |object| {
                    let theirs = object.status.clone().unwrap_or_default();
                    object.status = Ok(WorkflowExecutionStatus {
                        block_clearance_request: theirs.block_clearance_request,
                        cancel_request: theirs.cancel_request,
                        ..*status
                    });
                }) {
                    self.shown.push(key);
                    self.bridges[who].shown_at = Some(now);
                }
            }
            Step::Release(how) => {
                assert_eq!(how, Released::Settled, "nothing here takes ten minutes");
                self.write(who, |object| object.finalizers.clear());
            }
            Step::Settle(wish, outcome) => {
                let removed = self.write(who, |object| {
                    let mut status = object.status.clone().unwrap();
                    match wish {
                        Wish::Clearance => status.block_clearance_request = None,
                        Wish::Cancel => status.cancel_request = None,
                    }
                    object.status = Ok(status);
                });
                if removed {
                    self.settled.push((wish, outcome));
                }
            }
            step => self.call(who, &step),
        }
    }

    /// As the webhook does it, or somebody who went past it.
    fn ask_for_clearance(&mut self, way: Way) {
        let Some(status) = self.object.as_ref().map(|object| object.status.clone().unwrap()) else {
            return;
        };
        let may = status.phase == Some(Phase::Failed)
            && status.execution_id.is_some()
            && status.block_clearance.is_none()
            && status.block_clearance_request.is_none();
        let request = match way {
            Way::Webhook if !may => return,
            Way::Webhook => {
                self.asked_for_clearance += 1;
                mk_sealed_clearance(status.execution_id.as_deref().unwrap())
            }
            // Whoever writes past the webhook may also take away what others have asked for.
            Way::Forged if status.block_clearance_request.is_some() => return,
            Way::Forged => mk_forged_clearance(),
        };
        self.change(|object| {
            let block_clearance_request = Some(request);
            object.status = Ok(WorkflowExecutionStatus { block_clearance_request, ..status });
        });
    }

    fn ask_for_end(&mut self, way: Way) {
        let Some(status) = self.object.as_ref().map(|object| object.status.clone().unwrap()) else {
            return;
        };
        let request = match way {
            Way::Webhook if is_final(&status) || status.cancel_request.is_some() => return,
            Way::Webhook => {
                self.asked_for_end += 1;
                mk_sealed_cancel()
            }
            Way::Forged => CancelRequest { seal: None, ..mk_sealed_cancel() },
        };
        self.change(|object| {
            object.status = Ok(WorkflowExecutionStatus { cancel_request: Some(request), ..status });
        });
    }

    /// Whether there was a block to clear.
    fn clear(&mut self, clearance: v1::Clearance) -> bool {
        let Known::Execution(execution) = &mut self.service else { return false };
        let blocked =
            self.blocks && execution.state() == State::Failed && execution.clearance.is_none();
        if blocked {
            execution.clearance = Some(clearance);
        }
        blocked
    }

    /// A write to the object as the bridge saw it; a bridge that is late reads it again.
    fn write(&mut self, who: usize, change: impl FnOnce(&mut Object)) -> bool {
        let seen = self.bridges[who].object.as_ref().map(|object| object.version);
        let is_current = self.object.as_ref().map(|object| object.version) == seen;
        if is_current {
            self.change(change);
        }
        self.act(Act::See(who));
        is_current
    }

    fn call(&mut self, who: usize, step: &Step) {
        let now = self.now;
        if !self.available {
            let since = self.bridges[who].failed_until.map_or(now, |(since, _)| since);
            self.bridges[who].failed_until = Some((since, now + Duration::from_secs(1)));
            return;
        }
        let seen = self.bridges[who].object.as_ref().map_or(0, |object| object.version);
        let record = match step {
            Step::Follow(_) => {
                self.bridges[who].following = true;
                return;
            }
            Step::Start(_) => self.start(seen),
            Step::Clear(request) => {
                assert_eq!(request.expected_execution_id, "e");
                let somebody = request.on_behalf_of.clone();
                let clearance = v1::Clearance {
                    reason: request.reason.clone(),
                    ..mk_clearance("bridge", somebody)
                };
                if self.clear(clearance) {
                    self.cleared += 1;
                } else {
                    let status = self.bridges[who].object.as_ref().unwrap().status.clone().unwrap();
                    let seal = status.block_clearance_request.unwrap().seal.unwrap();
                    let why = "nothing is blocked".to_owned();
                    self.bridges[who].refused = Some(Refused { seal, why });
                }
                self.record(seen)
            }
            Step::Stop(request) => {
                assert_eq!(request.on_behalf_of.as_ref().unwrap().user, "orchestrator");
                self.stopped += 1;
                self.withdraw();
                self.record(seen)
            }
            Step::Withdraw => {
                self.withdraw();
                self.record(seen)
            }
            Step::Ask => match self.record(seen) {
                // The service has no execution of a request that was withdrawn.
                Record::Withdrawn => Record::None { version: seen },
                record => record,
            },
            step => panic!("{step:?} is no call"),
        };
        self.bridges[who].learn(record, now);
    }

    fn record(&self, seen: Version) -> Record {
        match &self.service {
            Known::Nothing => Record::None { version: seen },
            Known::Withdrawn => Record::Withdrawn,
            Known::Execution(execution) => Record::Execution(execution.clone()),
        }
    }

    fn withdraw(&mut self) {
        match &self.service {
            Known::Nothing => self.service = Known::Withdrawn,
            Known::Withdrawn => {}
            Known::Execution(execution) => match execution.state() {
                State::Waiting => self.enter(State::Cancelled),
                State::Starting | State::Running => self.enter(State::Cancelling),
                State::Unspecified
                | State::Cancelling
                | State::Succeeded
                | State::Failed
                | State::Cancelled => {}
            },
        }
    }

    fn start(&mut self, seen: Version) -> Record {
        match (&self.service, self.when_locked) {
            (Known::Execution(_), _) => {}
            (Known::Withdrawn, _) => self.starts_after_withdrawal += 1,
            (Known::Nothing, WhenLocked::Reject) if self.locked => {
                // The refusal is made final before it is shown.
                self.withdraw();
                let cause = Cause::Deduplicated { by: Some("first".to_owned()) };
                let refusal = Refusal { cause, message: "n/first holds it".to_owned() };
                return Record::Refused { refusal, at: self.now };
            }
            (Known::Nothing, _) if self.locked => self.enter(State::Waiting),
            (Known::Nothing, _) => self.enter(State::Starting),
        }
        self.record(seen)
    }

    /// Lets everything happen that has to, without faults.
    fn settle(&mut self) {
        self.available = true;
        for _ in 0..60 {
            for who in [0, 1] {
                for act in [Act::See(who), Act::Hear(who), Act::Step(who), Act::Wait] {
                    self.act(act);
                }
            }
            self.act(Act::Progress);
        }
    }

    fn check(&self) {
        assert!(self.shown.is_sorted(), "the status went back: {:?}", self.shown);
        let finals = self.shown.iter().filter(|(rank, _)| *rank == 3).count();
        let cleared = matches!(&self.service, Known::Execution(e) if e.clearance.is_some());
        assert!(self.cleared <= usize::from(self.asked_for_clearance > 0), "cleared unasked");
        assert!(self.asked_for_end > 0 || self.stopped == 0, "stopped unasked");
        assert!(
            finals <= 1 + usize::from(cleared),
            "the end was written {finals} times: {:?}",
            self.shown
        );
    }

    fn check_end(&self) {
        self.check();
        let known: BTreeSet<i64> = (1..).take(self.history.len()).collect();
        assert_eq!(self.notes, known, "each event once, none lost");
        let over = match &self.service {
            Known::Nothing | Known::Withdrawn => true,
            Known::Execution(execution) => is_over(execution),
        };
        assert!(over, "left behind: {:?}", self.history);
        let Some(object) = &self.object else { return };
        assert!(object.deletion.is_none(), "not let go");
        let status = object.status.as_ref().unwrap();
        assert!(is_finished(status), "{status:?}");
        if let Known::Execution(execution) = &self.service {
            assert_eq!(status.execution_revision, Some(execution.revision));
        }
        self.check_requests(status);
    }

    /// Each request was answered, and what was carried out is shown.
    fn check_requests(&self, status: &WorkflowExecutionStatus) {
        let left = (&status.block_clearance_request, &status.cancel_request);
        assert_eq!(left, (&None, &None), "left behind");
        let done = |outcome: &Outcome| matches!(outcome, Outcome::Cleared { .. });
        let done = self.settled.iter().filter(|(_, outcome)| done(outcome)).count();
        assert_eq!(done, self.cleared, "{:?}", self.settled);
        let Known::Execution(execution) = &self.service else { return };
        let blocked = self.blocks && execution.state() == State::Failed;
        if blocked && self.asked_for_clearance > 0 {
            assert!(execution.clearance.is_some(), "{:?}", self.settled);
        }
        if self.cleared > 0 {
            assert_eq!(status.block_clearance.as_ref().unwrap().cleared_by, "alice");
        }
    }
}

fn mk_clearance(user: &str, on_behalf_of: Option<v1::OnBehalfOf>) -> v1::Clearance {
    let actor = v1::Actor { user: user.to_owned(), on_behalf_of, ..v1::Actor::default() };
    let time = prost_types::Timestamp { seconds: at(50).as_second(), nanos: 0 };
    v1::Clearance {
        actor: Some(actor),
        clear_time: Some(time),
        reason: "by hand, as it was agreed".to_owned(),
        ticket: String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn two_bridges_never_turn_a_status_back_and_settle_everything(
        acts in prop::collection::vec(act(), 0..120),
        afterwards in prop::collection::vec(act(), 0..60),
        locked: bool,
        reject: bool,
        fails: bool,
        blocks: bool,
    ) {
        let when_locked = if reject { WhenLocked::Reject } else { WhenLocked::Wait };
        let end = if fails { State::Failed } else { State::Succeeded };
        let mut world = World::new(locked, when_locked, end, blocks);
        for act in acts {
            world.act(act);
            world.check();
        }
        world.settle();
        world.check_end();
        // What people ask for when it is over.
        for act in afterwards {
            world.act(act);
            world.check();
        }
        world.settle();
        world.check_end();
    }
}
