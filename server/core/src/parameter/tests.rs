use std::collections::BTreeMap;

use super::*;
use crate::testing::{Sha, mk_sealed};

fn names(patterns: &[&str]) -> Result<SensitiveNames, Invalid> {
    SensitiveNames::try_from(patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
}

#[test]
fn rows_that_hold_plain_strings_are_read_as_before_and_written_as_before() {
    let old = r#"{"A":"1","TOKEN":"hunter2"}"#;
    let read: BTreeMap<String, Parameter> = serde_json::from_str(old).unwrap();
    assert_eq!(read["TOKEN"], Parameter::from("hunter2"));
    assert_eq!(serde_json::to_string(&read).unwrap(), old);
}

#[test]
fn a_sealed_value_is_kept_as_an_object_and_read_again() {
    let sealed = mk_sealed("TOKEN", "hunter2");
    let text = serde_json::to_string(&sealed).unwrap();
    let digest = hex::encode(Sha.digest("TOKEN", "hunter2").0);
    assert_eq!(text, format!(r#"{{"digest":"{digest}","sealed":"c2VhbGVk"}}"#));
    assert_eq!(serde_json::from_str::<Parameter>(&text).unwrap(), sealed);
    assert!(serde_json::from_str::<Parameter>(r#"{"digest":"12","sealed":""}"#).is_err());
}

#[test]
fn what_is_shown_of_a_sensitive_value_is_the_beginning_of_its_digest() {
    let sealed = mk_sealed("TOKEN", "hunter2");
    let begin = &hex::encode(Sha.digest("TOKEN", "hunter2").0)[..16];
    assert_eq!(sealed.shown(), format!("sensitive:hmac-sha256:{begin}"));
    assert_eq!(format!("{sealed:?}"), sealed.shown());
    assert_eq!((sealed.plain(), Parameter::from("x").plain()), (None, Some("x")));
}

#[test]
fn the_usual_names_of_secrets_are_sensitive_in_any_case_and_others_are_not() {
    let usual = SensitiveNames::default();
    for name in [
        "PASSWORD",
        "dbPassword",
        "smtp.passwd",
        "CLIENT_SECRET",
        "github-token",
        "AWS_CREDENTIALS",
        "API_KEY",
        "api-key",
        "ApiKey",
        "PRIVATE_KEY_PEM",
    ] {
        assert!(usual.contain(name), "{name}");
    }
    for name in ["REPLICAS", "REASON", "KEY", "PASS", "MONKEY", "API"] {
        assert!(!usual.contain(name), "{name}");
    }
    assert!(!SensitiveNames::none().contain("PASSWORD"));
}

#[test]
fn a_pattern_stands_for_the_whole_name() {
    let exact = names(&["pin", "x?z", "*.key"]).unwrap();
    for (name, sensitive) in
        [("PIN", true), ("pins", false), ("xyz", true), ("xz", false), ("a.KEY", true)]
    {
        assert_eq!(exact.contain(name), sensitive, "{name}");
    }
}

#[test]
fn patterns_that_match_nothing_or_are_too_many_are_refused() {
    for wrong in ["", "a b", "[ab]", "a,b", &"x".repeat(254)] {
        assert!(names(&[wrong]).is_err(), "{wrong}");
    }
    assert!(names(&["x"; 65]).is_err());
    let kept = names(&["*Token*", "x?"]).unwrap();
    assert_eq!(Vec::from(kept), ["*Token*", "x?"]);
}
