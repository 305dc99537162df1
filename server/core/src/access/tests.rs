use super::*;
use crate::{
    ids::Revision,
    request::Source,
    testing::{at, mk_id, mk_request, mk_state},
};

const BRIDGE: &str = "system:serviceaccount:kubernaut-system:wfe-bridge";

fn mk_actor(user: &str, method: AuthenticationMethod) -> Actor {
    Actor { user: user.to_owned(), method, ..Actor::anonymous(None) }
}

fn mk_execution(target: &str, source: Option<&str>, actor: Actor) -> Execution {
    let mut request = mk_request("r-1", target);
    request.source = source.map(|namespace| Source {
        namespace: namespace.to_owned(),
        name: "wfe".to_owned(),
        uid: "uid".to_owned(),
    });
    Execution {
        id: mk_id(1),
        request,
        actor,
        created_at: at(0),
        revision: Revision(1),
        updated_at: at(0),
        state: mk_state(crate::execution::StateCode::Waiting),
        clearance: None,
    }
}

#[test]
fn each_call_needs_the_right_that_its_name_promises() {
    let table = [
        (Method::Start, "create"),
        (Method::Watch, "watch"),
        (Method::Cancel, "cancel"),
        (Method::ClearBlock, "clearblock"),
        (Method::Get, "get"),
        (Method::List, "list"),
        (Method::GetTarget, "get"),
        (Method::ListEvents, "get"),
        (Method::ExportLog, "audit"),
    ];
    assert_eq!(table.map(|(method, _)| method), Method::ALL);
    for (method, verb) in table {
        assert_eq!(method.verb().as_str(), verb, "{}", method.as_str());
    }
}

#[test]
fn a_right_is_needed_where_the_target_is() {
    for (target, namespace) in
        [("default/deployment/api", "default"), ("node/worker-1", ""), ("clusterrole/a:b", "")]
    {
        assert_eq!(Scope::of_target(&target.parse().unwrap()).namespace(), namespace, "{target}");
    }
}

#[test]
fn what_a_trusted_bridge_asked_for_is_also_seen_from_where_its_object_is() {
    use AuthenticationMethod::{Certificate, None as Unchecked, Service, Token};
    let bridges: TrustedBridges = [BRIDGE.to_owned()].into_iter().collect();
    #[rustfmt::skip]
    let table = [
        ("pay/deployment/api", Some("team"), BRIDGE,  Token,       vec!["pay", "team"]),
        ("pay/deployment/api", Some("team"), BRIDGE,  Certificate, vec!["pay", "team"]),
        ("pay/deployment/api", Some("pay"),  BRIDGE,  Token,       vec!["pay"]),
        ("node/worker-1",      Some("team"), BRIDGE,  Token,       vec!["", "team"]),
        ("node/worker-1",      Some(""),     BRIDGE,  Token,       vec![""]),
        ("node/worker-1",      None,         BRIDGE,  Token,       vec![""]),
        // Whoever else writes a source only writes it.
        ("pay/deployment/api", Some("team"), "alice", Token,       vec!["pay"]),
        // A name that was never checked can be anybody's.
        ("pay/deployment/api", Some("team"), BRIDGE,  Unchecked,   vec!["pay"]),
        ("pay/deployment/api", Some("team"), BRIDGE,  Service,     vec!["pay"]),
    ];
    for (target, source, user, method, expected) in table {
        let execution = mk_execution(target, source, mk_actor(user, method));
        let scopes = Scope::of_execution(&execution, &bridges);
        let namespaces: Vec<&str> = scopes.iter().map(Scope::namespace).collect();
        assert_eq!(namespaces, expected, "{target} {source:?} {user} {method:?}");
    }
}
