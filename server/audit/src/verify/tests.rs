use proptest::prelude::*;

use super::*;
use crate::testing::{Ends, Logbook, mk_key};

fn known(log: &Logbook) -> Known {
    Known { keys: vec![log.public()], ..Known::default() }
}

fn check(export: &str, known: &Known) -> Report {
    verify(export.as_bytes(), known).unwrap()
}

fn told(export: &str, known: &Known) -> Vec<String> {
    check(export, known).findings.iter().map(ToString::to_string).collect()
}

/// The lines of an export, to be altered; each without its end.
fn lines(export: &str) -> Vec<String> {
    export.lines().map(str::to_owned).collect()
}

fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// Index of the line of an entry.
fn index_of(lines: &[String], sequence: u64) -> usize {
    let begins = format!("\"entry\":{{\"sequence\":{sequence},");
    lines.iter().position(|line| line.contains(&begins)).unwrap()
}

#[test]
fn what_the_service_wrote_is_sound() {
    let log = Logbook::small();
    for after in [0, 1, 4, 14] {
        let report = check(&log.export_after(after), &known(&log));
        assert_eq!(report.findings, []);
        assert_eq!((report.after, report.last), (after, 14));
        assert_eq!(report.entries, 14 - after);
        assert_eq!(report.vouched, Some(14));
        assert_eq!(report.verdict(), Verdict::Sound);
    }
    let report = check(&log.export(), &known(&log));
    assert_eq!((report.streams, report.checkpoints, report.fitting_signatures), (5, 3, 4));
    assert_eq!(check(&Logbook::begin(7).export(), &known(&log)).findings, []);
}

#[test]
fn a_changed_byte_is_named() {
    let log = Logbook::small();
    let altered = log.export().replace("3 of 3 pods ready", "2 of 3 pods ready");
    assert_eq!(
        told(&altered, &known(&log)),
        [
            "line 12: entry 10 was changed, or the hash of the entry before it: its text does not fit \
             its hash"
        ]
    );
}

#[test]
fn a_changed_hash_is_told_from_a_changed_text() {
    let log = Logbook::small();
    for sequence in [6, 10, 14] {
        let hash = log.entries()[sequence - 1].hash.to_string();
        let altered = log.export().replacen(&hash, &"0".repeat(64), 1);
        let line = lines(&altered).iter().position(|line| line.contains(&"0".repeat(64))).unwrap();
        assert_eq!(
            check(&altered, &known(&log)).findings,
            [Finding::HashChanged { line: line as u64 + 1, sequence: sequence as u64 }]
        );
        let unreadable = log.export().replacen(&hash, &"x".repeat(64), 1);
        assert_eq!(
            check(&unreadable, &known(&log)).findings,
            [Finding::HashChanged { line: line as u64 + 1, sequence: sequence as u64 }]
        );
    }
}

#[test]
fn a_changed_number_is_not_taken_for_a_gap() {
    let log = Logbook::small();
    for (sequence, claims) in [(6, 8), (6, 96), (6, 2), (14, 94)] {
        let altered = log.export().replace(
            &format!("\"entry\":{{\"sequence\":{sequence},"),
            &format!("\"entry\":{{\"sequence\":{claims},"),
        );
        let findings = check(&altered, &known(&log)).findings;
        let line = index_of(&lines(&altered), claims) as u64 + 1;
        let line = if claims == 8 || claims == 2 { findings[0].line() } else { line };
        assert_eq!(findings, [Finding::Changed { line, sequence, claims: Some(claims) }]);
    }
}

#[test]
fn an_entry_that_was_dropped_is_named_with_the_stream_that_lacks_it() {
    let log = Logbook::small();
    let mut lines = lines(&log.export());
    let index = index_of(&lines, 6);
    lines.remove(index);
    let stream = "executions/0198c0de-7a3c-7bb0-9c11-000000000002".to_owned();
    let line = index as u64 + 1;
    assert_eq!(
        check(&joined(&lines), &known(&log)).findings,
        [
            Finding::Missing { line, first: 6, last: 6 },
            Finding::Hole { line, stream, first: 2, last: 2 },
            Finding::EndDiffers {
                line: 18,
                field: EndField::Entries,
                says: "14".to_owned(),
                is: "13".to_owned()
            },
        ]
    );
}

