//! The seeds that are simulated.

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use wfe_core::{actor::Actor, gates::Policy, request::WhenLocked, workflow::BundleWorkflow};

use super::{
    Outcome, Rules, Simulation, Trace, alone,
    dice::{Dice, Weather},
    executor::Owner,
    simulate_caught,
};
use crate::{
    service::{Mode, Service},
    testing::mk_request,
};

/// How many seeds an ordinary run of the tests simulates.
const SEEDS: u64 = 500;

/// Seeds that once led to a broken rule, and to which.
const FOUND: [(u64, &str); 3] = [
    (4, "a run that took too long was believed over; what was not heard of was not looked at"),
    (2689, "nobody looked at who waited behind one that gave up"),
    (3_005_608, "nobody heard that a run was replaced by a stranger's of its name"),
];

/// A number in an environment variable. What cannot be read is an error, never a default.
fn setting(name: &str) -> Option<u64> {
    match env::var(name) {
        Err(env::VarError::NotPresent) => None,
        Ok(text) => Some(text.trim().parse().unwrap_or_else(|error| {
            panic!("{name}={text:?} must be a whole number: {error}");
        })),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// What to do to have a failure again, and what led to it.
fn report(seed: u64, failed: &Outcome) -> String {
    let again = simulate_caught(seed, Trace::On);
    let from = if setting("WFE_SIMULATION_SEED").is_some() {
        0
    } else {
        again.trace.len().saturating_sub(60)
    };
    format!(
        "seed {seed} broke a rule after {} steps:\n{}\n\nthe last of what happened:\n{}\n\nthe whole of it: WFE_SIMULATION_SEED={seed} cargo test -p wfe-server --lib simulation\n",
        failed.steps,
        failed.violations.join("\n"),
        again.trace[from..].join("\n"),
    )
}

#[test]
fn any_order_of_steps_and_faults_keeps_the_rules() {
    let one = setting("WFE_SIMULATION_SEED");
    let first = one.or_else(|| setting("WFE_SIMULATION_FIRST")).unwrap_or(0);
    let count = one.map(|_| 1).or_else(|| setting("WFE_SIMULATION_SEEDS")).unwrap_or(SEEDS);
    assert!(count > 0, "WFE_SIMULATION_SEEDS=0 would simulate nothing");
    let seeds = first..first + count;
    let (next, steps, events) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || !failures.lock().unwrap().is_empty() {
                        return;
                    }
                    let outcome = simulate_caught(seed, Trace::Off);
                    steps.fetch_add(outcome.steps, Ordering::Relaxed);
                    events.fetch_add(outcome.events as u64, Ordering::Relaxed);
                    if !outcome.violations.is_empty() {
                        failures.lock().unwrap().push((seed, outcome));
                    }
                }
            });
        }
    });
    let (steps, events) = (steps.into_inner(), events.into_inner());
    println!("{seeds:?}: {steps} steps, {events} events");
    let failures = failures.into_inner().unwrap();
    if let Some((seed, failed)) = failures.first() {
        panic!("{}", report(*seed, failed));
    }
    assert!(one.is_some() || (steps > 20 * count && events > count), "hardly anything happened");
}

#[test]
fn a_seed_always_leads_to_the_same_history() {
    for seed in 0..20 {
        let (first, again) = (simulate_caught(seed, Trace::On), simulate_caught(seed, Trace::On));
        let mut both = (0..).zip(first.trace.iter().zip(&again.trace));
        if let Some((line, differ)) = both.find(|(_, (one, other))| one != other) {
            panic!("seed {seed} differs at line {line}: {differ:?}");
        }
        assert!(first == again, "seed {seed}");
    }
}

#[test]
fn seeds_that_found_something_keep_the_rules() {
    for (seed, found) in FOUND {
        let outcome = simulate_caught(seed, Trace::Off);
        assert!(outcome.violations.is_empty(), "{found}: {}", report(seed, &outcome));
    }
}

