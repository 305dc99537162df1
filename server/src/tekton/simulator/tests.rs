use jiff::Timestamp;
use wfe_core::failure::FailureReason;
use wfe_core::{
    observe::{RunEnd, observe},
    veil::Veil,
};

use super::{
    super::{
        Birth,
        scenarios::{
            ALL, Bundles, Deletion, Ground, Outsider, Stage,
            table::{OBSERVED, ROWS, play},
        },
    },
    *,
};
use crate::{clock::ManualClock, testing::mk_run_request};

/// Follows tokio's clock, which stands or jumps in these tests.
#[derive(Debug)]
struct TokioClock {
    zero: Instant,
}

#[async_trait::async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + self.zero.elapsed()
    }

    async fn reaches(&self, time: Timestamp) {
        let left = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(left).await;
    }
}

fn mk_clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock { zero: Instant::now() })
}

fn mk_cluster() -> Arc<SimulatedCluster> {
    SimulatedCluster::new(SimulatorConfig::default(), mk_clock())
}

fn mk_request(bundle: &str) -> RunRequest {
    mk_run_request("shop/deployment/cart", &format!("registry.example/wfe/{bundle}:v1"))
}

/// A simulator whose watches run until it is dropped.
fn watched(cluster: &Arc<SimulatedCluster>) -> (Arc<Simulator>, tokio_util::sync::DropGuard) {
    let simulator = Arc::new(Simulator::connect(cluster.clone()));
    let shutdown = CancellationToken::new();
    let (watching, until) = (simulator.clone(), shutdown.clone());
    tokio::spawn(async move { watching.watch(&|_| {}, until).await });
    (simulator, shutdown.drop_guard())
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn end_of(simulator: &Simulator, name: &str) -> Option<RunEnd> {
    match simulator.seen(name) {
        Seen::Present(seen) => observe(&seen.run, &seen.task_runs, &Veil::none()).end,
        Seen::Absent | Seen::NotSynced => None,
    }
}

/// Somebody who does as they like in a simulated cluster.
struct SimulatedOutsider(Arc<SimulatedCluster>);

#[async_trait::async_trait]
impl Outsider for SimulatedOutsider {
    async fn delete(&self, what: Deletion) {
        let deleted = match &what {
            Deletion::Run(name) => self.0.delete_from_outside(name),
            Deletion::RunAlone(name) => self.0.delete_only_the_run_from_outside(name),
            Deletion::TaskRun(name) => self.0.delete_named_task_run_from_outside(name),
            Deletion::PodOf(name) => self.0.delete_pod_from_outside(name),
        };
        assert!(deleted, "{what:?}");
    }
}

fn mk_ground(cluster: Arc<SimulatedCluster>) -> Ground {
    let outsider = Arc::new(SimulatedOutsider(cluster.clone()));
    let connect = move || -> Arc<dyn Tekton> { Arc::new(Simulator::connect(cluster.clone())) };
    Ground { connect: Arc::new(connect), outsider }
}

#[tokio::test(start_paused = true)]
async fn what_is_observed_is_what_was_observed_on_real_tekton() {
    let mut observed = String::new();
    for row in ROWS {
        let stage = Stage::new(
            mk_ground(mk_cluster()),
            Bundles::simulated(),
            Duration::from_mins(1),
            mk_clock(),
        );
        observed.push_str(&play(*row, stage).await);
    }
    let expected: Vec<&str> = OBSERVED.split_inclusive("\n\n").collect();
    let observed: Vec<&str> = observed.split_inclusive("\n\n").collect();
    assert_same(&expected, &observed);
}

/// Tells the rows that differ.
fn assert_same(expected: &[&str], observed: &[&str]) {
    let differ = expected.iter().zip(observed).filter(|(expected, observed)| expected != observed);
    let differ = differ.map(|(expected, observed)| format!("Tekton {expected}here {observed}"));
    let differ: Vec<String> = differ.collect();
    assert!(differ.is_empty(), "{}", differ.join(""));
    assert_eq!(expected.len(), observed.len());
}

async fn play_all(cluster: Arc<SimulatedCluster>) {
    for (name, scenario) in ALL {
        println!("{name}");
        let of_cluster = cluster.clone();
        let stage = Stage::new(
            mk_ground(of_cluster),
            Bundles::simulated(),
            Duration::from_mins(1),
            mk_clock(),
        );
        scenario(stage).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_scenario_holds() {
    play_all(mk_cluster()).await;
}

#[tokio::test(start_paused = true)]
async fn every_scenario_holds_where_early_cancels_leave_orphans() {
    let cluster = mk_cluster();
    cluster.set_orphan_window(Duration::from_millis(60));
    play_all(cluster).await;
}

#[tokio::test(start_paused = true)]
async fn an_early_cancel_leaves_a_task_run_alive_until_it_is_stopped() {
    let cluster = mk_cluster();
    cluster.set_orphan_window(Duration::from_millis(150));
    let (simulator, _watching) = watched(&cluster);
    let run = simulator.create(&mk_request("succeeds")).await.unwrap();
    simulator.cancel(&run.name, &run.uid, CancelMode::Immediate).await.unwrap();
    until(|| end_of(&simulator, &run.name)).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let left = simulator.read(&run.name).await.unwrap().unwrap();
    let seen = observe(&left.run, &left.task_runs, &Veil::none());
    assert!(left.run.children.is_empty());
    let [alive] = seen.live_task_runs.as_slice() else {
        panic!("{seen:?}");
    };
    simulator.cancel_task_run(alive).await.unwrap();
    until(|| {
        let Seen::Present(now) = simulator.seen(&run.name) else {
            return None;
        };
        observe(&now.run, &now.task_runs, &Veil::none()).live_task_runs.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn creates_fail_as_they_were_told_and_then_work() {
    let cluster = mk_cluster();
    let simulator = Simulator::connect(cluster.clone());
    let later = CreateFault::Later {
        message: "busy".to_owned(),
        retry_after: Some(Duration::from_secs(1)),
    };
    let refused = CreateFault::Refused {
        reason: FailureReason::ResourceExhausted,
        raw_reason: "Forbidden".to_owned(),
        message: "exceeded quota".to_owned(),
    };
    cluster.fail_next_creates(2, &later);
    cluster.fail_next_creates(1, &refused);
    let request = mk_request("succeeds");
    for _ in 0..2 {
        let answer = simulator.create(&request).await;
        assert!(
            matches!(&answer, Err(CreateError::Later { message, retry_after: Some(_) }) if message == "busy"),
            "{answer:?}"
        );
    }
    let answer = simulator.create(&request).await;
    assert!(
        matches!(
            &answer,
            Err(CreateError::Refused { reason: FailureReason::ResourceExhausted, .. })
        ),
        "{answer:?}"
    );
    simulator.create(&request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_is_found_by_the_next_one() {
    let cluster = mk_cluster();
    let simulator = Simulator::connect(cluster.clone());
    let lost = CreateFault::AnswerLost { arrives_after: Duration::from_secs(2) };
    cluster.fail_next_creates(1, &lost);
    let request = mk_request("succeeds");
    let answer = simulator.create(&request).await;
    assert!(matches!(answer, Err(CreateError::Later { .. })));
    assert_eq!(simulator.read(request.run.name.as_str()).await.unwrap(), None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = simulator.create(&request).await;
    let Err(CreateError::Exists(found)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(found.execution, Some(request.execution));
}

#[tokio::test(start_paused = true)]
async fn a_name_taken_by_a_cancelled_run_stops_a_create_that_is_still_under_way() {
    let cluster = mk_cluster();
    let (simulator, _watching) = watched(&cluster);
    let lost = CreateFault::AnswerLost { arrives_after: Duration::from_secs(2) };
    cluster.fail_next_creates(1, &lost);
    let mut request = mk_request("succeeds");
    assert!(simulator.create(&request).await.is_err());
    request.birth = Birth::Cancelled;
    let run = simulator.create(&request).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let end = end_of(&simulator, &run.name);
    assert_eq!(end, Some(RunEnd::Cancelled { ran: false }));
    assert_eq!(cluster.runs().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_away_calls_fail_and_watches_grow_old() {
    let cluster = mk_cluster();
    let (simulator, _watching) = watched(&cluster);
    let run = simulator.create(&mk_request("succeeds")).await.unwrap();
    until(|| simulator.health().synced.then_some(())).await;
    assert_eq!(simulator.health().age, Duration::ZERO);
    cluster.take_api_server_away();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(simulator.health().age, Duration::from_secs(20));
    assert!(simulator.read(&run.name).await.is_err());
    assert!(simulator.cancel(&run.name, &run.uid, CancelMode::Immediate).await.is_err());
    assert!(matches!(
        simulator.create(&mk_request("succeeds")).await,
        Err(CreateError::Later { .. })
    ));
    // It went on, unseen.
    assert_eq!(end_of(&simulator, &run.name), None);
    cluster.bring_api_server_back();
    let end = until(|| end_of(&simulator, &run.name)).await;
    assert!(matches!(end, RunEnd::Succeeded { .. }));
    assert_eq!(simulator.health().age, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_run_deleted_from_outside_is_gone_after_the_next_list_too() {
    for expire in [false, true] {
        let cluster = mk_cluster();
        let (simulator, _watching) = watched(&cluster);
        let run = simulator.create(&mk_request("never-ends")).await.unwrap();
        until(|| matches!(simulator.seen(&run.name), Seen::Present(_)).then_some(())).await;
        if expire {
            cluster.take_api_server_away();
            assert!(cluster.delete_from_outside(&run.name));
            cluster.bring_api_server_back();
        } else {
            assert!(cluster.delete_from_outside(&run.name));
        }
        until(|| (simulator.seen(&run.name) == Seen::Absent).then_some(())).await;
        assert!(!cluster.delete_from_outside(&run.name));
    }
}

#[tokio::test(start_paused = true)]
async fn two_connections_see_the_same() {
    let cluster = mk_cluster();
    let (one, _watching_one) = watched(&cluster);
    let (two, _watching_two) = watched(&cluster);
    let run = one.create(&mk_request("three-tasks-in-order")).await.unwrap();
    let end = until(|| end_of(&two, &run.name)).await;
    assert!(matches!(end, RunEnd::Succeeded { .. }));
    assert_eq!(one.seen(&run.name), two.seen(&run.name));
}

#[tokio::test(start_paused = true)]
async fn objects_carry_whole_seconds_that_do_not_run_backwards() {
    let cluster = mk_cluster();
    let (simulator, _watching) = watched(&cluster);
    let run = simulator.create(&mk_request("three-tasks-in-order")).await.unwrap();
    until(|| end_of(&simulator, &run.name)).await;
    let read = simulator.read(&run.name).await.unwrap().unwrap();
    let mut times = vec![Some(read.run.created_at), read.run.started_at];
    for task in &read.task_runs {
        times.extend([task.started_at, task.completed_at]);
    }
    times.push(read.run.completed_at);
    assert!(times.iter().all(|t| t.is_some_and(|t| t.subsec_nanosecond() == 0)));
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_does_not_hold_a_run_up() {
    let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap());
    let cluster = SimulatedCluster::new(SimulatorConfig::default(), Arc::new(clock));
    let (simulator, _watching) = watched(&cluster);
    let run = simulator.create(&mk_request("succeeds")).await.unwrap();
    let end = until(|| end_of(&simulator, &run.name)).await;
    assert!(matches!(end, RunEnd::Succeeded { .. }));
}

/// Every condition that a run and its TaskRuns go through, in order.
async fn conditions(request: &RunRequest) -> String {
    let simulator = Simulator::connect(mk_cluster());
    let run = simulator.create(request).await.unwrap();
    let mut seen: Vec<(String, String)> = Vec::new();
    loop {
        let read = simulator.read(&run.name).await.unwrap().unwrap();
        let tasks = read.task_runs.iter().map(|task| (&task.pipeline_task, &task.condition));
        let run_itself = [(&read.run.name, &read.run.condition)];
        for (whose, condition) in tasks.chain(run_itself) {
            let Some(c) = condition else { continue };
            let line = format!("{:?} {}: {}", c.status, c.reason, c.message);
            let last = seen.iter().rev().find(|(other, _)| other == whose);
            if last.is_none_or(|(_, last)| *last != line) {
                seen.push((whose.clone(), line));
            }
        }
        if !read.run.is_live() && read.task_runs.iter().all(|task| !task.is_live()) {
            let lines = seen.iter().map(|(whose, line)| format!("{whose} {line}\n"));
            return lines.collect::<String>().replace(run.name.as_str(), "RUN");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

// What follows was compared with Tekton 1.15 on a real control plane.

#[tokio::test(start_paused = true)]
async fn three_tasks_go_the_way_that_tekton_goes() {
    expect_test::expect![[r"
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN Unknown Running: Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 3, Skipped: 0
        a Unknown Pending: Pending
        a Unknown Running: Not all Steps in the Task have finished executing
        a True Succeeded: All Steps have completed executing
        RUN Unknown Running: Tasks Completed: 1 (Failed: 0, Cancelled 0), Incomplete: 2, Skipped: 0
        b Unknown Pending: Pending
        b Unknown Running: Not all Steps in the Task have finished executing
        b True Succeeded: All Steps have completed executing
        RUN Unknown Running: Tasks Completed: 2 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0
        c Unknown Pending: Pending
        c Unknown Running: Not all Steps in the Task have finished executing
        c True Succeeded: All Steps have completed executing
        RUN True Succeeded: Tasks Completed: 3 (Failed: 0, Cancelled 0), Skipped: 0
    "]].assert_eq(&conditions(&mk_request("three-tasks-in-order")).await);
}

#[tokio::test(start_paused = true)]
async fn failures_go_the_way_that_tekton_goes() {
    let mut text = String::new();
    for bundle in ["step-exits-1", "oom-killed", "image-cannot-be-pulled", "missing"] {
        text.push_str(&conditions(&mk_request(bundle)).await);
    }
    expect_test::expect![[r#"
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN Unknown Running: Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0
        main Unknown Pending: Pending
        main Unknown Running: Not all Steps in the Task have finished executing
        main False StepFailed: "step-main" exited with code 1: Error
        RUN False Failed: Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN Unknown Running: Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0
        main Unknown Pending: Pending
        main Unknown Running: Not all Steps in the Task have finished executing
        main False StepOOM: "step-main" exited with code 137: OOMKilled
        RUN False Failed: Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN Unknown Running: Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0
        main Unknown Pending: Pending
        main Unknown PullImageFailed: build step "step-main" is pending with reason "Back-off pulling image \"simulated.example/step\""
        main False TaskRunImagePullFailed: the step "main" in TaskRun "RUN-main" failed to pull the image "". The pod errored with the message: "Back-off pulling image "simulated.example/step"."
        RUN False Failed: Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN False CouldntGetPipeline: Error retrieving pipeline for pipelinerun kubernaut-workflows/RUN: resolver failed to get Pipeline : error requesting remote resource: error getting "bundleresolver" "kubernaut-workflows/bundles": cannot retrieve the oci image: GET registry.example/wfe/missing:v1: NAME_UNKNOWN: Unknown name
    "#]].assert_eq(&text);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_goes_the_way_that_tekton_goes() {
    let mut request = mk_request("never-ends");
    request.timeout = Some(Duration::from_secs(4));
    expect_test::expect![[r#"
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN Unknown Running: Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0
        main Unknown Pending: Pending
        main Unknown Running: Not all Steps in the Task have finished executing
        RUN False PipelineRunTimeout: PipelineRun "RUN" failed to finish within "4s"
        main False TaskRunCancelled: TaskRun "RUN-main" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has timed out.
    "#]].assert_eq(&conditions(&request).await);
}

#[tokio::test(start_paused = true)]
async fn finally_tasks_and_retries_go_the_way_that_tekton_goes() {
    let mut text = String::new();
    for bundle in ["finally-after-failure", "retry-succeeds"] {
        text.push_str(&conditions(&mk_request(bundle)).await);
    }
    expect_test::expect![[r#"
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN Unknown Running: Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 3, Skipped: 0
        a Unknown Pending: Pending
        a Unknown Running: Not all Steps in the Task have finished executing
        a False StepFailed: "step-main" exited with code 1: Error
        RUN Unknown Running: Tasks Completed: 1 (Failed: 1, Cancelled 0), Incomplete: 1, Skipped: 1
        report Unknown Pending: Pending
        report Unknown Running: Not all Steps in the Task have finished executing
        report True Succeeded: All Steps have completed executing
        RUN False Failed: Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 1
        RUN Unknown ResolvingPipelineRef: PipelineRun kubernaut-workflows/RUN awaiting remote resource
        RUN Unknown Running: Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0
        a Unknown Pending: Pending
        a Unknown Running: Not all Steps in the Task have finished executing
        a Unknown ToBeRetried: "step-main" exited with code 1: Error
        a Unknown Pending: Pending
        a Unknown Running: Not all Steps in the Task have finished executing
        a True Succeeded: All Steps have completed executing
        RUN True Succeeded: Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0
    "#]].assert_eq(&text);
}

/// How a run ends that is cancelled in this mode while its first task runs, and the tasks that were begun.
async fn cancelled_while_running(bundle: &str, mode: CancelMode) -> (Option<String>, Vec<String>) {
    let cluster = mk_cluster();
    let (simulator, _watching) = watched(&cluster);
    let run = simulator.create(&mk_request(bundle)).await.unwrap();
    let read = async || simulator.read(&run.name).await.unwrap().unwrap();
    while !read().await.task_runs.iter().any(TaskRunFacts::ran) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cluster.world().cancel(&run.name, &run.uid, mode, cluster.now());
    cluster.tell();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let after = read().await;
    let reason = after.run.condition.as_ref().map(|c| c.reason.clone());
    let begun = after.task_runs.iter().map(|task| {
        let reason = task.condition.as_ref().map_or("", |c| c.reason.as_str());
        format!("{} {reason}", task.pipeline_task)
    });
    (reason, begun.collect())
}

#[tokio::test(start_paused = true)]
async fn each_way_to_cancel_stops_and_runs_what_it_says() {
    use CancelMode::{Immediate, RunFinally, StopAndFinally};
    #[rustfmt::skip]
    let table: [(_, _, _, &[&str]); 5] = [
        ("finally-runs",           Immediate,      "Cancelled",               &["a TaskRunCancelled"]),
        ("finally-runs",           RunFinally,     "Cancelled",               &["a TaskRunCancelled", "report Succeeded"]),
        ("finally-runs",           StopAndFinally, "Cancelled",               &["a Succeeded", "report Succeeded"]),
        ("finally-never-ends",     RunFinally,     "CancelledRunningFinally", &["a TaskRunCancelled", "report Running"]),
        // Tekton stumbles over `b`, and says what it said before.
        ("never-ends-and-finally", StopAndFinally, "Running",                 &["a Running"]),
    ];
    for (bundle, mode, reason, begun) in table {
        let (got, ran) = cancelled_while_running(bundle, mode).await;
        assert_eq!((got.as_deref(), ran.as_slice()), (Some(reason), owned(begun).as_slice()));
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
