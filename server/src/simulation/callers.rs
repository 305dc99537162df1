//! Who uses the service: callers that start, repeat, cancel and withdraw, and watchers. They come again
//! when no answer came, at whichever process there is, and check what they are told.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::{sync::mpsc, time::sleep};
use wfe_core::{
    actor::Actor,
    execution::{CancelMode, Closed, Execution, StateCode},
    ids::{ExecutionId, RequestId, Revision},
    request::{StartRequest, WhenBlocked, WhenCooling, WhenLocked},
    target::TargetKey,
    workflow::{BundleWorkflow, InlineWorkflow, StepDraft},
};

use super::{
    executor::Owner,
    tekton::REFUSED,
    world::{TARGETS, World},
};
use crate::{
    clock::Clock as _,
    error::ServiceError,
    service::{Cancel, Cancelled, Mode, Started, Update},
    testing::{mk_key, mk_request, mk_sealed},
};

const BUNDLES: [&str; 12] = [
    "registry.example/wfe/succeeds:v1",
    "registry.example/wfe/succeeds:v1",
    "registry.example/wfe/three-tasks-in-order:v1",
    "registry.example/wfe/step-exits-1:v1",
    "registry.example/wfe/image-cannot-be-pulled:v1",
    "registry.example/wfe/missing:v1",
    "registry.example/wfe/finally-runs:v1",
    "registry.example/wfe/finally-fails:v1",
    NEVER_END[0],
    NEVER_END[1],
    NEVER_END[2],
    REFUSED,
];
const NEVER_END: [&str; 3] = [
    "registry.example/wfe/never-ends:v1",
    "registry.example/wfe/never-ends-and-finally:v1",
    "registry.example/wfe/finally-never-ends:v1",
];

/// The parameter that some requests have and nobody may read.
pub(super) const SENSITIVE: &str = "TOKEN";

/// Part of each value of it.
pub(super) const NEVER_TOLD: &str = "is what nobody may read";

/// What became of a Start.
enum Begun {
    /// It got an execution.
    Got(Box<Execution>),
    /// It will not get one, or the caller does not care any more.
    Over,
}

/// Lets persons clear the blocks of targets for which somebody waits.
pub(super) fn attend(world: &Arc<World>) {
    for target in &TARGETS[..world.rules.targets] {
        let world = Arc::clone(world);
        let spawner = Arc::clone(&world.spawner);
        spawner.spawn(Owner::Attendant, format!("attendant of {target}"), async move {
            let key = mk_key(target);
            loop {
                let waits = world.history().is_waited_for(&key);
                if waits && world.history().blocking(&key).is_some() {
                    clear(&world, &key).await;
                }
                sleep(world.dice.time(1000, 60_000)).await;
            }
        });
    }
}

/// Lets a person try to clear a block, perhaps of an execution that does not block any more.
async fn clear(world: &World, key: &TargetKey) {
    let dice = &world.dice;
    let blocking = world.history().blocking(key);
    let anybody = world.history().executions().next().map(|execution| execution.id);
    let expected = dice.one_of(&[None, blocking, anybody]);
    let person = format!("person-{}", dice.between(1, 3));
    let actor = Actor { user: person, ..Actor::anonymous(None) };
    let (made_key, by) = (key.clone(), actor.clone());
    let call = |service: crate::service::Service| async move {
        let reason = "looked at it, all is well".parse().unwrap();
        service.clear_block(&made_key, reason, None, expected, by).await
    };
    match world.call(format!("clear {key}"), call).await {
        None | Some(Err(ServiceError::StoreUnavailable(_) | ServiceError::NotBlocked { .. })) => {}
        Some(Err(ServiceError::BlockChanged { blocking, .. })) if expected != Some(blocking) => {}
        Some(Ok(cleared)) if expected.is_none_or(|id| id == cleared.execution.id) => {
            let clearance = cleared.execution.clearance;
            if clearance.as_ref().map(|clearance| &clearance.actor) != Some(&actor) {
                world.history().violation(format!("I8: {key} was cleared by {clearance:?}"));
            }
        }
        Some(wrong) => world.history().violation(format!("clear {key}: {wrong:?}")),
    }
}