#[test]
fn an_execution_that_was_dropped_as_a_whole_leaves_named_gaps() {
    let mut log = Logbook::begin(7);
    log.execution(1, Ends::Well);
    log.denied("Start", "no");
    log.execution(2, Ends::Well);
    log.checkpoint();
    let kept = |line: &String| !line.contains("executions/0198c0de-7a3c-7bb0-9c11-000000000001");
    let lines: Vec<String> = lines(&log.export()).into_iter().filter(kept).collect();
    let findings = check(&joined(&lines), &known(&log)).findings;
    assert_eq!(findings[0], Finding::Missing { line: 2, first: 1, last: 4 });
    assert!(matches!(findings[1], Finding::EndDiffers { field: EndField::Entries, .. }));
    assert_eq!(findings.len(), 2, "{findings:?}");
}

#[test]
fn every_other_entry_dropped_is_told_as_gaps_and_not_as_disorder() {
    let log = Logbook::small();
    let all = lines(&log.export());
    let odd: Vec<usize> = [3, 5, 7, 9, 11].map(|sequence| index_of(&all, sequence)).into();
    let kept = all.iter().enumerate().filter(|(index, _)| !odd.contains(index));
    let export = joined(&kept.map(|(_, line)| line.clone()).collect::<Vec<_>>());
    let mut findings = check(&export, &known(&log)).findings;
    findings.retain(|it| !matches!(it, Finding::Hole { .. } | Finding::EndDiffers { .. }));
    let missing = [3, 5, 7, 9, 11].map(|sequence| {
        let line = index_of(&lines(&export), sequence + 1) as u64 + 1;
        Finding::Missing { line, first: sequence, last: sequence }
    });
    assert_eq!(findings, missing);
}

#[test]
fn entries_in_another_order_are_named() {
    let log = Logbook::small();
    let mut swapped = lines(&log.export());
    let index = index_of(&swapped, 6);
    swapped.swap(index, index + 1);
    assert_eq!(
        check(&joined(&swapped), &known(&log)).findings,
        [Finding::Reordered { line: index as u64 + 1, sequence: 7, behind: 5 }]
    );

    let mut early = lines(&log.export());
    let (from, to) = (index_of(&early, 13), index_of(&early, 6));
    let line = early.remove(from);
    early.insert(to, line);
    assert_eq!(
        check(&joined(&early), &known(&log)).findings,
        [Finding::Reordered { line: to as u64 + 1, sequence: 13, behind: 5 }]
    );

    let mut late = lines(&log.export());
    let (from, to) = (index_of(&late, 6), index_of(&late, 13));
    let line = late.remove(from);
    late.insert(to, line);
    assert_eq!(
        check(&joined(&late), &known(&log)).findings,
        [Finding::Reordered { line: to as u64 + 1, sequence: 6, behind: 13 }]
    );
}

#[test]
fn an_entry_that_is_repeated_is_named() {
    let log = Logbook::small();
    let all = lines(&log.export());
    for sequence in [1, 6, 14] {
        for to in [2, 9, 14] {
            let mut again = all.clone();
            let line = all[index_of(&all, sequence)].clone();
            let at = index_of(&all, to) + 1;
            again.insert(at, line);
            let findings = check(&joined(&again), &known(&log)).findings;
            let repeated = findings
                .iter()
                .any(|it| matches!(it, Finding::Repeated { sequence: it, .. } if *it == sequence));
            assert!(repeated, "{sequence} behind {to}: {findings:?}");
        }
    }
}

#[test]
fn a_line_that_was_invented_is_named() {
    let log = Logbook::small();
    let mut all = lines(&log.export());
    let index = index_of(&all, 6);
    let invented = format!("{{\"hash\":\"{}\",\"entry\":{{\"note\":\"hello\"}}}}", "0".repeat(64));
    all.insert(index, invented);
    let findings = check(&joined(&all), &known(&log)).findings;
    assert_eq!(findings[0], Finding::Inserted { line: index as u64 + 1 });
}

#[test]
fn a_chain_that_was_made_anew_is_told_between_two_checkpoints() {
    let mut log = Logbook::small();
    let alter = |text: &str| text.replace("PREVIOUS_EXECUTION_FAILED", "PREVIOUS_EXECUTION_PASSED");
    log.rewrite(7, alter);
    // Whoever can write to the database has no key: the end is that of another one.
    let stolen = known(&log);
    log.replace_key(mk_key(9));
    assert_eq!(
        told(&log.export(), &stolen),
        [
            "line 13: the checkpoint signs another hash of entry 10 than the export has: what follows \
             entry 4, up to entry 10, was rewritten (2 signatures in a row differ, up to entry 14)"
                .to_owned(),
            format!(
                "line 19: the end line of entry 14 is signed with key {}, which nothing vouches for",
                mk_key(9).public().id()
            ),
        ]
    );
}

