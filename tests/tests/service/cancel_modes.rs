//! Cancel in every mode on a real cluster: what is stopped, what may end, what runs after it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::ListParams;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;
use wfe_proto::v1::{
    self, CancelMode, EscalationCause, EventType, State, TaskState, watch_request, watch_response,
};
use wfe_tests::{
    ControlPlane, Namespace,
    bundles::{Fate, Task, Workflow, push},
    server::Client,
    tekton::{Condition, condition},
    wait::eventually,
};

use crate::calls::*;

const MODES: [CancelMode; 3] =
    [CancelMode::Immediate, CancelMode::RunFinally, CancelMode::StopAndFinally];

/// Task `a`, `b` after it, and finally `report`.
async fn pushed(plane: &ControlPlane, name: &str, a: Task, report: Task) -> Result<String> {
    let workflow = Workflow::new([a, Task::new("b").run_after("a")]).finally(report);
    Ok(push(plane.registry(), name, "v1", &workflow).await?.reference)
}

fn takes(name: &str, milliseconds: u64) -> Task {
    Task::new(name).after(Duration::from_millis(milliseconds))
}

pub(crate) fn hangs(name: &str) -> Task {
    Task::new(name).fate(Fate::Hang)
}

/// Starts it and waits until its first task runs.
async fn until_it_runs(client: &mut Client, bundle: &str, target: &str) -> Result<String> {
    let id = start(client, mk_start(bundle, target, target)).await?.id;
    until_task(client, &id, "a", TaskState::Running).await?;
    Ok(id)
}

