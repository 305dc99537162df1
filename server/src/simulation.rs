//! A simulation of the service: many callers and targets, one or two processes on one database and one
//! cluster, and everything that can go wrong between any two steps.
//!
//! The service, the reconciler, the ledger and the decisions are the real ones. The database is in
//! memory, the cluster is the simulator, and both have suites of their own. Time, order and faults
//! follow from a seed, so that a failure can be had again: see "Simulation" in CONTRIBUTING.md.
//!
//! [`history`] and [`world::World::check_cluster`] hold the rules. Where they name a rule, the numbers
//! mean: I1 one live run per target; I2 a request gets one execution; I3 nothing passes a closed gate;
//! I4 each change has its event, in order, is on record once, and what is signed outside is that record;
//! I5 a watch misses and repeats nothing; I6 what ended stays; I7 a target is released under its epoch; I8 a clearance has an actor and a reason; I9 when faults
//! stop, everything settles; I10 a sensitive value reaches its run and nothing else.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use dice::{Dice, Trouble, Weather};
use executor::Executor;
use history::History;
use jiff::SignedDuration;
use rules::Rules;
use tokio::time::Instant;
use world::World;

mod audit;
mod callers;
mod clock;
mod dice;
mod executor;
mod gates;
mod history;
mod process;
mod record;
mod rules;
mod store;
mod tekton;
mod tests;
mod world;

/// Steps with faults in one simulation.
const STORMY_STEPS: u64 = 600;

/// Steps after which a simulation that has not come to rest never will.
const LAST_STEP: u64 = 20_000;

/// Simulated time after which a simulation that has not come to rest never will. Executions wait for each
/// other, and for cooldowns.
const LONGEST_WAY_TO_REST: Duration = Duration::from_hours(3);

/// What a simulation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    steps: u64,
    events: usize,
    digest: u64,
    violations: Vec<String>,
    trace: Vec<String>,
}

/// Whether somebody wants to read what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    Off,
    On,
}

/// Runs the simulation of a seed.
fn simulate(seed: u64, trace: Trace) -> Outcome {
    alone(async {
        let dice = Dice::new(seed);
        let weather = Weather::draw(&dice);
        let rules = Rules::draw(&dice, &weather);
        let mut simulation = Simulation::new(dice, weather, rules, trace);
        simulation.run().await;
        simulation.outcome()
    })
}

/// Runs something in one thread, with a clock that moves only when nothing else can go on.
fn alone<T>(something: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // Without the budget that tokio gives to a task, which would end some polls early.
    runtime.block_on(tokio::task::unconstrained(something))
}

struct Simulation {
    world: Arc<World>,
    executor: Executor,
    weather: Weather,
}

impl Simulation {
    fn new(dice: Dice, weather: Weather, rules: Rules, trace: Trace) -> Self {
        let history = History::new(rules.gates.clone(), trace);
        let world = World::new(dice, rules, history);
        Self { executor: Executor::new(Arc::clone(&world.spawner)), world, weather }
    }

    async fn run(&mut self) {
        self.world.note(|| format!("{:#?}\n{:#?}", self.world.rules, self.weather));
        for place in 0..self.world.rules.replicas {
            self.world.start(place);
        }
        callers::come(&self.world);
        self.world.set_weather(self.weather.clone());
        while self.executor.steps < STORMY_STEPS && !self.failed() && !self.is_at_rest() {
            self.trouble().await;
            self.go_on(Duration::from_secs(30)).await;
        }
        self.calm();
        let begin = Instant::now();
        let in_time = |steps: u64| steps < LAST_STEP && begin.elapsed() < LONGEST_WAY_TO_REST;
        while in_time(self.executor.steps) && !self.failed() && !self.is_at_rest() {
            self.go_on(Duration::from_mins(10)).await;
        }
        if !self.failed() {
            self.check_rest();
        }
        // I10. What is shown of executions and events is what is kept of them.
        if self.world.keeps(callers::NEVER_TOLD) {
            let broken = "I10: what is kept holds a sensitive value in clear".to_owned();
            self.world.history().violation(broken);
        }
    }

    /// One step, or some time when nothing can go on.
    async fn go_on(&mut self, limit: Duration) {
        if let Some(name) = self.executor.step(&self.world.dice) {
            self.world.note(|| name);
        } else {
            // What waits for nobody counts too, or a simulation without work would never end.
            self.executor.steps += 1;
            self.executor.idle(limit).await;
        }
        self.world.check_cluster();
    }

