//! The facts in PipelineRuns and TaskRuns. Pure; takes whatever a cluster may hold.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use wfe_core::{
    execution::CancelMode,
    facts::{
        Child, Condition, ContainerState, RunFacts, Skipped, Status, StepFacts, Stopped,
        TaskRunFacts,
    },
};
use wfe_crds::{
    names::{label, tekton_label},
    tekton::{self, PipelineRun, StepState, TaskRun, TaskRunStatus},
};

use wfe_runtime::cluster::{Version, version_of};

use super::cache::Versioned;

/// The object cannot be read as what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it has no {missing}")]
pub(super) struct Unreadable {
    missing: &'static str,
}

/// The facts of a PipelineRun.
pub(super) fn run(run: PipelineRun) -> Result<Versioned<RunFacts>, Unreadable> {
    let Identity { name, uid, version, created_at } = identity(&run.metadata)?;
    let status = run.status.unwrap_or_default();
    let tasks = status.pipeline_spec.map(|pipeline| {
        let tasks = pipeline.tasks.into_iter().chain(pipeline.finally);
        tasks.map(|task| task.name).collect()
    });
    let children = status.child_references.into_iter().map(|child| Child {
        kind: child.kind,
        name: child.name,
        pipeline_task: child.pipeline_task_name,
    });
    let facts = RunFacts {
        name,
        uid,
        execution: label_of(&run.metadata, label::EXECUTION_ID).and_then(|id| id.parse().ok()),
        target_hash: label_of(&run.metadata, label::TARGET_HASH).map(ToOwned::to_owned),
        created_at,
        condition: succeeded(status.conditions),
        started_at: time(status.start_time.as_ref()),
        completed_at: time(status.completion_time.as_ref()),
        tasks,
        children: children.collect(),
        skipped: status
            .skipped_tasks
            .into_iter()
            .map(|task| Skipped { task: task.name, reason: task.reason })
            .collect(),
        stopping: run.spec.status.as_deref().and_then(stopping),
    };
    Ok(Versioned { facts, version })
}

/// How a `spec.status` asks a PipelineRun to stop.
pub(super) fn stopping(wish: &str) -> Option<CancelMode> {
    CancelMode::ALL.into_iter().find(|mode| wish_of(*mode) == wish)
}

/// The `spec.status` that asks a PipelineRun to stop in this way.
pub(super) const fn wish_of(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::StopAndFinally => tekton::STOPPED_RUN_FINALLY,
        CancelMode::RunFinally => tekton::CANCELLED_RUN_FINALLY,
        CancelMode::Immediate => tekton::CANCELLED,
    }
}

/// The facts of a TaskRun that belongs to a PipelineRun.
pub(super) fn task_run(task: TaskRun) -> Result<Versioned<TaskRunFacts>, Unreadable> {
    let Identity { name, uid, version, created_at } = identity(&task.metadata)?;
    let run_uid = label_of(&task.metadata, tekton_label::PIPELINE_RUN_UID)
        .or_else(|| owning_run(&task.metadata))
        .ok_or(Unreadable { missing: "PipelineRun that it belongs to" })?
        .to_owned();
    let pipeline_task = label_of(&task.metadata, tekton_label::PIPELINE_TASK).unwrap_or_default();
    let pipeline_task = pipeline_task.to_owned();
    let status = task.status.unwrap_or_default();
    let ran = |attempt: &TaskRunStatus| steps(attempt, created_at).iter().any(StepFacts::ran);
    let facts = TaskRunFacts {
        name,
        uid,
        run_uid,
        pipeline_task,
        started_at: time(status.start_time.as_ref()),
        completed_at: time(status.completion_time.as_ref()),
        failed_attempts: u32::try_from(status.retries_status.len()).unwrap_or(u32::MAX),
        earlier_attempt_ran: status.retries_status.iter().any(ran),
        stopped: match task.spec.status.as_deref() {
            Some(tekton::TASK_RUN_CANCELLED) if task.spec.status_message == RUN_TIMED_OUT => {
                Stopped::RunTimedOut
            }
            Some(tekton::TASK_RUN_CANCELLED) => Stopped::Asked,
            Some(_) | None => Stopped::No,
        },
        steps: steps(&status, created_at),
        condition: succeeded(status.conditions),
    };
    Ok(Versioned { facts, version })
}