async fn until_task(client: &mut Client, id: &str, name: &str, state: TaskState) -> Result<()> {
    eventually(PATIENCE, &format!("{name} is {state:?}"), async || {
        let seen = get(&mut client.clone(), id).await.map_err(|error| error.to_string())?;
        let tasks = seen.progress.clone().unwrap_or_default().tasks;
        let there = tasks.iter().any(|task| task.name == name && task.state() == state);
        if there { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await
}

/// How the tasks of an execution ended, by name.
fn tasks(execution: &v1::Execution) -> Vec<(String, TaskState)> {
    let progress = execution.progress.clone().unwrap_or_default();
    progress.tasks.iter().map(|task| (task.name.clone(), task.state())).collect()
}

fn named(tasks: &[(&str, TaskState)]) -> Vec<(String, TaskState)> {
    tasks.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()
}

pub(crate) fn causes(execution: &v1::Execution) -> Vec<EscalationCause> {
    let cancellation = execution.cancellation.clone().unwrap_or_default();
    cancellation.escalations.iter().map(v1::Escalation::cause).collect()
}

async fn messages(client: &mut Client, id: &str, kind: EventType) -> Result<Vec<String>> {
    let request =
        v1::ListEventsRequest { execution_id: id.to_owned(), ..v1::ListEventsRequest::default() };
    let events = client.list_events(request).await?.into_inner().events;
    let told = events.iter().filter(|event| event.r#type() == kind);
    Ok(told.map(|event| event.message.clone()).collect())
}

/// What of a namespace is alive: runs, tasks, and pods that nobody stops.
pub(crate) async fn anything_alive(namespace: &Namespace) -> Result<Vec<String>> {
    let mut alive = alive(namespace).await?;
    for pod in namespace.pods().list(&ListParams::default()).await? {
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        let over = phase == "Succeeded" || phase == "Failed";
        if !over && pod.metadata.deletion_timestamp.is_none() {
            alive.extend(pod.metadata.name);
        }
    }
    Ok(alive)
}

#[tokio::test]
async fn finally_tasks_run_after_a_cancel_that_stops_the_others() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = pushed(&plane, "hangs-then-report", hangs("a"), Task::new("report")).await?;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let id = until_it_runs(&mut client, &bundle, "pod/x").await?;
        cancel_as(&mut client, &id, CancelMode::RunFinally, None).await?;
        let done = follow(&mut client, &id, 0).await?;
        assert_eq!(done.state(), State::Cancelled, "{done:?}");
        let expected = [
            ("a", TaskState::Cancelled),
            ("b", TaskState::Skipped),
            ("report", TaskState::Succeeded),
        ];
        assert_eq!(tasks(&done), named(&expected));
        assert_eq!(causes(&done), []);
        assert_eq!(anything_alive(namespace).await?, Vec::<String>::new());
        Ok(())
    })
    .await
}

/// Tekton says nothing new of such a run while its task, which has a dependent, still runs.
#[tokio::test]
async fn a_task_ends_by_itself_after_a_cancel_that_lets_it_and_is_named_until_then() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let report = Task::new("report");
    let bundle = pushed(&plane, "takes-4s-then-report", takes("a", 4_000), report).await?;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let id = until_it_runs(&mut client, &bundle, "pod/x").await?;
        cancel_as(&mut client, &id, CancelMode::StopAndFinally, None).await?;
        let done = follow(&mut client, &id, 0).await?;
        assert_eq!(done.state(), State::Cancelled, "{done:?}");
        let expected = [
            ("a", TaskState::Succeeded),
            ("b", TaskState::Skipped),
            ("report", TaskState::Succeeded),
        ];
        assert_eq!(tasks(&done), named(&expected));
        let waits = messages(&mut client, &id, EventType::Delayed).await?;
        assert!(waits.contains(&"task a still runs".to_owned()), "{waits:?}");
        assert_eq!(anything_alive(namespace).await?, Vec::<String>::new());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_takes_longer_than_its_time_is_stopped_at_once() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let task = pushed(&plane, "hangs-then-report", hangs("a"), Task::new("report")).await?;
    let finally = pushed(&plane, "hangs-then-hangs", hangs("a"), hangs("report")).await?;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        for (n, bundle, mode) in
            [(1, &task, CancelMode::StopAndFinally), (2, &finally, CancelMode::RunFinally)]
        {
            let id = until_it_runs(&mut client, bundle, &format!("default/pod/p-{n}")).await?;
            cancel_as(&mut client, &id, mode, Some(5)).await?;
            let done = follow(&mut client, &id, 0).await?;
            assert_eq!(done.state(), State::Cancelled, "{done:?}");
            assert_eq!(causes(&done), [EscalationCause::Patience]);
            let told = messages(&mut client, &id, EventType::CancelEscalated).await?;
            assert_eq!(told.len(), 1, "{told:?}");
        }
        assert_eq!(anything_alive(namespace).await?, Vec::<String>::new());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_second_cancel_makes_the_first_one_stronger_and_never_weaker() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = pushed(&plane, "hangs-then-hangs", hangs("a"), hangs("report")).await?;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let id = until_it_runs(&mut client, &bundle, "pod/x").await?;
        cancel_as(&mut client, &id, CancelMode::StopAndFinally, None).await?;
        cancel_as(&mut client, &id, CancelMode::RunFinally, None).await?;
        until_task(&mut client, &id, "report", TaskState::Running).await?;
        let weaker = cancel_as(&mut client, &id, CancelMode::StopAndFinally, None).await?;
        assert_eq!(weaker.cancellation.context("a cancellation")?.mode(), CancelMode::RunFinally);
        cancel(&mut client, &id).await?;
        let done = follow(&mut client, &id, 0).await?;
        assert_eq!(done.state(), State::Cancelled, "{done:?}");
        assert_eq!(causes(&done), [EscalationCause::Request, EscalationCause::Request]);
        assert_eq!(anything_alive(namespace).await?, Vec::<String>::new());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_task_that_fails_after_a_cancel_is_what_really_happened() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let fails = |name: &str| Task::new(name).fate(Fate::Fail { exit_code: 3 });
    let late = fails("a").after(Duration::from_secs(3));
    let task = pushed(&plane, "fails-late-then-report", late, Task::new("report")).await?;
    let finally = pushed(&plane, "hangs-then-fails", hangs("a"), fails("report")).await?;
    with_server(&plane, async |_, server| {
        let mut client = server.client().await?;
        for (n, bundle, mode, failed) in [
            (1, &task, CancelMode::StopAndFinally, "a"),
            (2, &finally, CancelMode::RunFinally, "report"),
        ] {
            let id = until_it_runs(&mut client, bundle, &format!("default/pod/p-{n}")).await?;
            cancel_as(&mut client, &id, mode, None).await?;
            let done = follow(&mut client, &id, 0).await?;
            assert_eq!(done.state(), State::Failed, "{done:?}");
            let failure = done.failure.context("a failure")?;
            assert_eq!((failure.task.as_str(), failure.exit_code), (failed, Some(3)));
            assert_eq!(done.cancellation.context("a cancellation")?.mode(), mode);
        }
        Ok(())
    })
    .await
}