/// Lets all callers of a simulation come.
pub(super) fn come(world: &Arc<World>) {
    for number in 1..=world.rules.callers {
        let world = Arc::clone(world);
        let spawner = Arc::clone(&world.spawner);
        spawner.spawn(Owner::Outside, format!("caller {number}"), async move {
            call(&world, number).await;
        });
    }
}

fn draw_request(world: &World, number: u32) -> StartRequest {
    let dice = &world.dice;
    let target = TARGETS[dice.below(world.rules.targets).unwrap_or(0)];
    let when_locked =
        dice.one_of(&[WhenLocked::Wait, WhenLocked::Wait, WhenLocked::Reject, WhenLocked::Attach]);
    let mut request = mk_request(number, target, when_locked);
    if number % 2 == 1 {
        let value = format!("{number} {NEVER_TOLD}");
        let sealed = mk_sealed(&request.request_id, SENSITIVE, &value);
        request.parameters.insert(SENSITIVE.to_owned(), sealed);
    }
    request.workflow = if dice.hits(100) {
        mk_steps().into()
    } else {
        BundleWorkflow::new(dice.one_of(&BUNDLES), "", "").unwrap().into()
    };
    request.when_cooling = dice.one_of(&[WhenCooling::Wait, WhenCooling::Reject]);
    request.when_blocked = dice.one_of(&[WhenBlocked::Wait, WhenBlocked::Reject]);
    if dice.hits(250) {
        let far = Duration::from_hours(100);
        let time = if dice.hits(250) { far } else { dice.time(1000, 120_000) };
        request.deadline = Some(world.clock.now() + time);
    }
    request
}

/// Steps of which one is tried again, and of which two would run at once if they might.
fn mk_steps() -> InlineWorkflow {
    let step = |name: &str, image: &str, after: &[&str]| StepDraft {
        name: name.to_owned(),
        image: format!("registry.example/wfe/{image}:v1"),
        command: vec!["act".to_owned()],
        depends_on: after.iter().map(ToString::to_string).collect(),
        retries: 1,
        ..StepDraft::default()
    };
    let steps = vec![
        step("a", "succeeds", &[]),
        step("b", "retry-succeeds", &["a"]),
        step("c", "succeeds", &["a"]),
        step("d", "succeeds", &["b", "c"]),
    ];
    InlineWorkflow::new(steps, 1).unwrap()
}

async fn call(world: &Arc<World>, number: u32) {
    let dice = &world.dice;
    sleep(dice.time(1, 60_000)).await;
    if dice.hits(300) {
        let target = TARGETS[dice.below(world.rules.targets).unwrap_or(0)];
        clear(world, &mk_key(target)).await;
    }
    let request = draw_request(world, number);
    let id = request.request_id.clone();
    if dice.hits(200) {
        let (world, id, after) = (Arc::clone(world), id.clone(), dice.time(1, 30_000));
        let spawner = Arc::clone(&world.spawner);
        spawner.spawn(Owner::Outside, format!("withdrawer of {id}"), async move {
            sleep(after).await;
            withdraw(&world, &id).await;
        });
    }
    if let Begun::Got(execution) = begin(world, &request).await {
        for watcher in 0..dice.between(0, 2) {
            let (world, execution) = (Arc::clone(world), execution.clone());
            let spawner = Arc::clone(&world.spawner);
            let name = format!("watcher {watcher} of {id}");
            spawner.spawn(Owner::Outside, name, async move { watch(&world, &execution).await });
        }
        if dice.hits(300) {
            sleep(dice.time(1, 60_000)).await;
            repeat(world, &request).await;
        }
        if dice.hits(350) {
            sleep(dice.time(1, 60_000)).await;
            cancel(world, execution.id).await;
        }
    }
    // Nobody else ends those.
    if NEVER_END.contains(&&*request.workflow.reference()) {
        sleep(dice.time(1000, 60_000)).await;
        withdraw(world, &id).await;
    }
}