/// Tekton stops a TaskRun for two reasons with one word, and tells them apart in this sentence.
const RUN_TIMED_OUT: &str = "TaskRun cancelled as the PipelineRun it belongs to has timed out.";

struct Identity {
    name: String,
    uid: String,
    version: Version,
    created_at: Timestamp,
}

fn identity(metadata: &ObjectMeta) -> Result<Identity, Unreadable> {
    let some = |text: &Option<String>, missing| {
        text.clone().filter(|text| !text.is_empty()).ok_or(Unreadable { missing })
    };
    Ok(Identity {
        name: some(&metadata.name, "name")?,
        uid: some(&metadata.uid, "UID")?,
        version: version_of(metadata),
        created_at: time(metadata.creation_timestamp.as_ref())
            .ok_or(Unreadable { missing: "time of creation" })?,
    })
}

fn label_of<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(name).map(String::as_str)
}

fn owning_run(metadata: &ObjectMeta) -> Option<&str> {
    let owners = metadata.owner_references.iter().flatten();
    let mut runs = owners.filter(|owner| owner.kind == "PipelineRun");
    runs.next().map(|owner| owner.uid.as_str())
}

/// A time that Kubernetes left zero is none.
fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0).filter(|time| *time > Timestamp::UNIX_EPOCH)
}

fn succeeded(conditions: Vec<tekton::Condition>) -> Option<Condition> {
    let condition = conditions.into_iter().find(|condition| condition.r#type == "Succeeded")?;
    let status = match condition.status.as_str() {
        "True" => Status::True,
        "False" => Status::False,
        _ => Status::Unknown,
    };
    Some(Condition { status, reason: condition.reason, message: condition.message })
}

/// The steps of one attempt of a TaskRun that was created at `created_at`.
fn steps(attempt: &TaskRunStatus, created_at: Timestamp) -> Vec<StepFacts> {
    let verdict = attempt.conditions.iter().find(|condition| condition.r#type == "Succeeded");
    let verdict = verdict.map_or("", |condition| condition.reason.as_str());
    attempt.steps.iter().map(|step| self::step(step, verdict, created_at)).collect()
}

fn step(step: &StepState, verdict: &str, created_at: Timestamp) -> StepFacts {
    // Tekton leaves the name out where it knows the container only.
    let name = match step.name.as_str() {
        "" => step.container.strip_prefix("step-").unwrap_or(&step.container),
        name => name,
    };
    let state = if let Some(terminated) = &step.terminated {
        let started_at = time(terminated.started_at.as_ref());
        // When Tekton gives a TaskRun up, it writes its own reason into steps that still waited, and
        // as the start, which must not be empty, the creation of the TaskRun. A container that was
        // really made has an image.
        let made_up = terminated.reason == verdict
            && step.image_id.is_empty()
            && started_at.is_some_and(|start| start <= created_at);
        ContainerState::Terminated {
            exit_code: terminated.exit_code,
            // Tekton tells more than the kubelet: that a step was skipped, timed out, or may fail.
            reason: match step.termination_reason.as_str() {
                "" => terminated.reason.clone(),
                reason => reason.to_owned(),
            },
            started_at: started_at.filter(|_| !made_up),
            ended_at: time(terminated.finished_at.as_ref()),
        }
    } else if let Some(running) = &step.running {
        ContainerState::Running { started_at: time(running.started_at.as_ref()) }
    } else if let Some(waiting) = &step.waiting {
        ContainerState::Waiting { reason: waiting.reason.clone(), message: waiting.message.clone() }
    } else {
        ContainerState::Unknown
    };
    StepFacts { name: name.to_owned(), state }
}

#[cfg(test)]
mod tests;