    fn failed(&self) -> bool {
        !self.world.history().violations.is_empty()
    }

    /// What may go wrong between two steps.
    async fn trouble(&mut self) {
        let world = Arc::clone(&self.world);
        let dice = &world.dice;
        let place = || dice.below(world.rules.replicas).unwrap_or(0);
        match self.weather.next(dice) {
            None => {}
            Some(Trouble::CallerLeaves) => {
                if let Some(call) = self.executor.drop_call(dice) {
                    world.note(|| format!("the caller of {call} goes away"));
                }
            }
            Some(Trouble::Stall) => {
                if let Some(task) = self.executor.stall(dice, dice.between(10, 200)) {
                    world.note(|| format!("{task} gets no turns"));
                }
            }
            Some(Trouble::ProcessChanges) => self.change_process(place()),
            Some(Trouble::ApiGoes) => world.set_away(dice.hits(500)),
            Some(Trouble::WatchesExpire) => {
                world.note(|| "watches begin anew".to_owned());
                world.cluster.expire_watches();
            }
            Some(Trouble::ClockIsSet) => {
                let by = SignedDuration::try_from(dice.time(10, 120_000)).unwrap_or_default();
                world.set_clock(place(), if dice.hits(500) { by } else { -by });
            }
            Some(Trouble::Stranger) => world.strange_run().await,
            Some(Trouble::Outsider) => world.meddle(),
            Some(Trouble::TimePasses) => {
                let time = dice.time(1, 30_000);
                world.note(|| format!("{time:?} pass"));
                tokio::time::advance(time).await;
            }
        }
    }

    fn change_process(&mut self, place: usize) {
        let world = &self.world;
        if !world.is_up(place) {
            world.start(place);
        } else if world.dice.hits(300) {
            world.note(|| format!("process {place} is stopped"));
            world.stop(place);
        } else if let Some(life) = world.forget(place) {
            world.note(|| format!("process {place} is killed"));
            self.executor.kill(place, life);
        }
    }

    /// Ends all trouble. Processes that live go on as they are: whoever was forgotten by one stays so.
    fn calm(&mut self) {
        self.world.note(|| "calm".to_owned());
        self.world.set_weather(Weather::default());
        self.executor.release();
        self.world.set_away(false);
        for place in 0..self.world.rules.replicas {
            self.world.start(place);
        }
        callers::attend(&self.world);
    }

    /// Whether nothing is left to do.
    fn is_at_rest(&mut self) -> bool {
        self.executor.outside().next().is_none()
            && self.world.history().executions().all(|e| e.state.code().is_terminal())
            && self.world.alive().is_empty()
            && self.world.depth() == 0
            && self.world.is_signed()
    }

    /// I9.
    fn check_rest(&mut self) {
        let mut left: Vec<String> =
            self.executor.outside().map(|name| format!("{name} goes on")).collect();
        let mut history = self.world.history();
        for execution in history.executions() {
            if !execution.state.code().is_terminal() {
                left.push(format!("{} is {:?}", execution.id, execution.state));
            }
        }
        let (log, entries) = self.world.log();
        if let Some(wrong) = history.on_record.compare(log, &entries) {
            history.violation(wrong);
        }
        left.extend(history.held().map(|(key, holder)| format!("{holder} holds {key}")));
        if !self.world.is_signed() {
            left.push("the log is not signed outside".to_owned());
        }
        left.extend(self.world.doubts());
        left.extend(self.world.alive().into_iter().map(|(_, _, run)| format!("{run} is alive")));
        if !left.is_empty() {
            history.violation(format!("I9: no rest: {}", left.join("; ")));
        }
    }

    fn outcome(self) -> Outcome {
        let steps = self.executor.steps;
        // The tasks end inside the runtime, whose timers they hold.
        drop(self.executor);
        let mut history = self.world.history();
        Outcome {
            steps,
            events: history.events(),
            digest: history.digest(),
            violations: std::mem::take(&mut history.violations),
            trace: history.trace.take().unwrap_or_default(),
        }
    }
}

/// As [`simulate`], and a panic is a violation too.
fn simulate_caught(seed: u64, trace: Trace) -> Outcome {
    std::panic::catch_unwind(AssertUnwindSafe(|| simulate(seed, trace))).unwrap_or_else(|_| {
        let violations = vec!["it panicked".to_owned()];
        Outcome { steps: 0, events: 0, digest: 0, violations, trace: Vec::new() }
    })
}
