use serde_json::{Value, json};

use super::*;
use crate::object::RawObject;

fn mk_object(name: &str, uid: &str, version: u64, status: &Value) -> Object {
    let raw: RawObject = serde_json::from_value(json!({
        "metadata": {
            "namespace": "n", "name": name, "uid": uid, "resourceVersion": version.to_string(),
        },
        "status": status,
    }))
    .unwrap();
    Object::read(raw)
}

fn mk_new(name: &str, uid: &str, version: u64) -> Object {
    mk_object(name, uid, version, &Value::Null)
}

fn mk_finished(name: &str, uid: &str, version: u64) -> Object {
    let status = json!({"phase": "Completed", "completionTime": "2026-01-02T03:04:05Z"});
    mk_object(name, uid, version, &status)
}

fn mk_metadata(name: &str, uid: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some("n".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectMeta::default()
    }
}

fn version_of(sight: &watch::Receiver<Sight>) -> Option<Version> {
    match &*sight.borrow() {
        Sight::Present(object) => Some(object.version),
        Sight::Gone => None,
    }
}

#[test]
fn a_new_object_gets_one_follower_who_sees_what_comes() {
    let mut desk = Desk::default();
    let sight = desk.see(mk_new("a", "1", 5)).unwrap();
    assert!(desk.see(mk_new("a", "1", 7)).is_none());
    assert_eq!(version_of(&sight), Some(7));
}

#[test]
fn what_is_older_than_what_was_seen_is_not_looked_at() {
    let mut desk = Desk::default();
    let sight = desk.see(mk_new("a", "1", 5)).unwrap();
    assert!(desk.see(mk_finished("a", "1", 4)).is_none());
    assert!(desk.see(mk_new("a", "0", 3)).is_none());
    assert_eq!(version_of(&sight), Some(5));
}

#[test]
fn a_finished_object_gets_no_follower_and_is_not_kept() {
    let mut desk = Desk::default();
    assert!(desk.replace(vec![mk_finished("a", "1", 5)], 9).is_empty());
    assert!(desk.see(mk_finished("a", "1", 6)).is_none());
    assert!(desk.entries.values().all(|entry| entry.follower.is_none()));
}

#[test]
fn who_rests_is_replaced_when_there_is_news() {
    let mut desk = Desk::default();
    let mut sight = desk.see(mk_new("a", "1", 5)).unwrap();
    sight.borrow_and_update();
    let key = mk_new("a", "1", 5).key;
    assert!(desk.rest(&key, "1", &sight));
    assert!(desk.see(mk_new("a", "1", 6)).is_some());
}

#[test]
fn who_has_not_seen_the_latest_may_not_rest() {
    let mut desk = Desk::default();
    let mut sight = desk.see(mk_new("a", "1", 5)).unwrap();
    sight.borrow_and_update();
    assert!(desk.see(mk_new("a", "1", 6)).is_none());
    let key = mk_new("a", "1", 5).key;
    assert!(!desk.rest(&key, "1", &sight));
    sight.borrow_and_update();
    assert!(desk.rest(&key, "1", &sight));
}

#[test]
fn another_object_by_the_same_name_has_a_follower_of_its_own() {
    let mut desk = Desk::default();
    let mut first = desk.see(mk_new("a", "1", 5)).unwrap();
    let mut second = desk.see(mk_new("a", "2", 8)).unwrap();
    assert_eq!((version_of(&first), version_of(&second)), (None, Some(8)));
    first.borrow_and_update();
    second.borrow_and_update();
    let key = mk_new("a", "1", 5).key;
    assert!(desk.rest(&key, "1", &first));
    // The second one is still followed by whom it was.
    assert!(desk.see(mk_new("a", "2", 9)).is_none());
    assert_eq!(version_of(&second), Some(9));
    // What is told late of the first one does not touch the second.
    desk.forget(&mk_metadata("a", "1"));
    assert_eq!(version_of(&second), Some(9));
}

#[test]
fn what_vanished_is_gone_for_its_follower() {
    let mut desk = Desk::default();
    let deleted = desk.see(mk_new("deleted", "1", 5)).unwrap();
    let unlisted = desk.see(mk_new("unlisted", "2", 6)).unwrap();
    let newer = desk.see(mk_new("newer", "3", 12)).unwrap();
    desk.forget(&mk_metadata("deleted", "1"));
    assert_eq!(version_of(&deleted), None);
    assert!(desk.replace(Vec::new(), 10).is_empty());
    assert_eq!(version_of(&unlisted), None);
    // The list is older than this object.
    assert_eq!(version_of(&newer), Some(12));
}

#[test]
fn a_follower_sees_once_what_changed_and_also_that_its_object_is_gone() {
    let mut desk = Desk::default();
    let mut sight = desk.see(mk_new("a", "1", 5)).unwrap();
    sight.mark_unchanged();
    assert!(news(&mut sight).is_none());
    assert!(desk.see(mk_new("a", "1", 6)).is_none());
    assert!(matches!(news(&mut sight), Some(Sight::Present(object)) if object.version == 6));
    assert!(news(&mut sight).is_none());
    desk.forget(&mk_metadata("a", "1"));
    assert!(matches!(news(&mut sight), Some(Sight::Gone)));
}

#[test]
fn a_follower_sees_that_its_object_is_gone_when_another_one_has_the_name() {
    let mut desk = Desk::default();
    let mut sight = desk.see(mk_new("a", "1", 5)).unwrap();
    assert!(desk.see(mk_new("a", "2", 6)).is_some());
    assert!(matches!(news(&mut sight), Some(Sight::Gone)));
}
