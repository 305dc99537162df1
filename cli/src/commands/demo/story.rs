//! The story of the demo: what is done, what is told about it, and what must come out of it.
//!
//! Talks to a server like any other client; whose server it is does not matter here.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wfe_proto::v1::{
    BundleWorkflow, CancelRequest, Execution, FailureReason, ListRequest, StartRequest,
    StartResponse, State, WatchResponse, WhenBlocked, WhenCooling, WhenLocked, start_request,
    watch_response,
};

use crate::{
    client::{Client, request},
    commands::answered,
    context::{Context, Display},
    error::Error,
    render,
    watch::{Contact, End, Follow, Patience, Shown, Subject, follow, show},
};

/// Longer than any chapter may take.
const CHAPTER_LIMIT: Duration = Duration::from_secs(30);

/// The target on which a workflow fails.
const DATABASE: &str = "default/statefulset/db";

/// The target that two executions want at once.
const CONTESTED: &str = "default/deployment/checkout";

mod gates;
mod steps;

/// What a start of the demo waits for, instead of being refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Nothing,
    Lock,
    Cooldown,
    Clearance,
}

impl WaitsFor {
    /// The option of `wfe start` that says so.
    fn option(self) -> &'static str {
        match self {
            WaitsFor::Nothing => "",
            WaitsFor::Lock => " --when-locked wait",
            WaitsFor::Cooldown => " --when-cooling wait",
            WaitsFor::Clearance => " --when-blocked wait",
        }
    }
}

/// Tells the story on a server.
pub(super) struct Story<'a> {
    context: &'a mut Context,
    client: Client,
    call_limit: Duration,
}

impl<'a> Story<'a> {
    pub(super) fn new(context: &'a mut Context, client: Client, call_limit: Duration) -> Self {
        Story { context, client, call_limit }
    }

    /// Tells it to the end, or until something is not as it says.
    pub(super) async fn tell(mut self) -> Result<(), Error> {
        self.say("wfe demo: a server in this process, on a simulated Tekton.")?;
        let mut ids = BTreeSet::new();
        ids.insert(self.success().await?);
        let failed = self.failure().await?;
        ids.insert(failed.id.clone());
        let cleared = self.block(&failed).await?;
        ids.insert(cleared.clone());
        ids.insert(self.cooldown(&cleared).await?);
        ids.extend(self.one_at_a_time().await?);
        ids.insert(self.cancellation().await?);
        ids.extend(self.steps().await?);
        self.record(&ids).await?;
        self.say(
            "
All of this went as it says. Next:
  cargo run -- dev      serves the same until Ctrl-C, for wfe and grpcurl in another terminal
  cargo run -- --help   the other commands
  README.md             how to run it on a real cluster",
        )
    }

    async fn success(&mut self) -> Result<String, Error> {
        self.chapter(
            "1. A workflow runs to its end",
            "Three tasks in order. Every change of the execution comes in on one stream.",
        )?;
        let target = "default/deployment/api";
        let started = self.start("three-tasks-in-order", target, WaitsFor::Nothing);
        let id = accepted(started.await?)?.id;
        let mut running = false;
        let execution = self
            .follow_to_end(&id, 0, |message| {
                running |= state_after(message) == Some(State::Running);
            })
            .await?;
        expect_state(&execution, State::Succeeded)?;
        expect(running, || format!("{id} was never seen RUNNING"))?;
        let succeeded = execution.progress.map(|seen| (seen.total, seen.succeeded));
        expect(succeeded == Some((3, 3)), || {
            format!("{id} ran {succeeded:?} tasks instead of 3 of 3")
        })?;
        Ok(id)
    }

    async fn failure(&mut self) -> Result<Execution, Error> {
        self.chapter(
            "2. A workflow fails",
            "A step exits with 1. The answer says what failed, and whether anything was changed.",
        )?;
        let started = self.start("step-exits-1", DATABASE, WaitsFor::Nothing);
        let id = accepted(started.await?)?.id;
        let execution = self.follow_to_end(&id, 0, |_| {}).await?;
        expect_state(&execution, State::Failed)?;
        let failure = execution.failure.clone().unwrap_or_default();
        expect(failure.reason() == FailureReason::TaskFailed, || {
            let reason = render::failure_name(failure.reason());
            format!("{id} failed with {reason} instead of TASK_FAILED")
        })?;
        expect(failure.exit_code == Some(1), || {
            format!("the exit code of {id} is {:?}", failure.exit_code)
        })?;
        expect(!failure.summary.is_empty(), || {
            format!("the failure of {id} has no sentence for a person")
        })?;
        Ok(execution)
    }

