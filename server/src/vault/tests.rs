use proptest::prelude::*;

use super::*;
use crate::testing::{mk_request, vault};
use wfe_core::request::WhenLocked;

const NONCE: [u8; NONCE_LEN] = [3; NONCE_LEN];

fn id(text: &str) -> RequestId {
    text.parse().unwrap()
}

fn other_vault() -> Vault {
    Vault::new(&ParameterKey::new([8; 32])).unwrap()
}

#[test]
fn digest_and_fingerprint_of_a_key_are_fixed() {
    // What is in databases is compared with these for ever. Worked out by another program.
    assert_eq!(vault().fingerprint().as_str(), "161aa176e21b39c5295e2cc3b50d1670");
    assert_eq!(
        hex::encode(vault().digest("TOKEN", "hunter2").0),
        "8b078b0805b5ccf2970758f2a2ca09f8d051261e12e76a651bed37e50795ff75"
    );
    let sealed = vault().seal_with(NONCE, &id("r"), "TOKEN", "hunter2").unwrap();
    assert_eq!(sealed.sealed, "AwMDAwMDAwMDAwMDNih5jRpnhUmZjqZSkoGfpnsD2DAFqvg=");
}

#[test]
fn a_digest_is_of_its_parameter_and_its_key_alone() {
    let digest = vault().digest("TOKEN", "hunter2");
    assert_eq!(vault().digest("TOKEN", "hunter2"), digest);
    let others = [
        vault().digest("PIN", "hunter2"),
        vault().digest("TOKEN", "hunter3"),
        vault().digest("TOKENh", "unter2"),
        other_vault().digest("TOKEN", "hunter2"),
    ];
    assert!(!others.contains(&digest));
}

#[test]
fn a_sealed_value_opens_under_its_key_request_and_name_alone() {
    let sealed = vault().seal(&id("r"), "TOKEN", "hunter2").unwrap();
    assert_eq!(*vault().open(&id("r"), "TOKEN", &sealed).unwrap(), "hunter2");
    let wrong = CannotOpen { name: "TOKEN".to_owned() };
    assert_eq!(other_vault().open(&id("r"), "TOKEN", &sealed), Err(wrong.clone()));
    assert_eq!(vault().open(&id("s"), "TOKEN", &sealed), Err(wrong.clone()));
    assert!(vault().open(&id("r"), "PIN", &sealed).is_err());
    let forged = SealedValue { digest: vault().digest("TOKEN", "other"), ..sealed };
    assert_eq!(vault().open(&id("r"), "TOKEN", &forged), Err(wrong), "shown as another value");
}

#[test]
fn what_was_cut_or_is_no_sealed_value_does_not_open() {
    let sealed = vault().seal(&id("r"), "TOKEN", "hunter2").unwrap();
    let bytes = STANDARD.decode(&sealed.sealed).unwrap();
    for length in 0..bytes.len() {
        let cut = SealedValue { sealed: STANDARD.encode(&bytes[..length]), ..sealed.clone() };
        assert!(vault().open(&id("r"), "TOKEN", &cut).is_err(), "{length}");
    }
    let none = SealedValue { sealed: "no base64!".to_owned(), ..sealed };
    assert!(vault().open(&id("r"), "TOKEN", &none).is_err());
}

#[test]
fn a_value_is_sealed_otherwise_each_time() {
    let seal = || vault().seal(&id("r"), "TOKEN", "hunter2").unwrap();
    let (one, two) = (seal(), seal());
    assert_ne!(one.sealed, two.sealed);
    assert_eq!(one.digest, two.digest);
}

#[test]
fn all_that_is_sensitive_in_a_request_is_opened_and_nothing_shows_it() {
    let mut request = mk_request(1, "pod/x", WhenLocked::Wait);
    let sealed = vault().seal(&request.request_id, "TOKEN", "hunter2").unwrap();
    request.parameters.insert("TOKEN".to_owned(), Parameter::Sensitive(sealed));
    let opened = vault().open_all(&request).unwrap();
    assert_eq!((opened.get("TOKEN"), opened.get("REASON")), (Some("hunter2"), None));
    assert_eq!(opened.veil().hide("is hunter2"), "is [sensitive]");
    let shown = format!("{opened:?} {:?} {request:?} {:?}", opened.veil(), vault());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(
        other_vault().open_all(&request).unwrap_err(),
        CannotOpen { name: "TOKEN".to_owned() }
    );
}

proptest! {
    #[test]
    fn every_value_comes_back_and_no_changed_byte_does(
        value in any::<String>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut sealed = vault().seal_with(NONCE, &id("r"), "TOKEN", &value).unwrap();
        let opened = vault().open(&id("r"), "TOKEN", &sealed).unwrap();
        prop_assert_eq!(opened.as_str(), value.as_str());
        let mut bytes = STANDARD.decode(&sealed.sealed).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        sealed.sealed = STANDARD.encode(bytes);
        prop_assert!(vault().open(&id("r"), "TOKEN", &sealed).is_err());
    }
}
