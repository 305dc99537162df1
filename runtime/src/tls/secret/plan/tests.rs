use super::*;
use crate::tls::issue;

fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + days * 86_400).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What a process has made on day 0 for `wfe`, with a random entry `seal`.
fn mk_data() -> Data {
    let ca = issue::authority("ca", at(0)).unwrap();
    let server = issue::server(&ca, &names(&["wfe"]), at(0)).unwrap();
    Data::from([
        (CERTIFICATE.to_owned(), server.certificate.into_bytes()),
        (KEY.to_owned(), server.key.into_bytes()),
        (CA.to_owned(), ca.certificate.into_bytes()),
        (CA_KEY.to_owned(), ca.key.into_bytes()),
        ("seal".to_owned(), vec![7; RANDOM_BYTES]),
    ])
}

fn without(name: &str) -> Data {
    let mut data = mk_data();
    data.remove(name);
    data
}

fn with(name: &str, value: &[u8]) -> Data {
    let mut data = mk_data();
    data.insert(name.to_owned(), value.to_vec());
    data
}

/// What is looked at, the content, whether it is marked, names, day, what is done.
type Case<'a> = (&'a str, Data, bool, &'a [&'a str], i64, &'a str);

#[test]
fn a_certificate_is_made_when_it_is_time_and_only_in_a_secret_of_our_own() {
    let use_it = "use";
    let refuse = "refuse";
    let new = "issue, new authority";
    let same = "issue, same authority";
    #[rustfmt::skip]
    let cases: Vec<Case<'_>> = vec![
        ("nothing is there",               Data::new(),              false, &["wfe"],          0, new),
        ("an empty one that others made",  Data::from([(KEY.to_owned(), Vec::new())]), false, &["wfe"], 0, new),
        ("all is well",                    mk_data(),                true,  &["wfe"],          0, use_it),
        ("all is well, and fewer names",   mk_data(),                true,  &[],               0, use_it),
        ("more than a third is left",      mk_data(),                true,  &["wfe"],        240, use_it),
        ("less than a third is left",      mk_data(),                true,  &["wfe"],        245, same),
        ("it has expired",                 mk_data(),                true,  &["wfe"],        400, same),
        ("a name is missing",              mk_data(),                true,  &["wfe", "more"],  0, same),
        ("the authority ends too soon",    mk_data(),                true,  &["wfe"],   9 * 366, new),
        ("the authority's key is missing", without(CA_KEY),          true,  &["wfe", "more"],  0, new),
        ("another authority's key",        with(CA_KEY, issue::authority("x", at(0)).unwrap().key.as_bytes()),
                                                                     true,  &["wfe", "more"],  0, new),
        ("a key is missing",               without(KEY),             true,  &["wfe"],          0, same),
        ("a broken certificate",           with(CERTIFICATE, b"x"),  true,  &["wfe"],          0, same),
        ("a random entry is missing",      without("seal"),          true,  &["wfe"],          0, same),
        ("a random entry is too short",    with("seal", b"short"),   true,  &["wfe"],          0, same),
        ("others keep it",                 mk_data(),                false, &["wfe"],          0, use_it),
        ("others keep it, and it expired", mk_data(),                false, &["wfe"],        400, use_it),
        ("others keep it, and a name is missing", mk_data(),         false, &["more"],         0, use_it),
        ("others broke it",                with(KEY, b"x"),          false, &["wfe"],          0, refuse),
        ("others forgot the random entry", without("seal"),          false, &["wfe"],          0, refuse),
    ];
    for (name, data, marked, wanted, day, expected) in cases {
        let did = match plan(&data, marked, &names(wanted), &["seal"], at(day)) {
            Plan::Use(kept) => {
                assert_eq!(kept.random.get("seal"), data.get("seal"), "{name}");
                use_it
            }
            Plan::Refuse { .. } => refuse,
            Plan::Issue { authority: Authority::Keep { .. }, .. } => same,
            Plan::Issue { authority: Authority::Make { .. }, .. } => new,
        };
        assert_eq!(did, expected, "{name}");
    }
}

#[test]
fn authorities_are_trusted_until_they_expire() {
    let trusted_on = |day| match plan(&mk_data(), true, &names(&["more"]), &[], at(day)) {
        Plan::Issue {
            authority: Authority::Make { trusted } | Authority::Keep { trusted, .. },
            ..
        } => blocks(&trusted).len(),
        Plan::Use(_) | Plan::Refuse { .. } => panic!("a new certificate on day {day}"),
    };
    assert_eq!(trusted_on(10), 1);
    assert_eq!(trusted_on(3600), 1, "the authority that signs no longer is trusted further on");
    assert_eq!(trusted_on(3660), 0, "what has expired is dropped");
}

#[test]
fn a_bundle_is_taken_apart_into_its_certificates() {
    let bundle = String::from_utf8(mk_data()[CA].clone()).unwrap();
    let twice = format!("{bundle}\n# a comment\n{bundle}tail");
    let found = blocks(&twice);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|block| Facts::of_pem(block.as_bytes()).is_ok()));
    assert!(blocks("nothing").is_empty());
}
