use super::*;
use crate::testing::mk_request;

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn fields(wrong: &Violations) -> Vec<&str> {
    wrong.0.iter().map(|v| v.field.as_str()).collect()
}

#[test]
fn the_target_parameter_is_dropped_when_it_repeats_the_target_and_refused_when_it_overrides() {
    let same = parameters(&[("TARGET_RESOURCE", "default/Deployment/api"), ("A", "1")]);
    let kept = check_parameters(same, "default/Deployment/api").unwrap();
    assert_eq!(kept, parameters(&[("A", "1")]));

    let other = parameters(&[("TARGET_RESOURCE", "default/deployment/db")]);
    let wrong = check_parameters(other, "default/deployment/api").unwrap_err();
    assert_eq!(fields(&wrong), ["parameters[\"TARGET_RESOURCE\"]"]);
}

#[test]
fn names_and_values_beyond_limits_are_named_all_at_once() {
    let long = "x".repeat(MAX_PARAMETER_BYTES + 1);
    let given = parameters(&[("1st", ""), ("ok", &long), ("OK", "2"), ("", "3"), ("n", "a\0b")]);
    let wrong = check_parameters(given, "pod/x").unwrap_err();
    assert_eq!(
        fields(&wrong),
        [
            "parameters[\"\"]",
            "parameters[\"1st\"]",
            "parameters[\"n\"]",
            "parameters[\"ok\"]",
            "parameters[\"ok\"]"
        ],
    );
}

#[test]
fn too_many_parameters_and_too_many_bytes_are_refused() {
    let many = (0..=MAX_PARAMETERS).map(|i| (format!("p{i}"), String::new())).collect();
    assert_eq!(fields(&check_parameters(many, "").unwrap_err()), ["parameters"]);
    let big = (0..9).map(|i| (format!("p{i}"), "x".repeat(MAX_PARAMETER_BYTES))).collect();
    assert_eq!(fields(&check_parameters(big, "").unwrap_err()), ["parameters"]);
}

#[test]
fn declared_names_decide_what_reaches_the_run() {
    let mut request = mk_request("r", "pod/x");
    request.parameters = parameters(&[("A", "1"), ("B", "2")]);
    let effective =
        |r: &StartRequest| r.effective_parameters().map(|(n, _)| n.to_owned()).collect::<Vec<_>>();
    assert_eq!(effective(&request), ["A", "B"]);
    request.declared = Some(BTreeSet::from(["B".to_owned(), "C".to_owned()]));
    assert_eq!(effective(&request), ["B"]);
    request.declared = Some(BTreeSet::new());
    assert!(effective(&request).is_empty());
}

#[test]
fn the_first_difference_is_named_and_spelling_of_the_target_is_none() {
    let accepted = mk_request("r", "default/deployment/api");
    let mut other = accepted.clone();
    other.target_as_given = "default/Deployment/api".to_owned();
    assert_eq!(other.first_difference(&accepted), None);
    other.parameters = parameters(&[("A", "1")]);
    other.when_locked = WhenLocked::Wait;
    assert_eq!(other.first_difference(&accepted), Some("parameters"));
}
