use super::*;

const ME: &str = "system:serviceaccount:ns:me";

fn permission(text: &str) -> Permission {
    let words: Vec<&str> = text.split(' ').collect();
    Permission {
        verb: words[0].to_owned(),
        resource: words[1].to_owned(),
        group: words[2].trim_matches('-').to_owned(),
        namespace: words.get(3).map(|namespace| (*namespace).to_owned()),
        name: words.get(4).map(|name| (*name).to_owned()),
    }
}

fn permissions(texts: &[&str]) -> BTreeSet<Permission> {
    texts.iter().map(|text| permission(text)).collect()
}

fn line(user: &str, verb: &str, object: &str, decision: &str, reason: &str) -> String {
    format!(
        concat!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","stage":"ResponseComplete","#,
            r#""requestURI":"/apis/g/v1?limit=5","verb":"{verb}","user":{{"username":"{user}"}},{object}"#,
            r#""annotations":{{"authorization.k8s.io/decision":"{decision}","authorization.k8s.io/reason":"{reason}"}}}}"#,
            "\n"
        ),
        verb = verb,
        user = user,
        object = object,
        decision = decision,
        reason = reason.replace('"', "\\\"")
    )
}

const BY_ROLE: &str =
    r#"RBAC: allowed by RoleBinding "me/ns" of Role "me" to ServiceAccount "me/ns""#;
const BY_GROUP: &str = r#"RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated""#;
const RUN: &str = r#""objectRef":{"resource":"pipelineruns","namespace":"ns","apiGroup":"tekton.dev","apiVersion":"v1"},"#;
const STATUS: &str = r#""objectRef":{"resource":"pods","subresource":"status","name":"p","namespace":"ns","apiVersion":"v1"},"#;

#[test]
fn the_log_tells_what_was_allowed_by_a_role_and_what_was_refused() -> Result<()> {
    let log = [
        line(ME, "list", RUN, "allow", BY_ROLE),
        line(ME, "list", RUN, "allow", BY_ROLE),
        line(ME, "patch", STATUS, "forbid", ""),
        line(ME, "get", "", "allow", BY_GROUP),
        line(ME, "post", "", "forbid", ""),
        line("system:serviceaccount:ns:other", "delete", RUN, "allow", BY_ROLE),
        r#"{"kind":"Event","half":"#.to_owned(),
    ];
    let usage = Usage::in_log(&log.concat(), ME)?;
    assert_eq!(usage.allowed, permissions(&["list pipelineruns tekton.dev ns"]));
    assert_eq!(usage.refused, permissions(&["patch pods/status - ns p", "post /apis/g/v1 -"]));
    Ok(())
}

#[test]
fn a_line_that_is_no_event_is_an_error() {
    assert!(Usage::in_log("{}\n", ME).is_err());
}

#[test]
fn what_was_granted_for_a_namespace_is_used_there_only() {
    let granted =
        permissions(&["get pods - a", "get pods - b", "get pods/log - a", "get secrets -"]);
    let usage = Usage {
        allowed: permissions(&["get pods - a", "get secrets - c"]),
        refused: BTreeSet::new(),
    };
    assert_eq!(usage.unused(&granted), permissions(&["get pods - b", "get pods/log - a"]));
}

#[test]
fn what_was_granted_for_a_name_is_used_with_that_name_only() {
    let granted = permissions(&["get secrets - a mine", "get secrets - a other", "get pods - a"]);
    let usage = Usage {
        allowed: permissions(&["get secrets - a mine", "get secrets - a third", "get pods - a p"]),
        refused: BTreeSet::new(),
    };
    assert_eq!(usage.unused(&granted), permissions(&["get secrets - a other"]));
}

#[test]
fn a_rule_is_every_verb_on_every_resource() -> Result<()> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rule = PolicyRule {
        api_groups: Some(words(&["tekton.dev"])),
        resources: Some(words(&["pipelineruns", "taskruns"])),
        verbs: words(&["get", "list"]),
        ..PolicyRule::default()
    };
    let granted = expand(std::slice::from_ref(&rule), Some("ns"))?;
    let wanted = permissions(&[
        "get pipelineruns tekton.dev ns",
        "list pipelineruns tekton.dev ns",
        "get taskruns tekton.dev ns",
        "list taskruns tekton.dev ns",
    ]);
    assert_eq!(granted, wanted);
    let named = PolicyRule {
        resources: Some(words(&["taskruns"])),
        resource_names: Some(words(&["one"])),
        verbs: words(&["get"]),
        ..rule.clone()
    };
    let named = expand(std::slice::from_ref(&named), Some("ns"))?;
    assert_eq!(named, permissions(&["get taskruns tekton.dev ns one"]));

    for open in [
        PolicyRule { verbs: words(&["*"]), ..rule.clone() },
        PolicyRule { api_groups: Some(words(&["*"])), ..rule.clone() },
        PolicyRule { resources: Some(words(&["pods", "*"])), ..rule.clone() },
        PolicyRule { non_resource_urls: Some(words(&["/metrics"])), ..rule },
    ] {
        assert!(expand(std::slice::from_ref(&open), None).is_err(), "{open:?}");
    }
    Ok(())
}