#[test]
fn a_caller_who_goes_away_while_its_start_is_written_has_started_all_the_same() {
    alone(async {
        let (dice, fair) = (Dice::new(0), Weather::default());
        let rules = Rules { replicas: 1, callers: 0, ..Rules::draw(&dice, &fair) };
        let mut simulation = Simulation::new(dice, fair, rules, Trace::Off);
        let world = Arc::clone(&simulation.world);
        world.start(0);
        // Its watches begin.
        for _ in 0..20 {
            simulation.go_on(Duration::from_secs(1)).await;
        }
        let caller = Arc::clone(&world);
        world.spawner.spawn(Owner::Outside, "caller", async move {
            let request = mk_request(1, "pod/a", WhenLocked::Wait);
            let start = |service: Service| async move {
                service.start(request, Actor::anonymous(None), Mode::Store).await
            };
            assert!(caller.call("start".to_owned(), start).await.is_none());
        });
        while world.history().events() == 0 {
            simulation.go_on(Duration::from_secs(1)).await;
        }
        simulation.executor.drop_call(&world.dice).unwrap();
        while !simulation.is_at_rest() {
            assert!(simulation.executor.steps < 1000, "nobody looks at what was started");
            simulation.go_on(Duration::from_secs(1)).await;
        }
        assert_eq!(world.history().executions().count(), 1);
    });
}

#[test]
fn a_person_who_goes_away_while_a_block_is_cleared_has_let_the_next_one_in_all_the_same() {
    alone(async {
        let (dice, fair) = (Dice::new(0), Weather::default());
        let drawn = Rules::draw(&dice, &fair);
        let rules = Rules { replicas: 1, callers: 0, gates: Policy::default(), ..drawn };
        let mut simulation = Simulation::new(dice, fair, rules, Trace::Off);
        let world = Arc::clone(&simulation.world);
        world.start(0);
        for _ in 0..20 {
            simulation.go_on(Duration::from_secs(1)).await;
        }
        for (n, bundle) in [(1, "step-exits-1"), (2, "succeeds")] {
            let caller = Arc::clone(&world);
            let bundle = format!("registry.example/wfe/{bundle}:v1");
            world.spawner.spawn(Owner::Outside, "caller", async move {
                let mut request = mk_request(n, "pod/a", WhenLocked::Wait);
                request.workflow = BundleWorkflow::new(&bundle, "", "").unwrap().into();
                let start = |service: Service| async move {
                    service.start(request, Actor::anonymous(None), Mode::Store).await
                };
                caller.call("start".to_owned(), start).await.unwrap().unwrap();
            });
            while world.history().executions().count() < n as usize {
                simulation.go_on(Duration::from_secs(1)).await;
            }
        }
        let key = mk_request(1, "pod/a", WhenLocked::Wait).target;
        while world.history().blocking(&key).is_none() {
            simulation.go_on(Duration::from_secs(1)).await;
        }
        // All that follows from the failure is done.
        for _ in 0..100 {
            simulation.go_on(Duration::from_secs(1)).await;
        }
        let (person, blocked) = (Arc::clone(&world), key.clone());
        world.spawner.spawn(Owner::Outside, "person", async move {
            let clear = |service: Service| async move {
                let reason = "looked at it, all is well".parse().unwrap();
                let actor = Actor { user: "person-1".to_owned(), ..Actor::anonymous(None) };
                service.clear_block(&blocked, reason, None, None, actor).await
            };
            assert!(person.call("clear".to_owned(), clear).await.is_none());
        });
        while world.history().blocking(&key).is_some() {
            simulation.go_on(Duration::from_secs(1)).await;
        }
        simulation.executor.drop_call(&world.dice).unwrap();
        let steps = simulation.executor.steps;
        while !simulation.is_at_rest() {
            assert!(simulation.executor.steps < steps + 1000, "nobody looks at who was let in");
            simulation.go_on(Duration::from_secs(1)).await;
        }
    });
}
