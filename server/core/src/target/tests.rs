use proptest::prelude::*;

use super::*;

fn canonical(text: &str) -> String {
    text.parse::<Target>().unwrap().to_string()
}

#[test]
fn aliases_and_case_fold_to_one_key() {
    for text in [
        "default/deployment/api",
        "default/Deployment/api",
        "default/deployments/api",
        "default/deploy/api",
        "default/DEPLOY/api",
        "default/deployments.apps/api",
    ] {
        assert_eq!(canonical(text), "default/deployment/api", "{text}");
    }
    assert_eq!(canonical("ClusterRole/system:node"), "clusterrole/system:node");
    assert_eq!(canonical("node/Worker-1".to_lowercase().as_str()), "node/worker-1");
    assert_eq!(canonical("ns/Certificates.cert-manager.io/x"), "ns/certificates.cert-manager.io/x");
}

#[test]
fn a_group_that_is_not_the_built_in_one_is_kept() {
    assert_eq!(canonical("d/services.serving.knative.dev/x"), "d/services.serving.knative.dev/x");
    assert_ne!(canonical("d/services.serving.knative.dev/x"), canonical("d/service/x"));
}

#[test]
fn malformed_targets_are_refused_with_what_is_right() {
    for text in [
        "",
        "/",
        "deployment",
        "deployment/",
        "/api",
        "a/b/c/d",
        "ns//api",
        "NS/deployment/api",
        "default/deployment/API",
        "default/dep loyment/api",
        "default/deployment/a b",
        "default/deployment/..",
        "clusterrole/..",
        "clusterrole/a%b",
        "default/deploy\u{0}/x",
    ] {
        let error = text.parse::<Target>().unwrap_err();
        assert!(error.0.contains("kind/name or namespace/kind/name"), "{text:?}: {error}");
    }
    assert!(format!("pod/{}", "a".repeat(254)).parse::<Target>().is_err());
    assert!(format!("pod/{}", "a".repeat(253)).parse::<Target>().is_ok());
}

#[test]
fn the_hash_of_a_local_target_is_that_of_its_canonical_form_alone() {
    let key = |cluster: &str| TargetKey {
        cluster: cluster.parse().unwrap(),
        target: "default/deployment/api".parse().unwrap(),
    };
    // printf default/deployment/api | sha256sum
    assert_eq!(key("").hash(), "bb7f906a0de30f9a");
    assert_ne!(key("").hash(), key("east").hash());
}

#[test]
fn label_values_of_odd_targets_are_valid() {
    assert_eq!(label_value("clusterrole/system:node"), "clusterrole__system-node");
    assert_eq!(label_value("pod/x_"), "pod__x");
    assert_eq!(label_value(":::"), "");
    assert_eq!(label_value(&format!("pod/{}", "a".repeat(253))).len(), 63);
}

fn is_label_value(value: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || (value.len() <= 63
            && value.starts_with(edge)
            && value.ends_with(edge)
            && value.chars().all(|c| edge(c) || "-_.".contains(c)))
}

proptest! {
    #[test]
    fn any_text_gives_a_valid_label_value(text in ".{0,300}") {
        prop_assert!(is_label_value(&label_value(&text)));
    }

    #[test]
    fn parsing_never_panics_and_a_canonical_form_is_a_fixed_point(text in ".{0,80}") {
        if let Ok(target) = text.parse::<Target>() {
            let again: Target = target.to_string().parse().unwrap();
            prop_assert_eq!(again, target);
        }
    }

    #[test]
    fn well_formed_targets_are_accepted_and_fixed_points(
        namespace in proptest::option::of("[a-z]([a-z0-9-]{0,20}[a-z0-9])?"),
        kind in "[A-Za-z]{1,20}",
        name in "[a-z]([a-z0-9.-]{0,5}[a-z0-9])?",
    ) {
        prop_assume!(!name.contains("..") && !name.contains(".-") && !name.contains("-."));
        let text = match namespace {
            Some(namespace) => format!("{namespace}/{kind}/{name}"),
            None => format!("{kind}/{name}"),
        };
        let target: Target = text.parse().unwrap();
        prop_assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
    }
}