    async fn one_at_a_time(&mut self) -> Result<[String; 2], Error> {
        self.chapter(
            "5. One execution per target",
            "While one runs, a second waits for the same target, and a third does not want to wait.",
        )?;
        let first = self.start("three-tasks-in-order", CONTESTED, WaitsFor::Nothing);
        let first = accepted(first.await?)?.id;
        let second = self.start("succeeds", CONTESTED, WaitsFor::Lock);
        let second = accepted(second.await?)?;
        expect_state(&second, State::Waiting)?;
        let holder = second.waiting.unwrap_or_default().holder_execution_id;
        expect(holder == first, || {
            format!("{} waits for {holder:?} instead of {first}", second.id)
        })?;
        let refusal = match self.start("succeeds", CONTESTED, WaitsFor::Nothing).await {
            Err(Error::Call(status)) => status,
            Err(error) => return Err(error),
            Ok(response) => {
                let id = response.execution.unwrap_or_default().id;
                return Err(Error::Demo(format!("{id} was not refused")));
            }
        };
        expect_locked(&refusal)?;
        self.say(&format!("refused: ABORTED TARGET_LOCKED: {}", render::plain(refusal.message())))?;
        self.say(&format!("\nThe second waits for {holder}, then runs:"))?;
        let mut waited = false;
        let execution = self
            .follow_to_end(&second.id, 0, |message| {
                waited |= state_after(message) == Some(State::Waiting);
            })
            .await?;
        expect(waited, || format!("{} was never seen WAITING", second.id))?;
        expect_state(&execution, State::Succeeded)?;
        Ok([first, second.id])
    }

    async fn cancellation(&mut self) -> Result<String, Error> {
        self.chapter(
            "6. A workflow that never ends is cancelled",
            "CANCELLED is said when nothing of its run is alive any more.",
        )?;
        let started = self.start("never-ends", "node/worker-1", WaitsFor::Nothing);
        let id = accepted(started.await?)?.id;
        let seen =
            self.follow(&id, 0, |message| state_after(message) == Some(State::Running)).await?;
        let Seen::Enough { after } = seen else {
            return Err(Error::Demo(format!("{id} was never seen RUNNING")));
        };
        let reason = "it takes too long";
        self.say(&format!("$ wfe cancel {id} --reason \"{reason}\""))?;
        let message = CancelRequest {
            execution_id: id.clone(),
            reason: reason.to_owned(),
            ..CancelRequest::default()
        };
        let call = self.client.cancel(request(message, self.call_limit));
        answered(self.context, call).await?;
        let execution = self.follow_to_end(&id, after, |_| {}).await?;
        expect_state(&execution, State::Cancelled)?;
        let kept = execution.cancellation.unwrap_or_default().reason;
        expect(kept == reason, || {
            format!("the reason on record is {kept:?} instead of {reason:?}")
        })?;
        Ok(id)
    }

    async fn record(&mut self, ids: &BTreeSet<String>) -> Result<(), Error> {
        self.chapter(
            "8. Everything is on record",
            "What was accepted is listed, with how it ended. What was refused was never accepted.",
        )?;
        self.say("$ wfe list")?;
        let call = self.client.list(request(ListRequest::default(), self.call_limit));
        let executions = answered(self.context, call).await?.executions;
        let now = (self.context.now)();
        let table = render::list::table(&executions, now, self.context.colour);
        self.say(&table)?;
        let listed: BTreeSet<String> = executions.into_iter().map(|e| e.id).collect();
        expect(listed == *ids, || {
            format!("{} executions are listed instead of {}", listed.len(), ids.len())
        })
    }

    fn say(&mut self, text: &str) -> Result<(), Error> {
        self.context.say(text)
    }

    fn chapter(&mut self, title: &str, what: &str) -> Result<(), Error> {
        let title = render::heading(title, self.context.colour);
        self.say(&format!("\n{title}\n{what}"))
    }