/// As many in each mode.
const CANCELS: u64 = 200;
const AT_ONCE: usize = 48;
/// The place of the workflow that hangs among all of them.
const HANGS: usize = 0;

/// Follows an execution from its snapshot: every event is the next one, and what they tell is what it is.
/// `seen` hears of each revision.
async fn followed(
    client: &mut Client,
    id: &str,
    seen: watch::Sender<i64>,
) -> Result<v1::Execution> {
    let scope = Some(watch_request::Scope::ExecutionId(id.to_owned()));
    let request = v1::WatchRequest { scope, after: None };
    let mut stream = client.watch(request).await?.into_inner();
    let mut copy: Option<v1::Execution> = None;
    let to_the_end = async {
        while let Some(message) = stream.message().await? {
            match (message.update.context("an update")?, &mut copy) {
                (watch_response::Update::Snapshot(snapshot), None) => {
                    seen.send_replace(snapshot.revision);
                    copy = Some(snapshot);
                }
                (watch_response::Update::Event(event), Some(copy)) => {
                    anyhow::ensure!(wfe_proto::apply(copy, &event), "{event:?} after {copy:?}");
                    seen.send_replace(copy.revision);
                }
                (watch_response::Update::Heartbeat(_), Some(_)) => {}
                (watch_response::Update::Terminal(end), Some(copy)) => {
                    assert_eq!(*copy, end, "what the events told is what it is");
                    return Ok(end);
                }
                (other, copy) => bail!("{other:?} after {copy:?}"),
            }
        }
        bail!("the watch of {id} ended without a terminal message")
    };
    tokio::time::timeout(PATIENCE, to_the_end)
        .await
        .with_context(|| format!("{id} does not end"))?
}

