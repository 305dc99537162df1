//! What is measured from WorkflowExecution to WorkflowExecution: to its run, from the end of the run back to the status,
//! and many at once.

use anyhow::{Result, ensure};
use tokio::time::{Duration, Instant};
use wfe_tests::{ControlPlane, bundles};

use crate::cluster::{
    CREATION_EVERY, CREATIONS, END_EVERY, ENDS, WARM_UP, floor, floor_in_a_burst,
};
use crate::door::{Door, Seen, create};
use crate::pace::{at_once, paced};
use crate::samples::Samples;
use crate::sightings::{Ended, Look, Sightings};
use crate::writes::Writes;

/// WorkflowExecutions of a burst.
pub(crate) const BURST: u32 = 100;
/// Connections over which they are created.
pub(crate) const BURST_CONNECTIONS: usize = 16;
/// How long all of a burst may take to their ends.
const BURST_LIMIT: Duration = Duration::from_mins(5);

/// From a WorkflowExecution to its run.
pub(crate) struct Creation {
    /// The same for runs that are created by hand, from the request to the sight of the run.
    pub(crate) floor: Samples,
    /// From the request, when it was sent, to the sight of the run.
    pub(crate) after_request: Samples,
    /// From the sight of the WorkflowExecution to the sight of its run.
    pub(crate) after_sight: Samples,
}

/// From the end of a run to the status that says so.
pub(crate) struct Ends {
    /// Between two watches that see the same end, whichever is the first.
    pub(crate) floor: Samples,
    /// From the sight of the run's end to the sight of the status.
    pub(crate) to_status: Samples,
}

/// Both ways, with nothing else to do, and the first in a burst.
pub(crate) struct OneByOne {
    pub(crate) idle: Creation,
    pub(crate) burst: Creation,
    pub(crate) ends: Ends,
    pub(crate) bridge_idle_kib: u32,
}

/// Measures one at a time, then a burst.
pub(crate) async fn one_by_one(
    plane: &ControlPlane,
    door: &Door<'_>,
    by_hand: &wfe_tests::Namespace,
) -> Result<OneByOne> {
    let [_, bridge] = door.usage()?;
    let missing = bundles::missing(plane.registry());
    println!("from WorkflowExecution to PipelineRun, one at a time");
    let floor = floor(by_hand, &missing, CREATIONS).await?.to_sight;
    let idle = creation(door, &missing, floor).await?;
    println!("from the end of a run to the status of its WorkflowExecution");
    let ends = ends(plane, door).await?;
    println!("from WorkflowExecution to PipelineRun, {BURST} in a burst");
    let floor = floor_in_a_burst(by_hand, &missing, BURST, BURST_CONNECTIONS).await?;
    let burst = burst(door, &missing, floor).await?;
    Ok(OneByOne { idle, burst, ends, bridge_idle_kib: bridge.kib })
}

async fn creation(door: &Door<'_>, bundle: &str, floor: Samples) -> Result<Creation> {
    let seen = door.sightings().await?;
    let sent = paced(CREATION_EVERY, WARM_UP + CREATIONS, |n, _| {
        let (objects, bundle) = (door.objects(), bundle.to_owned());
        async move {
            let name = format!("idle-{n}");
            let sent = create(&objects, &name, &bundle).await?;
            Ok((n, name, sent))
        }
    })
    .await?;
    let counted = sent.into_iter().filter(|(n, ..)| *n >= WARM_UP);
    created(&seen, counted.map(|(_, name, sent)| (name, sent)).collect(), floor).await
}

async fn burst(door: &Door<'_>, bundle: &str, floor: Samples) -> Result<Creation> {
    let seen = door.sightings().await?;
    let sent = create_at_once(door, "burst", bundle).await?;
    created(&seen, sent, floor).await
}

async fn create_at_once(
    door: &Door<'_>,
    prefix: &str,
    bundle: &str,
) -> Result<Vec<(String, Instant)>> {
    let objects = door.objects();
    let names = (0..BURST).map(|n| format!("{prefix}-{n}")).collect();
    at_once(BURST_CONNECTIONS, names, async |name: String| {
        let sent = create(&objects, &name, bundle).await?;
        Ok((name, sent))
    })
    .await
}

