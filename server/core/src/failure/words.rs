//! What a message says where Tekton and Kubernetes say it in words alone.
//!
//! A phrase is looked for between borders of words, and only under reasons where the system itself
//! writes it: names and messages of workflows decide nothing.

use super::FailureReason;

/// A phrase that was found, and what it means.
pub(super) type Found = (&'static str, FailureReason);

/// The first of the phrases that `message` has.
fn first(message: &str, phrases: &[Found]) -> Option<Found> {
    phrases.iter().find(|(phrase, _)| has(message, phrase)).copied()
}

/// A refusal of the API server. The service account comes first: that it is missing is told as a pod
/// that is forbidden.
pub(super) fn refusal(message: &str) -> Option<Found> {
    // Tekton has one reason for a pod that is refused and for a container that cannot be made; what a
    // kubelet says of the latter is no refusal.
    if message.starts_with("the step ") || message.starts_with("the sidecar ") {
        return None;
    }
    denial(message).or_else(|| first(message, REFUSALS))
}

const REFUSALS: &[Found] = &[
    ("error looking up service account", FailureReason::ConfigurationError),
    ("exceeded quota", FailureReason::ResourceExhausted),
    ("is forbidden:", FailureReason::Forbidden),
];

/// A denial by a webhook or a policy. What it says after these words is somebody's own text, and decides
/// nothing.
pub(super) fn denial(message: &str) -> Option<Found> {
    first(
        message,
        &[
            // Tekton's own webhook, which looks at definitions.
            (".pipeline.tekton.dev\" denied the request", FailureReason::ConfigurationError),
            ("denied the request", FailureReason::Forbidden),
            ("denied request:", FailureReason::Forbidden),
        ],
    )
}

/// What says that a definition could not be fetched.
const NOT_REACHED: [&str; 12] = [
    "resolution took longer than global timeout",
    // What we ask for is always complete: a resolver that just came up took it for its own.
    "invalid resource request",
    "connection refused",
    "connection reset by peer",
    "i/o timeout",
    "TLS handshake timeout",
    "context deadline exceeded",
    "TOOMANYREQUESTS",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
];

/// The definition could not be fetched, which says nothing about it.
pub(super) fn not_reached(message: &str) -> Option<Found> {
    let found = NOT_REACHED.into_iter().find(|phrase| has(message, phrase))?;
    Some((found, FailureReason::Unknown))
}

/// What the kubelet says of a pod that failed as a whole, told under `Failed`.
pub(super) fn pod(message: &str) -> Option<Found> {
    let start = |phrase: &str| message.starts_with(phrase);
    if start("The node was low on resource") {
        return Some(("The node was low on resource", FailureReason::ResourceExhausted));
    }
    if start("Pod was active on the node longer than the specified deadline") {
        return Some(("active on the node longer than", FailureReason::DeadlineExceeded));
    }
    if start("init container failed,") && message.ends_with("exited with code 137: OOMKilled") {
        return Some(("exited with code 137: OOMKilled", FailureReason::OomKilled));
    }
    None
}

/// The reason that a TaskRun had before it was stopped, which newer releases append.
pub(super) fn previous_reason(message: &str) -> Option<&str> {
    let (_, rest) = message.rsplit_once("\nPrevious status: [")?;
    Some(rest.split_once(']')?.0)
}

/// Whether `text` has `phrase`, beginning and ending where words do.
fn has(text: &str, phrase: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let (begins, ends) = (phrase.starts_with(word), phrase.ends_with(word));
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(word);
        let after = text[at + phrase.len()..].chars().next().is_some_and(word);
        !(begins && before || ends && after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_counts_only_as_words() {
        assert!(has("pods: exceeded quota: q", "exceeded quota"));
        assert!(has("exceeded quota", "exceeded quota"));
        for text in ["unexceeded quota", "exceeded quotas", "exceeded quota-page", "Exceeded Quota"]
        {
            assert!(!has(text, "exceeded quota"), "{text}");
        }
    }

    #[test]
    fn what_a_policy_says_of_its_denial_decides_nothing() {
        for denied in [
            "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: \
             exceeded quota of zooms",
            "admission webhook \"p.example\" denied the request: error looking up service account",
            "admission webhook \"p.example\" denied the request without explanation",
        ] {
            assert_eq!(
                refusal(denied).map(|found| found.1),
                Some(FailureReason::Forbidden),
                "{denied}"
            );
        }
        let tekton = "admission webhook \"validation.webhook.pipeline.tekton.dev\" denied the request: \
                      validation failed: expected exactly one, got neither";
        let found = refusal(tekton).map(|found| found.1);
        assert_eq!(found, Some(FailureReason::ConfigurationError));
        let quota = "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1";
        assert_eq!(refusal(quota).map(|found| found.1), Some(FailureReason::ResourceExhausted));
    }

    #[test]
    fn a_service_account_that_is_missing_is_not_a_right_that_is_missing() {
        let missing = "pods \"x\" is forbidden: error looking up service account ns/nobody: \
                       serviceaccount \"nobody\" not found";
        assert_eq!(refusal(missing).map(|found| found.1), Some(FailureReason::ConfigurationError));
    }
}