#[test]
fn a_database_that_was_swapped_under_a_running_server_is_told_by_what_was_signed_before() {
    let mut log = Logbook::small();
    let before = log.checkpoints()[1].clone();
    // The server itself signs what it finds: only what was kept outside tells.
    log.rewrite(7, |text| text.replace("PREVIOUS", "ANOTHER"));
    let export = resigned(&log, &[4, 10, 14]);
    assert_eq!(told(&export, &known(&log)), Vec::<String>::new());
    let kept = Kept { place: "checkpoints.ndjson:2".to_owned(), checkpoint: before };
    let known = Known { checkpoints: vec![kept], ..known(&log) };
    assert_eq!(
        told(&export, &known),
        [
            "checkpoints.ndjson:2: the checkpoint signs another hash of entry 10 than the export has: \
             what follows entry 4, up to entry 10, was rewritten"
        ]
    );
}

/// The export of a log whose checkpoints are signed again.
fn resigned(log: &Logbook, sequences: &[u64]) -> String {
    let mut out = String::new();
    let (head, at) = (Head::empty(log.id()), "2026-11-21T10:00:00Z".parse().unwrap());
    let mut exporter = crate::export::Exporter::begin(log.id(), head, at, &mut out).unwrap();
    for entry in log.entries() {
        exporter.entry(entry, &mut out).unwrap();
        if sequences.contains(&entry.sequence.0) {
            let checkpoint = Checkpoint::sign(log.id(), entry.head(), at, &mk_key(1));
            exporter.checkpoint(&checkpoint, &mut out).unwrap();
        }
    }
    exporter.end(&mk_key(1), &mut out).unwrap();
    out
}

#[test]
fn a_checkpoint_at_another_place_is_named() {
    let log = Logbook::small();
    let all = lines(&log.export());
    let (from, to) = (index_of(&all, 4) + 1, index_of(&all, 12));
    let mut late = all.clone();
    let line = late.remove(from);
    late.insert(to, line);
    let to = to as u64 + 1;
    assert_eq!(
        check(&joined(&late), &known(&log)).findings,
        [Finding::Misplaced { line: to, sequence: 4, behind: 12 }]
    );
    let mut twice = all.clone();
    twice.insert(from, all[from].clone());
    let findings = check(&joined(&twice), &known(&log)).findings;
    assert_eq!(findings[0], Finding::Misplaced { line: from as u64 + 2, sequence: 4, behind: 4 });
}

#[test]
fn what_the_service_never_writes_is_named_although_the_chain_fits() {
    let mut log = Logbook::begin(7);
    log.denied("Start", "no").denied("Start", "no");
    log.rewrite(2, |_| "{\"note\":\"nothing to see here\"}".to_owned());
    assert_eq!(
        check(&log.export(), &known(&log)).findings,
        [Finding::Unreadable { line: 3, sequence: 2 }]
    );
}

#[test]
fn a_beginning_that_is_not_that_of_the_log_is_named() {
    let log = Logbook::small();
    let id = log.id().to_string();
    let header = lines(&log.export())[0].clone();
    let wrong =
        header.replace(&format!("\"hash\":\"{id}\""), &format!("\"hash\":\"{}\"", "0".repeat(64)));
    let findings = check(&log.export().replace(&header, &wrong), &known(&log)).findings;
    assert_eq!(findings[0], Finding::WrongBeginning { line: 1 });
}

#[test]
fn a_forged_checkpoint_is_named() {
    let log = Logbook::small();
    let genuine = &log.checkpoints()[1];
    let json = serde_json::to_string(genuine).unwrap();
    let forged = Checkpoint { at: "2020-01-01T00:00:00Z".parse().unwrap(), ..genuine.clone() };
    let export = log.export().replace(&json, &serde_json::to_string(&forged).unwrap());
    let key = log.public().id();
    assert_eq!(
        told(&export, &known(&log)),
        [format!(
            "line 13: the checkpoint of entry 10 is forged or damaged: key {key} did not sign it"
        )]
    );

    let of_another = Checkpoint::sign(log.id(), genuine.head(), genuine.at, &mk_key(9));
    let export = log.export().replace(&json, &serde_json::to_string(&of_another).unwrap());
    let key = mk_key(9).public().id();
    assert_eq!(
        told(&export, &known(&log)),
        [format!(
            "line 13: the checkpoint of entry 10 is signed with key {key}, which nothing vouches for"
        )]
    );
}

