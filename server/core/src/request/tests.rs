use super::*;
use crate::testing::{Sha, mk_inline, mk_request, mk_sealed};

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn kept(pairs: &[(&str, &str)]) -> BTreeMap<String, Parameter> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), Parameter::from(*v))).collect()
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
    request.parameters = kept(&[("A", "1"), ("B", "2")]);
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
    assert_eq!(other.first_difference(&accepted, &Sha), None);
    other.parameters = kept(&[("A", "1")]);
    other.when_locked = WhenLocked::Wait;
    assert_eq!(other.first_difference(&accepted, &Sha), Some("parameters"));
}

#[test]
fn a_repetition_is_the_same_request_however_its_values_are_kept() {
    let mut plain = mk_request("r", "pod/x");
    plain.parameters = kept(&[("A", "1"), ("TOKEN", "hunter2")]);
    let mut sealed = plain.clone();
    sealed.parameters.insert("TOKEN".to_owned(), mk_sealed("TOKEN", "hunter2"));
    let mut other = plain.clone();
    other.parameters.insert("TOKEN".to_owned(), mk_sealed("TOKEN", "hunter3"));
    // Sealed again it looks otherwise, and is the same.
    let mut again = sealed.clone();
    if let Some(Parameter::Sensitive(value)) = again.parameters.get_mut("TOKEN") {
        value.sealed = "b3RoZXI".to_owned();
    }
    for (one, two) in [(&plain, &sealed), (&sealed, &plain), (&sealed, &again)] {
        assert_eq!(one.first_difference(two, &Sha), None);
    }
    for one in [&plain, &sealed] {
        assert_eq!(one.first_difference(&other, &Sha), Some("parameters"));
        assert_eq!(other.first_difference(one, &Sha), Some("parameters"));
    }
}

#[test]
fn a_name_marked_as_sensitive_that_is_no_parameter_is_named() {
    let given = parameters(&[("A", "1"), ("TARGET_RESOURCE", "pod/x")]);
    let marked = ["A", "B", "TARGET_RESOURCE", "a"].map(ToOwned::to_owned);
    let wrong = check_sensitive(marked.to_vec(), &given).unwrap_err();
    let expected =
        ["sensitive_parameters[1]", "sensitive_parameters[2]", "sensitive_parameters[3]"];
    assert_eq!(fields(&wrong), expected);
    let twice = vec!["A".to_owned(), "A".to_owned()];
    assert_eq!(check_sensitive(twice, &given).unwrap(), BTreeSet::from(["A".to_owned()]));
    let many = vec!["A".to_owned(); MAX_PARAMETERS + 9];
    assert_eq!(fields(&check_sensitive(many, &given).unwrap_err()), ["sensitive_parameters[256]"]);
}

#[test]
fn other_steps_are_another_request_and_the_field_that_was_sent_is_named() {
    let bundle = mk_request("r", "pod/x");
    let steps = |name| StartRequest { workflow: mk_inline(name).into(), ..bundle.clone() };
    assert_eq!(steps("a").first_difference(&steps("a"), &Sha), None);
    assert_eq!(steps("a").first_difference(&steps("b"), &Sha), Some("inline"));
    assert_eq!(steps("a").first_difference(&bundle, &Sha), Some("inline"));
    assert_eq!(bundle.first_difference(&steps("a"), &Sha), Some("bundle"));
}

#[test]
fn steps_of_a_catalogue_are_told_again_by_its_id() {
    let mut request = StartRequest { workflow: mk_inline("a").into(), ..mk_request("r", "pod/x") };
    assert!(request.workflow_key().as_str().starts_with("inline#"));
    request.identity.id = "restart".to_owned();
    assert_eq!(request.workflow_key().as_str(), "restart");
}