    /// Starts a workflow whose name is its fate, and shows the command that does the same.
    async fn start(
        &mut self,
        fate: &str,
        target: &str,
        waits_for: WaitsFor,
    ) -> Result<StartResponse, Error> {
        let reference = format!("registry.example/demo/{fate}:v1");
        let option = waits_for.option();
        self.say(&format!("$ wfe start --bundle {reference} --target {target}{option}"))?;
        let mut message = StartRequest {
            request_id: (self.context.new_request_id)(),
            workflow: Some(start_request::Workflow::Bundle(BundleWorkflow {
                reference,
                ..BundleWorkflow::default()
            })),
            target: target.to_owned(),
            correlation_id: "demo".to_owned(),
            ..StartRequest::default()
        };
        match waits_for {
            WaitsFor::Nothing => {}
            WaitsFor::Lock => message.set_when_locked(WhenLocked::Wait),
            WaitsFor::Cooldown => message.set_when_cooling(WhenCooling::Wait),
            WaitsFor::Clearance => message.set_when_blocked(WhenBlocked::Wait),
        }
        let call = self.client.start(request(message, self.call_limit));
        answered(self.context, call).await
    }

    async fn follow_to_end(
        &mut self,
        id: &str,
        after: i64,
        mut look: impl FnMut(&WatchResponse),
    ) -> Result<Execution, Error> {
        let seen = self
            .follow(id, after, |message| {
                look(message);
                false
            })
            .await?;
        match seen {
            Seen::End(execution) => Ok(*execution),
            Seen::Enough { .. } => Err(Error::Demo(format!("the watch of {id} broke off"))),
        }
    }

    /// Follows an execution and shows it, until `enough` or its end.
    async fn follow(
        &mut self,
        id: &str,
        after: i64,
        mut enough: impl FnMut(&WatchResponse) -> bool,
    ) -> Result<Seen, Error> {
        let display = self.context.display;
        let wish = Follow {
            subject: Subject::Execution(id.to_owned()),
            // A live display begins with a snapshot.
            after: match display {
                Display::Live => None,
                Display::Lines => Some(after),
            },
            open_within: self.call_limit,
            patience: Patience::usual(CHAPTER_LIMIT, Contact::Made),
        };
        let updates = follow(self.client.clone(), wish);
        let mut last = after;
        let shown = show(self.context, Shown::Text(display), updates, |message| {
            last = message.cursor;
            enough(message)
        });
        let end = timeout(CHAPTER_LIMIT, shown).await.map_err(|_| {
            let limit = CHAPTER_LIMIT.as_secs();
            Error::Demo(format!("{id} did not get so far within {limit} seconds"))
        })??;
        match end {
            End::Terminal(execution) => Ok(Seen::End(execution)),
            End::Enough => Ok(Seen::Enough { after: last }),
            End::Interrupted { .. } => Err(Error::Interrupted),
        }
    }
}

/// What following an execution came to.
enum Seen {
    End(Box<Execution>),
    Enough { after: i64 },
}

/// The state that an execution has after a message.
fn state_after(message: &WatchResponse) -> Option<State> {
    match message.update.as_ref()? {
        watch_response::Update::Snapshot(execution)
        | watch_response::Update::Terminal(execution) => Some(execution.state()),
        watch_response::Update::Event(event) => Some(event.state()),
        watch_response::Update::Heartbeat(_)
        | watch_response::Update::Synced(_)
        | watch_response::Update::Decision(_) => None,
    }
}

fn accepted(response: StartResponse) -> Result<Execution, Error> {
    response
        .execution
        .ok_or_else(|| Error::Demo("a start was answered without an execution".to_owned()))
}

fn expect_state(execution: &Execution, state: State) -> Result<(), Error> {
    expect(execution.state() == state, || {
        format!(
            "{} is {} instead of {}",
            render::plain(&execution.id),
            render::state_name(execution.state()),
            render::state_name(state),
        )
    })
}

fn expect_locked(refusal: &Status) -> Result<(), Error> {
    let reason = refusal.get_details_error_info().map(|info| info.reason);
    let locked = refusal.code() == Code::Aborted && reason.as_deref() == Some("TARGET_LOCKED");
    expect(locked, || {
        let code = wfe_proto::code_name(refusal.code());
        format!("the third start was answered with {code} {reason:?} instead of TARGET_LOCKED")
    })
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::Demo(otherwise()))
}

#[cfg(test)]
mod tests;