#[test]
fn a_cut_tail_is_found_by_the_end_line_and_by_an_outside_checkpoint() {
    let log = Logbook::small();
    let all = lines(&log.export());
    let cut = joined(&all[..index_of(&all, 12)]);
    assert_eq!(
        check(&cut, &known(&log)).findings,
        [Finding::NoEnd { line: index_of(&all, 12) as u64 + 1, last: 11 }]
    );

    let end = all.last().unwrap();
    let with_end = format!("{cut}{end}\n");
    let line = index_of(&all, 12) as u64 + 1;
    let findings = check(&with_end, &known(&log)).findings;
    assert!(findings.contains(&Finding::CutTail {
        source: Source::End { line },
        last: 11,
        signed: 14
    }));

    // A sound export that was made before is no lie, but there was more.
    let mut early = Logbook::begin(7);
    early.execution(1, Ends::Well);
    let kept = Kept { place: "c:3".to_owned(), checkpoint: log.checkpoints()[2].clone() };
    let known = Known { checkpoints: vec![kept], ..known(&log) };
    assert_eq!(
        told(&early.export(), &known),
        ["c:3: the checkpoint signs entry 14, but the export ends with entry 4: its tail was cut"]
    );
}

#[test]
fn a_cut_in_the_middle_of_a_line_is_no_export() {
    let log = Logbook::small();
    let export = log.export();
    let cut = &export[..export.len() / 2];
    let error = verify(cut.as_bytes(), &known(&log)).unwrap_err();
    let VerifyError::NotAnExport(NotAnExport { line, byte, problem: Problem::CutLine }) = error
    else {
        panic!("{error}");
    };
    assert_eq!(byte, cut.len() as u64);
    assert_eq!(line, cut.lines().count() as u64);
}

