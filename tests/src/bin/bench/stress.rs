//! WorkflowExecutions at a steady rate for minutes, and what server and bridge take meanwhile.

use std::pin::pin;

use anyhow::{Result, ensure};
use futures::future::{Either, select};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use wfe_tests::wait::eventually;
use wfe_tests::{ControlPlane, bundles};

use crate::bridge::settled_writes;
use crate::door::{Door, Seen, create};
use crate::pace::paced;
use crate::samples::Samples;
use crate::sightings::{Count, Ended};
use crate::usage::Usage;
use crate::writes::Writes;

/// Pause between two: 1000 in 10 minutes.
pub(crate) const EVERY: Duration = Duration::from_millis(600);
/// Rows of the table.
const MOMENTS: u32 = 20;
/// How long the last may take to their ends.
const LIMIT: Duration = Duration::from_mins(5);

/// What was measured.
pub(crate) struct Stress {
    /// From the first to the sight of the last end.
    pub(crate) lasted: Duration,
    /// From the sight of the run's end to the sight of the status.
    pub(crate) to_status: Samples,
    pub(crate) moments: Vec<Moment>,
    pub(crate) writes: Writes,
}

/// How it was at a time.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// Since the beginning.
    pub(crate) at: Duration,
    pub(crate) objects: Count,
    pub(crate) server: Usage,
    pub(crate) bridge: Usage,
}

/// How many are created in this time.
pub(crate) fn executions(whole: Duration) -> u32 {
    u32::try_from(whole.as_millis() / EVERY.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Creates WorkflowExecutions that succeed for as long as `whole`, and waits for all.
pub(crate) async fn stress(
    plane: &ControlPlane,
    door: &Door<'_>,
    whole: Duration,
) -> Result<Stress> {
    let executions = executions(whole);
    println!("{executions} WorkflowExecutions over {} s", whole.as_secs());
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    let seen = door.sightings().await?;
    let before = door.writes().await?;
    let began = Instant::now();
    let creating = pin!(async {
        paced(EVERY, executions, |n, _| {
            let (objects, bundle) = (door.objects(), bundle.clone());
            async move {
                let name = format!("stress-{n}");
                create(&objects, &name, &bundle).await?;
                Ok(name)
            }
        })
        .await
    });
    let mut moments = Vec::new();
    let names = {
        let looking = pin!(look(door, &seen, began, whole / MOMENTS, &mut moments));
        match select(creating, looking).await {
            Either::Left((names, _)) => names?,
            Either::Right((broken, _)) => return Err(broken),
        }
    };
    eventually(LIMIT, "all have ended", async || match seen.objects.count() {
        count if count.ended == names.len() => Ok(()),
        count => Err(count),
    })
    .await?;
    let (mut to_status, mut last) = (Samples::new()?, began);
    for name in &names {
        let (status, end) = seen.objects.ended(name).await?;
        ensure!(end == Ended::Well, "{name} failed");
        to_status.between(seen.runs.ended(name).await?.0, status);
        last = last.max(status);
    }
    let writes = settled_writes(door).await?.since(&before);
    moments.push(moment(door, &seen, began)?);
    Ok(Stress { lasted: last.duration_since(began), to_status, moments, writes })
}

/// Looks from time to time, until it is dropped or cannot.
async fn look(
    door: &Door<'_>,
    seen: &Seen,
    began: Instant,
    every: Duration,
    moments: &mut Vec<Moment>,
) -> anyhow::Error {
    let mut ticks = interval(every.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match moment(door, seen, began) {
            Ok(moment) => moments.push(moment),
            Err(error) => return error,
        }
    }
}

fn moment(door: &Door<'_>, seen: &Seen, began: Instant) -> Result<Moment> {
    let [server, bridge] = door.usage()?;
    Ok(Moment { at: began.elapsed(), objects: seen.objects.count(), server, bridge })
}
