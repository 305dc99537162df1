//! What happened and what to do next, in a sentence or two for a person.

use jiff::SignedDuration;

use super::FailureReason;
use crate::{
    progress::{MAX_MESSAGE_BYTES, shorten},
    stuck::{StuckOn, Wait},
};

/// Where it failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) task: Option<&'a str>,
    pub(super) step: Option<&'a str>,
}

/// What the system said is kept in full beside the sentence.
const SAID_BYTES: usize = 300;

pub(super) fn of(
    reason: FailureReason,
    place: Place<'_>,
    exit_code: Option<i32>,
    attempt: u32,
    raw_reason: &str,
    message: &str,
) -> String {
    let place = match (place.task, place.step) {
        (Some(task), Some(step)) => format!("step {step} of task {task}"),
        (Some(task), None) => format!("task {task}"),
        (None, _) => "run".to_owned(),
    };
    let said = said(message);
    let attempt = if attempt > 1 { format!(" in attempt {attempt}") } else { String::new() };
    let text = match reason {
        FailureReason::TaskFailed => match exit_code {
            Some(code) => format!(
                "The {place} exited with code {code}{attempt}. Read its log, and look at the target before it is tried again."
            ),
            None => format!(
                "The {place} failed{attempt}{said}. Read its log, and look at the target before it is tried again."
            ),
        },
        FailureReason::OomKilled => format!(
            "The {place} ran out of memory and was killed{attempt}. Raise its memory limit, or make it use less."
        ),
        FailureReason::DeadlineExceeded => {
            format!(
                "Time ran out in the {place}{said}. Give it more time, or find out what held it."
            )
        }
        FailureReason::Forbidden => format!(
            "Kubernetes refused the {place}{said}. Give its service account the right, or change what it asks for."
        ),
        FailureReason::ResourceExhausted => format!(
            "There was no room for the {place}{said}. Raise the quota or free some of the cluster, then try again."
        ),
        FailureReason::ConfigurationError => format!(
            "The definition of the {place} is wrong{said}. Correct the workflow, its parameters or what it refers to."
        ),
        FailureReason::ImagePullBackOff => format!(
            "An image of the {place} could not be pulled{said}. Check its name, the registry and the credentials for it."
        ),
        FailureReason::Unknown => {
            let raw = if raw_reason.is_empty() { "no reason given" } else { raw_reason };
            format!(
                "The {place} failed{attempt}, and it is not certain why ({raw}){said}. Look at the PipelineRun, and at the target before it is tried again."
            )
        }
    };
    shorten(&text, MAX_MESSAGE_BYTES)
}

pub(super) fn stuck(wait: &Wait, waited: SignedDuration) -> String {
    let seconds = waited.as_secs().max(0);
    let waited = match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    };
    let advice = match wait.on {
        StuckOn::Resolution => "Look at the resolvers of Tekton and at the registry.",
        StuckOn::ImagePull => {
            "Check the name of the image, the registry and the credentials for it."
        }
        StuckOn::Quota => "Raise the quota, or free some of it.",
        StuckOn::Scheduling => "Make room on the nodes, or ask for less, or for other nodes.",
        StuckOn::Volume => {
            "Check the claim that the task refers to, its storage class and what provisions it."
        }
        StuckOn::ContainerConfig => "Check the secrets and config maps that the task refers to.",
        StuckOn::TaskStart if wait.task.is_none() => {
            "Look at the events of the PipelineRun: a quota or a policy may refuse its tasks."
        }
        StuckOn::TaskStart => {
            "Look at the events of its pod: a volume, a secret or a config map that is missing, the network, or an image that takes long."
        }
    };
    let what = shorten(&wait.sentence(), 2 * SAID_BYTES);
    shorten(&format!("It was stopped after {waited}: {what}. {advice}"), MAX_MESSAGE_BYTES)
}

/// The API server refused to create the run, for this `reason`.
pub fn not_created(reason: FailureReason, message: &str) -> String {
    let advice = match reason {
        FailureReason::Forbidden => {
            "Give the service the right, or change what the policy asks for."
        }
        FailureReason::ResourceExhausted => "Raise the quota, or free some of it.",
        FailureReason::TaskFailed
        | FailureReason::OomKilled
        | FailureReason::DeadlineExceeded
        | FailureReason::ConfigurationError
        | FailureReason::ImagePullBackOff
        | FailureReason::Unknown => {
            "Correct what the message names: the workflow, its parameters or the cluster."
        }
    };
    shorten(&format!("The run could not be created{}. {advice}", said(message)), MAX_MESSAGE_BYTES)
}

pub(super) fn not_fetched(message: &str) -> String {
    let text = format!(
        "The definition of the workflow could not be fetched{}. It may be right: try again, and look at the resolvers and the registry when that does not help.",
        said(message)
    );
    shorten(&text, MAX_MESSAGE_BYTES)
}

/// The beginning says what was tried and the end why it failed; what is between gives way.
fn said(message: &str) -> String {
    let message = message.trim();
    let whole = shorten(message, 2 * SAID_BYTES);
    let said = if whole.len() <= SAID_BYTES {
        whole
    } else {
        let end = message.char_indices().rev().map(|(at, _)| at);
        let from = end.take_while(|at| message.len() - at <= SAID_BYTES / 2).last();
        let end = shorten(&message[from.unwrap_or(message.len())..], SAID_BYTES);
        format!("{} … {end}", shorten(message, SAID_BYTES / 2))
    };
    match said.trim_end_matches('.') {
        "" => String::new(),
        said => format!(": {said}"),
    }
}