/// A moment of the life that is followed: some time after a revision, or when nothing more was heard of for
/// long. Not a time alone, since how fast a life goes depends on the machine.
async fn until_moment(mut seen: watch::Receiver<i64>, revision: i64, pause: Duration) {
    const SILENCE: Duration = Duration::from_secs(20);
    while *seen.borrow_and_update() < revision {
        match tokio::time::timeout(SILENCE, seen.changed()).await {
            Ok(Ok(())) => {}
            // Nothing more will come, or nothing for long.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    tokio::time::sleep(pause).await;
}

/// How an execution may end whose run and tasks say this of themselves. A run that has ended is called
/// Cancelled after all when a cancel meets its end: Tekton writes its status once more. Then the tasks say
/// what really happened.
fn ends_of(run: &Condition, tasks: &[Condition]) -> Result<Vec<State>> {
    let failed = |task: &&Condition| task.status == "False" && task.reason != "TaskRunCancelled";
    Ok(match (run.status.as_str(), run.reason.as_str()) {
        ("True", _) => vec![State::Succeeded],
        ("False", "Cancelled") if tasks.iter().any(|task| failed(&task)) => {
            vec![State::Cancelled, State::Failed]
        }
        ("False", "Cancelled") if tasks.len() == 3 && tasks.iter().all(|t| t.status == "True") => {
            vec![State::Cancelled, State::Succeeded]
        }
        ("False", "Cancelled") => vec![State::Cancelled],
        ("False", _) => vec![State::Failed],
        _ => bail!("it is alive: {} {}", run.status, run.reason),
    })
}

#[tokio::test]
async fn whatever_the_moment_each_ends_as_its_run_did_and_leaves_nothing_alive() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let fails = || Task::new("a").fate(Fate::Fail { exit_code: 1 });
    let report = || takes("report", 100);
    let workflows = [
        pushed(&plane, "race-hangs", hangs("a"), report()).await?,
        pushed(&plane, "race-quick", takes("a", 50), report()).await?,
        pushed(&plane, "race-slow", takes("a", 1_500), report()).await?,
        pushed(&plane, "race-fails", fails(), report()).await?,
        pushed(&plane, "race-report-fails", takes("a", 100), fails_report()).await?,
    ];
    with_server(&plane, async |namespace, server| {
        let client = server.client().await?;
        let all = MODES.into_iter().flat_map(|mode| (0..CANCELS).map(move |n| (mode, n)));
        let began = std::time::Instant::now();
        let ended: Vec<(CancelMode, v1::Execution)> = stream::iter(all)
            .map(|(mode, n)| {
                let mut client = client.clone();
                let mut dice =
                    StdRng::seed_from_u64(n * 3 + u64::from(i32::from(mode).unsigned_abs()));
                let which = dice.random_range(0..workflows.len());
                let workflow = workflows[which].clone();
                async move {
                    let name = mode.as_str_name().to_lowercase().replace('_', "-");
                    let target = format!("default/pod/{name}-{n}");
                    let id = start(&mut client, mk_start(&workflow, &target, &target)).await?.id;
                    let pause = Duration::from_millis(dice.random_range(0..150));
                    // One that hangs says nothing more after this.
                    let moment = dice.random_range(if which == HANGS { 1..=4 } else { 1..=24 });
                    let again = dice.random_bool(0.1);
                    let mut caller = client.clone();
                    let (seen, news) = watch::channel(0);
                    let cancelling = async {
                        until_moment(news, moment, pause).await;
                        let seconds = (mode != CancelMode::Immediate).then_some(4);
                        cancel_as(&mut caller, &id, mode, seconds).await?;
                        if again {
                            cancel(&mut caller, &id).await?;
                        }
                        anyhow::Ok(())
                    };
                    let (end, cancelled) =
                        tokio::join!(followed(&mut client, &id, seen), cancelling);
                    cancelled?;
                    let end = end?;
                    anyhow::ensure!(get(&mut client.clone(), &id).await? == end, "{id}");
                    anyhow::Ok((mode, end))
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        println!("{} ended in {:?}", ended.len(), began.elapsed());
        assert_eq!(anything_alive(namespace).await?, Vec::<String>::new());

        let runs = namespace.runs().list(&ListParams::default()).await?;
        let runs: BTreeMap<String, Condition> = runs
            .into_iter()
            .filter_map(|run| Some((run.metadata.name.clone()?, condition(&run)?)))
            .collect();
        let mut tasks = BTreeMap::<String, Vec<Condition>>::new();
        for task in namespace.tasks().list(&ListParams::default()).await? {
            let labels = task.metadata.labels.clone().unwrap_or_default();
            let run = labels.get("tekton.dev/pipelineRun").context("a run")?.clone();
            tasks.entry(run).or_default().extend(condition(&task));
        }
        let mut seen = BTreeMap::<_, u32>::new();
        for (mode, end) in &ended {
            let name = &end.run.as_ref().context("a run")?.name;
            let run = runs.get(name).with_context(|| format!("no {name}"))?;
            let tasks = tasks.get(name).map(Vec::as_slice).unwrap_or_default();
            let may = ends_of(run, tasks)?;
            assert!(may.contains(&end.state()), "{may:?}: {end:?}");
            *seen.entry((mode.as_str_name(), end.state().as_str_name())).or_default() += 1;
        }
        println!("{seen:?}");
        // Every race was won by either side; else the moments say nothing.
        for state in [State::Succeeded, State::Failed, State::Cancelled] {
            assert!(seen.keys().any(|(_, end)| *end == state.as_str_name()), "{seen:?}");
        }
        Ok(())
    })
    .await
}

fn fails_report() -> Task {
    Task::new("report").fate(Fate::Fail { exit_code: 2 })
}