async fn created(seen: &Seen, sent: Vec<(String, Instant)>, floor: Samples) -> Result<Creation> {
    let mut creation =
        Creation { floor, after_request: Samples::new()?, after_sight: Samples::new()? };
    for (name, sent) in sent {
        let run = seen.runs.created(&name).await?;
        creation.after_request.between(sent, run);
        creation.after_sight.between(seen.objects.created(&name).await?, run);
    }
    Ok(creation)
}

async fn ends(plane: &ControlPlane, door: &Door<'_>) -> Result<Ends> {
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    let seen = door.sightings().await?;
    // On a connection of its own.
    let runs = wfe_tests::tekton::pipeline_runs(&plane.client().await?, door.namespace.name());
    let also = Sightings::watch(runs, Look::RunsOfObjects).await?;
    let names = paced(END_EVERY, WARM_UP + ENDS, |n, _| {
        let (objects, bundle) = (door.objects(), bundle.clone());
        async move {
            let name = format!("end-{n}");
            create(&objects, &name, &bundle).await?;
            Ok((n, name))
        }
    })
    .await?;
    let mut ends = Ends { floor: Samples::new()?, to_status: Samples::new()? };
    for (n, name) in names {
        let (status, end) = seen.objects.ended(&name).await?;
        ensure!(end == Ended::Well, "{name} failed");
        let (run, _) = seen.runs.ended(&name).await?;
        let (again, _) = also.ended(&name).await?;
        if n >= WARM_UP {
            ends.to_status.between(run, status);
            ends.floor.add(run.max(again).duration_since(run.min(again)));
        }
    }
    Ok(ends)
}

/// Many at once, to their ends.
pub(crate) struct Concurrent {
    /// From the sight of a WorkflowExecution to the sight of its end.
    pub(crate) to_end: Samples,
    /// From the sight of the run's end to the sight of the status.
    pub(crate) to_status: Samples,
    /// From the first request to the sight of the last end.
    pub(crate) lasted: Duration,
    /// What server and bridge wrote meanwhile.
    pub(crate) writes: Writes,
}

/// Creates a burst of WorkflowExecutions that succeed, and waits for all.
pub(crate) async fn concurrent(plane: &ControlPlane, door: &Door<'_>) -> Result<Concurrent> {
    println!("{BURST} WorkflowExecutions at once, to their ends");
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    let seen = door.sightings().await?;
    let before = door.writes().await?;
    let began = Instant::now();
    let sent = create_at_once(door, "concurrent", &bundle).await?;
    let (mut to_end, mut to_status, mut last) = (Samples::new()?, Samples::new()?, began);
    for (name, _) in sent {
        let (status, end) = seen.objects.ended_within(BURST_LIMIT, &name).await?;
        ensure!(end == Ended::Well, "{name} failed");
        to_end.between(seen.objects.created(&name).await?, status);
        to_status.between(seen.runs.ended(&name).await?.0, status);
        last = last.max(status);
    }
    let lasted = last.duration_since(began);
    let writes = settled_writes(door).await?.since(&before);
    Ok(Concurrent { to_end, to_status, lasted, writes })
}

/// The writes so far, once the bridge has written all that it had to: the Kubernetes events may follow the status.
pub(crate) async fn settled_writes(door: &Door<'_>) -> Result<Writes> {
    use wfe_tests::wait::{PATIENCE, eventually};
    let idle = "wfe_bridge_objects_followed 0";
    eventually(PATIENCE, "the bridge has nothing to do", async || {
        let metrics = door.bridge.metrics().await.map_err(|error| error.to_string())?;
        let followed = metrics.lines().find(|line| line.starts_with("wfe_bridge_objects_followed"));
        if followed == Some(idle) { Ok(()) } else { Err(format!("{followed:?}")) }
    })
    .await?;
    door.writes().await
}