/// Makes a Start until it is answered for good.
async fn begin(world: &World, request: &StartRequest) -> Begun {
    let id = &request.request_id;
    loop {
        let made = request.clone();
        let start = |service: crate::service::Service| async move {
            service.start(made, Actor::anonymous(None), Mode::Store).await
        };
        match world.call(format!("start {id}"), start).await {
            None if world.dice.hits(200) => return Begun::Over,
            None
            | Some(Err(ServiceError::StoreUnavailable(_) | ServiceError::ClusterUnavailable)) => {}
            Some(Ok(
                Started::Accepted(execution)
                | Started::Repeated(execution)
                | Started::Attached(execution),
            )) => {
                world.note(|| format!("{id} got {}", execution.id));
                world.history().told(id, &execution);
                return Begun::Got(Box::new(execution));
            }
            Some(Err(ServiceError::RequestWithdrawn(_))) => {
                world.history().told_withdrawn(id);
                return Begun::Over;
            }
            // The deadline has passed.
            Some(Err(ServiceError::Invalid(_))) if request.deadline.is_some() => {
                return Begun::Over;
            }
            Some(Err(ServiceError::GateClosed { hold, .. })) => {
                let waits = match hold.why {
                    Closed::Lock { .. } => request.when_locked == WhenLocked::Wait,
                    Closed::Cooldown { .. } | Closed::Backoff { .. } => {
                        request.when_cooling == WhenCooling::Wait
                    }
                    Closed::Block { .. } => request.when_blocked == WhenBlocked::Wait,
                };
                if waits {
                    let wrong = format!("I3: {id} would wait and was refused: {hold:?}");
                    world.history().violation(wrong);
                }
                if waits || world.dice.hits(400) {
                    return Begun::Over;
                }
            }
            Some(other) => {
                world.history().violation(format!("start {id}: {other:?}"));
                return Begun::Over;
            }
        }
        sleep(world.dice.time(10, 10_000)).await;
    }
}

/// Makes a Start again that was answered with an execution: as it was, or with something else.
async fn repeat(world: &World, request: &StartRequest) {
    let id = &request.request_id;
    let mut made = request.clone();
    let other = world.dice.hits(300);
    if other {
        made.parameters.insert("OTHER".to_owned(), "value".into());
    }
    let start = |service: crate::service::Service| async move {
        service.start(made, Actor::anonymous(None), Mode::Store).await
    };
    match world.call(format!("repeat {id}"), start).await {
        None | Some(Err(ServiceError::StoreUnavailable(_) | ServiceError::ClusterUnavailable)) => {}
        Some(Ok(Started::Repeated(execution))) if !other => world.history().told(id, &execution),
        Some(Err(ServiceError::RequestIdReused { field: "parameters", .. })) if other => {}
        // It attached, and was withdrawn then.
        Some(Err(ServiceError::RequestWithdrawn(_))) => world.history().told_withdrawn(id),
        Some(wrong) => world.history().violation(format!("repeat {id}: {wrong:?}")),
    }
}

/// A cancel in any mode, with any patience.
fn mk_cancel(world: &World) -> Cancel {
    let mode = world.dice.one_of(&CancelMode::ALL);
    let escalate_after = world.dice.hits(500).then(|| world.dice.time(1, 30_000));
    Cancel { reason: "not needed any more".to_owned(), mode, escalate_after }
}

/// Cancels an execution until it is answered.
async fn cancel(world: &World, id: ExecutionId) {
    loop {
        let cancel = mk_cancel(world);
        let cancel = |service: crate::service::Service| async move {
            service.cancel(id, cancel, Actor::anonymous(None)).await
        };
        match world.call(format!("cancel {id}"), cancel).await {
            None | Some(Err(ServiceError::StoreUnavailable(_))) => {}
            Some(Ok(execution)) => return check_stopping(world, &execution),
            Some(Err(error)) => {
                return world.history().violation(format!("cancel {id}: {error:?}"));
            }
        }
        sleep(world.dice.time(10, 10_000)).await;
    }
}

/// Makes sure that nothing of a request runs, until it is answered.
async fn withdraw(world: &World, id: &RequestId) {
    loop {
        let request = id.clone();
        let cancel = mk_cancel(world);
        let cancel = |service: crate::service::Service| async move {
            service.cancel_request(request, cancel, Actor::anonymous(None)).await
        };
        match world.call(format!("withdraw {id}"), cancel).await {
            None | Some(Err(ServiceError::StoreUnavailable(_))) => {}
            Some(Ok(Cancelled::Withdrawn)) => return world.history().told_withdrawn(id),
            Some(Ok(Cancelled::Execution(execution))) => {
                if execution.request.request_id != *id {
                    let wrong = format!("withdraw {id} stopped {}", execution.id);
                    world.history().violation(wrong);
                }
                return check_stopping(world, &execution);
            }
            Some(Err(error)) => {
                return world.history().violation(format!("withdraw {id}: {error:?}"));
            }
        }
        sleep(world.dice.time(10, 10_000)).await;
    }
}

