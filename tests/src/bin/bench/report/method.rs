//! What the page says about how it is measured.

use tokio::time::Duration;

use crate::bridge::{BURST, BURST_CONNECTIONS};
use crate::cluster::CREATIONS;
use crate::load::{CONNECTIONS, REFUSING, STARTS};
use crate::stress::{EVERY, executions};
use crate::verify::{EXECUTIONS, SIGNED_EVERY, TIMES};

/// The steady load, in words.
pub(crate) fn stress(whole: Duration) -> String {
    let executions = executions(whole);
    match (whole.as_secs() / 60, whole.as_secs() % 60) {
        (minutes @ 2.., 0) => format!("{executions} WorkflowExecutions in {minutes} minutes"),
        _ => format!("{executions} WorkflowExecutions in {} s", whole.as_secs()),
    }
}

/// The last part of the page.
pub(crate) fn method() -> String {
    let (refusing, every) = (REFUSING.as_secs(), EVERY.as_millis());
    format!(
        "\
- All times are of one monotonic clock in the benchmark's process; no clock of the server or of Kubernetes is involved.
- Percentiles are sample values: p99 of 60 samples is the longest. Five more come before each measurement on the cluster
  and are not counted.
- PipelineRun created by hand: 5 requests a second, one after the other on one connection that stays open. The objects
  look like those of the service but are pending (`spec.status`), so that Tekton starts nothing for them. This is what the
  API server with Tekton's webhook takes at that time; when others use the machine, it may differ from one minute to the
  next by more than the service adds.
- To the PipelineRun: 5 Starts a second. A run exists when a watch of the benchmark on PipelineRuns tells it. The bundle
  is missing, so that Tekton has next to nothing to do with a run. The budget is that of the whole way from a
  WorkflowExecution, of which this is a part.
- Run finished to Watch message: 2 Starts a second of a workflow with one task that succeeds. From the moment a watch of
  the benchmark on PipelineRuns tells that the condition `Succeeded` is no longer `Unknown`, to the terminal message of
  the execution's Watch call. The server has a watch of its own, so both learn of the end at the same time and race; a
  time is negative when the server was so quick that its message was read first. Such times are kept as they are.
- Durable Start: {STARTS} Starts, 200 a second whether or not those before have been answered, each on a target of its own,
  over {CONNECTIONS} connections. The time runs from the moment a Start was to be sent, so that a stall counts for every Start
  that it held up; the timer's millisecond is included. An answer means that the execution is committed to the database.
  The server simulates Tekton, with tasks that outlive the benchmark: the runs cost nothing but their own records, and the
  cluster is not flooded.
- Refusal: Starts with REJECT on one held target, from {CONNECTIONS} connections, each as fast as its answers come, for
  {refusing} s. The same server, which now has {STARTS} live executions. The benchmark's own work takes part of the machine.
- What is measured through the bridge has a server and a bridge of its own, which serve one namespace. WorkflowExecutions
  and their runs are seen by two watches of the benchmark, one on each resource: what exists, has ended or has a status is
  what a watch has told. Before the {BURST} at once, and before the steady rate, what was left in the cluster is removed.
- From WorkflowExecution to PipelineRun, idle: 5 WorkflowExecutions a second, with a missing bundle as above; each fails soon,
  which the bridge writes down beside the next. The floor is {CREATIONS} runs created by hand at the same rate. In a burst:
  {BURST} created over {BURST_CONNECTIONS} connections, each as fast as its answers come; the floor is as many runs created by hand in the same
  way. From the request, and from the moment when the WorkflowExecution is seen, which is when the bridge can know of it.
- Run finished to status: 2 WorkflowExecutions a second with one task that succeeds. From the sight of the run's end to the
  sight of the WorkflowExecution with a final phase. The floor is the time between two watches of the benchmark that see
  the same end of a run, whichever is the first.
- {BURST} at once: created as in the burst, with one task that succeeds, all to their ends; Tekton takes most of the time.
- API writes: PipelineRuns created, as the API server counts the requests (the server makes no other write for a run that
  ends by itself), and what the bridge counts in `wfe_bridge_kubernetes_write_seconds`, conflicts and failures included.
  The removal of the finalizer at the deletion is not in it: one more.
- Over time: a WorkflowExecution every {every} ms, whether or not those before have ended, with one task that succeeds.
  `VmRSS` of the two processes, and their CPU time from `/proc/PID/stat`, which has a resolution of 10 ms. The last row is
  after the last end.
- Memory: `VmRSS` of the process. Idle is right after it became ready. With live executions the objects of the
  simulated cluster are in it too. The budget for live executions is for 10,000 of them, so that a smaller number can show
  that it is missed, but not that it is met.
- An export verified: {EXECUTIONS} executions of four entries each, with a checkpoint after every {SIGNED_EVERY} of them, in
  memory, on one thread. CPU time of that thread, so that others who use the machine take less part in it; the best of
  {TIMES}. The floor is the hash chain alone over the same texts: what is above it is reading the lines, the numbers of
  the streams, and the signatures.
"
    )
}