#[test]
fn what_is_no_export_says_where_it_stops_making_sense() {
    let log = Logbook::small();
    let export = log.export();
    let other = export.replacen("audit/v1", "audit/v2", 1);
    let foreign = export.replacen("{\"checkpoint\"", "{\"remark\"", 1);
    let damaged = export.replacen("\"checkpoint\":{\"log\"", "\"checkpoint\":{\"lag\"", 1);
    let endless = format!("{}{}", &export[..=export.find('\n').unwrap()], "x".repeat(9 << 20));
    let at = |text: &str| export.find(text).unwrap();
    for (text, expected) in [
        ("", "not an export: line 1, byte 0: it is empty".to_owned()),
        (
            other.as_str(),
            "not an export: line 1, byte 0: its format is \"kubernaut.ai/wfe-audit/v2\", and \
             \"kubernaut.ai/wfe-audit/v1\" is needed"
                .to_owned(),
        ),
        (
            "Dear auditor\n",
            "not an export: line 1, byte 0: the first line is not that of an export: expected value at \
             line 1 column 1"
                .to_owned(),
        ),
        (
            foreign.as_str(),
            format!(
                "not an export: line 6, byte {}: neither an entry nor a checkpoint nor the end",
                at("{\"checkpoint\"")
            ),
        ),
        (
            damaged.as_str(),
            format!(
                "not an export: line 6, byte {}: the line cannot be read: unknown field `lag`, expected \
                 one of `log`, `sequence`, `hash`, `at`, `key`, `signature` at line 1 column 20",
                at("{\"checkpoint\"") + 19
            ),
        ),
        (
            endless.as_str(),
            format!(
                "not an export: line 2, byte {}: the line is longer than any of an export",
                export.find('\n').unwrap() as u64 + 1 + line::MAX_LINE + 1
            ),
        ),
    ] {
        let error = verify(text.as_bytes(), &known(&log)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn another_log_is_told_by_the_id_that_was_asked_for_and_by_a_checkpoint() {
    let (log, other) = (Logbook::small(), Logbook::begin(8));
    let asked = Known { log: Some(other.id()), ..known(&log) };
    assert_eq!(
        check(&log.export(), &asked).findings,
        [Finding::AnotherLog { source: Source::Asked, log: other.id(), export: log.id() }]
    );
    let mut other = other;
    other.execution(1, Ends::Well);
    let kept = Kept { place: "c:1".to_owned(), checkpoint: other.checkpoint() };
    let outside = Known { checkpoints: vec![kept], ..known(&log) };
    let source = Source::Outside { place: "c:1".to_owned() };
    assert_eq!(
        check(&log.export(), &outside).findings,
        [Finding::AnotherLog { source, log: other.id(), export: log.id() }]
    );
}

#[test]
fn text_behind_the_end_is_named() {
    let log = Logbook::small();
    for (more, bytes) in [("\n", 1), ("and so on", 9), ("{}\n{}\n", 6)] {
        let export = format!("{}{more}", log.export());
        let line = log.export().lines().count() as u64 + 1;
        assert_eq!(check(&export, &known(&log)).findings, [Finding::AfterEnd { line, bytes }]);
    }
}

#[test]
fn a_verifier_who_knows_any_key_of_a_chain_of_keys_accepts_the_others() {
    let mut log = Logbook::begin(7);
    log.execution(1, Ends::Well);
    log.checkpoint();
    log.rotate(mk_key(2)).checkpoint();
    log.execution(2, Ends::Well);
    log.checkpoint();
    log.rotate(mk_key(3));
    log.execution(3, Ends::Well);
    log.checkpoint();
    for n in 1..=3 {
        let known = Known { keys: vec![mk_key(n).public()], ..Known::default() };
        let report = check(&log.export(), &known);
        assert_eq!(report.findings, [], "key {n}");
        assert_eq!((report.keys.len(), report.fitting_signatures), (3, 5));
    }
    let known = Known { keys: vec![mk_key(4).public()], ..Known::default() };
    let report = check(&log.export(), &known);
    assert_eq!(report.vouched, None);
    assert!(
        report.findings.iter().all(|it| matches!(it, Finding::UnknownKey { .. })),
        "{report:?}"
    );
}

#[test]
fn a_key_that_came_without_a_hand_over_is_named() {
    let mut log = Logbook::begin(7);
    log.execution(1, Ends::Well);
    log.checkpoint();
    let trusted = known(&log);
    log.replace_key(mk_key(2));
    log.execution(2, Ends::Well);
    log.checkpoint();
    let report = check(&log.export(), &trusted);
    let unknown = |it: &Finding| matches!(it, Finding::UnknownKey { sequence: 8, .. });
    assert_eq!(report.findings.iter().filter(|it| unknown(it)).count(), 2);
    assert_eq!((report.findings.len(), report.vouched), (2, Some(4)));
    // Who trusts both has nothing to complain of.
    let both = Known { keys: vec![mk_key(1).public(), mk_key(2).public()], ..Known::default() };
    assert_eq!(check(&log.export(), &both).findings, []);
}

#[test]
fn a_key_that_was_replaced_signs_nothing_any_more() {
    let mut log = Logbook::begin(7);
    log.execution(1, Ends::Well);
    log.rotate(mk_key(2)).execution(2, Ends::Well);
    log.replace_key(mk_key(1));
    log.checkpoint();
    let trusted = known(&log);
    let report = check(&log.export(), &trusted);
    let retired = |it: &Finding| matches!(it, Finding::RetiredKey { sequence: 9, retired: 5, .. });
    assert_eq!(report.findings.iter().filter(|it| retired(it)).count(), 2, "{report:?}");
    assert_eq!(report.findings.len(), 2);
    // Nor can it hand over once more.
    log.rotate(mk_key(9)).checkpoint();
    let report = check(&log.export(), &trusted);
    let by_the_thief = mk_key(9).public().id();
    assert!(!report.keys.contains(&by_the_thief));
}

#[test]
fn a_hand_over_that_the_old_key_did_not_sign_is_named() {
    let mut log = Logbook::begin(7);
    log.execution(1, Ends::Well);
    let trusted = known(&log);
    let mut thief = crate::checkpoint::rotation(log.id(), &mk_key(9), &mk_key(9).public());
    if let wfe_core::audit::What::KeyRotated { from, from_public, .. } = &mut thief {
        (*from, *from_public) =
            (mk_key(1).public().id().to_string(), mk_key(1).public().to_base64());
    }
    let (stream, actor) = (wfe_core::audit::Stream::log(), wfe_core::actor::Actor::service());
    log.record(stream, actor, thief, wfe_core::audit::About::default());
    log.replace_key(mk_key(9)).checkpoint();
    let report = check(&log.export(), &trusted);
    let why = crate::checkpoint::BadRotation::Signature;
    assert_eq!(report.findings[0], Finding::BadRotation { line: 6, sequence: 5, why });
    assert_eq!(report.vouched, None);
}

#[test]
fn all_damage_is_told_up_to_a_bound_and_then_counted() {
    let mut log = Logbook::begin(7);
    for n in 0..200 {
        log.denied("Start", &format!("attempt {n}"));
    }
    let report = check(&log.export().replace("attempt", "Attempt"), &known(&log));
    assert_eq!((report.findings.len(), report.more_findings), (100, 100));
}

#[test]
fn streams_that_were_renumbered_with_a_new_chain_have_holes_and_disorder() {
    let mut log = Logbook::begin(7);
    log.execution(1, Ends::Well);
    log.rewrite(1, |text| text.replace("\"revision\":3", "\"revision\":2"));
    let stream = "executions/0198c0de-7a3c-7bb0-9c11-000000000001".to_owned();
    assert_eq!(
        check(&log.export(), &known(&log)).findings,
        [
            Finding::RevisionOutOfOrder {
                line: 4,
                sequence: 3,
                stream: stream.clone(),
                revision: 2
            },
            Finding::Hole { line: 5, stream, first: 3, last: 3 },
        ]
    );
}

/// Nothing that is done to a sound export goes unseen, and none of it ends the verifier.
fn is_found(altered: &[u8], known: &Known) -> bool {
    match verify(altered, known) {
        Ok(report) => report.verdict() == Verdict::Damaged,
        Err(VerifyError::NotAnExport(_)) => true,
        Err(VerifyError::Read(error)) => panic!("{error}"),
    }
}

/// A line of each sort, and as little else as possible: it is verified thousands of times.
fn with_a_hand_over() -> Logbook {
    let mut log = Logbook::begin(7);
    log.denied("Start", "no");
    log.rotate(mk_key(2)).checkpoint();
    log.denied("Start", "no");
    log.withdrawn(1, "not needed").withdrawn(2, "not needed").checkpoint();
    log
}

#[test]
fn no_line_can_be_dropped_repeated_or_swapped_unseen() {
    let log = with_a_hand_over();
    let all = lines(&log.export());
    for one in 0..all.len() {
        let mut dropped = all.clone();
        dropped.remove(one);
        assert!(is_found(joined(&dropped).as_bytes(), &known(&log)), "line {one} dropped");
        for other in 0..all.len() {
            let mut repeated = all.clone();
            repeated.insert(other, all[one].clone());
            assert!(is_found(joined(&repeated).as_bytes(), &known(&log)), "{one} again at {other}");
            if one < other {
                let mut swapped = all.clone();
                swapped.swap(one, other);
                assert!(is_found(joined(&swapped).as_bytes(), &known(&log)), "{one} for {other}");
            }
        }
    }
}

#[test]
fn no_bit_can_be_flipped_unseen() {
    let log = with_a_hand_over();
    let export = log.export().into_bytes();
    let known = known(&log);
    for index in 0..export.len() {
        let mut altered = export.clone();
        altered[index] ^= 1 << (index % 8);
        assert!(is_found(&altered, &known), "byte {index}");
    }
}

proptest! {
    #[test]
    fn no_byte_can_be_replaced_unseen(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let log = with_a_hand_over();
        let mut export = log.export().into_bytes();
        let index = place.index(export.len());
        prop_assume!(export[index] != byte);
        export[index] = byte;
        prop_assert!(is_found(&export, &known(&log)));
    }

    #[test]
    fn no_stretch_can_be_cut_out_unseen(
        from in any::<prop::sample::Index>(),
        length in 1_usize..3_000,
    ) {
        let log = with_a_hand_over();
        let mut export = log.export().into_bytes();
        let from = from.index(export.len());
        let to = (from + length).min(export.len());
        export.drain(from..to);
        prop_assert!(is_found(&export, &known(&log)));
    }

    #[test]
    fn no_shuffle_of_lines_goes_unseen(swaps in prop::collection::vec((0_usize..25, 0_usize..25), 1..20)) {
        let log = with_a_hand_over();
        let all = lines(&log.export());
        let mut shuffled = all.clone();
        for (one, other) in swaps {
            shuffled.swap(one % all.len(), other % all.len());
        }
        prop_assume!(shuffled != all);
        prop_assert!(is_found(joined(&shuffled).as_bytes(), &known(&log)));
    }

    #[test]
    fn any_text_ends_in_a_report_or_an_error(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let log = Logbook::small();
        let export = log.export();
        let begin = &export.as_bytes()[..=export.find('\n').unwrap()];
        prop_assert!(is_found(&[begin, &text].concat(), &known(&log)));
    }
}