/// Who was told that it stops must find it stopping or ended.
fn check_stopping(world: &World, execution: &Execution) {
    let code = execution.state.code();
    if code != StateCode::Cancelling && !code.is_terminal() {
        let code = code.as_str();
        world.history().violation(format!("{} was cancelled and is {code}", execution.id));
    }
}

/// Follows an execution to its end, through every interruption. I5: what it is told continues what it
/// was told before, and is what was committed.
async fn watch(world: &World, begun: &Execution) {
    let id = begun.id;
    let mut cursor = world.dice.one_of(&[None, Some(Revision(0)), Some(begun.revision)]);
    loop {
        let (sender, mut updates) = mpsc::channel(1);
        let after = cursor;
        let serve = |service: crate::service::Service| async move {
            let updates = match service.watch(id, after).await {
                Ok(updates) => updates,
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            let mut updates = Box::pin(updates);
            while let Some(update) = updates.next().await {
                if sender.send(update).await.is_err() {
                    return;
                }
            }
        };
        world.serve(format!("watch {id}"), serve).await;
        let mut first = true;
        while let Some(update) = updates.recv().await {
            let told = Told { id, cursor, first };
            match told.check(world, update) {
                Ok(Next::Cursor(next)) => cursor = Some(next),
                Ok(Next::Again) => break,
                Ok(Next::End) => return,
                Err(wrong) => {
                    return world.history().violation(format!("I5: watch of {id}: {wrong}"));
                }
            }
            first = false;
            if world.hits(|weather| weather.slow) {
                sleep(world.dice.time(10, 60_000)).await;
            }
        }
        sleep(world.dice.time(10, 5000)).await;
    }
}

/// What a message means for a watch.
enum Next {
    /// It goes on from here.
    Cursor(Revision),
    /// It has to be made again.
    Again,
    /// It is over.
    End,
}

/// Where a watch stands when a message comes.
struct Told {
    id: ExecutionId,
    cursor: Option<Revision>,
    first: bool,
}

impl Told {
    fn check(&self, world: &World, update: Result<Update, ServiceError>) -> Result<Next, String> {
        let history = world.history();
        let events = history.events_of(self.id);
        let rule = |holds: bool, rule: &str| {
            if holds { Ok(()) } else { Err(format!("{rule}, at {:?}", self.cursor)) }
        };
        match update {
            Ok(Update::Snapshot(execution)) => {
                rule(self.first && self.cursor.is_none(), "a snapshot only begins a watch")?;
                let newest = events.iter().find(|event| event.revision == execution.revision);
                let code = newest.map(|event| event.after);
                rule(code == Some(execution.state.code()), "a snapshot that never was")?;
                Ok(Next::Cursor(execution.revision))
            }
            Ok(Update::Event(event)) => {
                let next = self.cursor.map(Revision::next);
                rule(next == Some(event.revision), &format!("event {}", event.revision))?;
                rule(events.contains(&event), "an event that never was")?;
                Ok(Next::Cursor(event.revision))
            }
            Ok(Update::Heartbeat { cursor, .. }) => {
                rule(self.cursor == Some(cursor), &format!("a heartbeat at {cursor}"))?;
                Ok(Next::Cursor(cursor))
            }
            Ok(Update::Terminal(execution)) => {
                rule(self.cursor == Some(execution.revision), "an end with something missing")?;
                rule(execution.state.code().is_terminal(), "an end that is none")?;
                // A clearance comes after the end, and is not part of it.
                let end = Execution { clearance: None, ..*execution };
                rule(history.execution(self.id) == Some(&end), "another end")?;
                Ok(Next::End)
            }
            Err(ServiceError::StoreUnavailable(_)) => Ok(Next::Again),
            Err(ServiceError::Draining { cursor }) => {
                rule(self.cursor == Some(Revision(cursor)), "drained at another place")?;
                Ok(Next::Again)
            }
            Err(error) => Err(format!("{error:?}")),
        }
    }
}
