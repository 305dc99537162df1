use proptest::prelude::*;

use super::*;

fn told(bytes: &[u8]) -> Option<String> {
    RawTail { bytes: bytes.to_vec(), cut: false }.tell(&Veil::none())
}

#[test]
fn a_log_is_told_as_it_was_written_without_the_last_line_end() {
    assert_eq!(told(b"one\n\ttwo\n\n").as_deref(), Some("one\n\ttwo"));
    for nothing in [&b""[..], b"\n \n", b"\x1b[0m\r\n"] {
        assert_eq!(told(nothing), None, "{nothing:?}");
    }
}

#[test]
fn what_a_terminal_would_obey_is_left_out() {
    assert_eq!(
        told(b"\x1b[1;31mERROR\x1b[0m no\x07 room\r\n10%\r20%\r\n\x1b]0;title\x07x\x1b(By\x1b")
            .as_deref(),
        Some("ERROR no  room\n10%\n20%\nxy")
    );
    assert_eq!(told("a\u{202e}b\u{9b}31mc".as_bytes()).as_deref(), Some("a b 31mc"));
    assert_eq!(told(b"no \xff\xfe text").as_deref(), Some("no \u{fffd}\u{fffd} text"));
}

#[test]
fn of_a_long_log_the_last_whole_lines_are_kept() {
    let lines: Vec<String> = (0..2_000).map(|n| format!("line {n:04}")).collect();
    let kept = told(lines.join("\n").as_bytes()).unwrap();
    assert!(kept.len() <= MAX_TAIL_BYTES && kept.len() > MAX_TAIL_BYTES - 10, "{}", kept.len());
    assert!(kept.starts_with("line ") && kept.ends_with("line 1999"), "{kept}");
    let one_line = told("é".repeat(10_000).as_bytes()).unwrap();
    assert_eq!(one_line.len(), MAX_TAIL_BYTES);
}

#[test]
fn a_value_that_a_cut_went_through_is_not_told() {
    let value = "correct horse battery staple";
    let veil = Veil::over([value]);
    for from in 0..value.len() {
        let bytes = format!("{} and then the error\nit broke\n", &value[from..]).into_bytes();
        let kept = RawTail { bytes, cut: true }.tell(&veil).unwrap();
        assert!(kept.ends_with("it broke"), "{kept}");
        for piece in ["horse", "battery", "staple", "ple"] {
            assert!(!kept.contains(piece), "cut before {:?}: {kept}", &value[from..]);
        }
    }
    let coloured = RawTail { bytes: b"correct ho\x1b[31mrse battery staple".to_vec(), cut: false };
    assert_eq!(coloured.tell(&veil).unwrap(), "[sensitive]");
    let short = RawTail { bytes: b"it is abc".to_vec(), cut: true };
    assert_eq!(short.tell(&Veil::over(["abc"])).unwrap(), ALL_HIDDEN);
    assert_eq!(short.tell(&Veil::everything()).unwrap(), ALL_HIDDEN);
}

#[test]
fn a_failure_that_was_kept_without_a_log_is_still_read() {
    let failure = crate::testing::mk_failure();
    let kept = serde_json::to_value(&failure).unwrap();
    assert!(kept.get("log_tail").is_none() && kept.get("evidence").is_none(), "{kept}");
    assert_eq!(serde_json::from_value::<Failure>(kept).unwrap(), failure);
    let with_log = Failure { log_tail: Some("it broke".to_owned()), ..failure };
    let kept = serde_json::to_value(&with_log).unwrap();
    assert_eq!(serde_json::from_value::<Failure>(kept).unwrap(), with_log);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_told_as_short_plain_lines(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'\n')], 0..9_000),
        cut in any::<bool>(),
    ) {
        if let Some(kept) = (RawTail { bytes, cut }).tell(&Veil::none()) {
            prop_assert!(!kept.trim().is_empty() && kept.len() <= MAX_TAIL_BYTES);
            prop_assert!(kept.chars().all(|c| matches!(c, '\n' | '\t') || shown(c) == c));
        }
    }

    #[test]
    fn no_half_of_a_sensitive_value_is_told(
        value in "[a-zA-Z0-9 \n\"é]{12,60}",
        before in "[x\n]{0,6000}",
        after in "[y\n]{0,6000}",
        lost in 0..80_usize,
    ) {
        let text = format!("{before}{value}{after}");
        let from = (lost..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let raw = RawTail { bytes: text.as_bytes()[from..].to_vec(), cut: lost > 0 };
        let kept = raw.tell(&Veil::over([value.as_str()])).unwrap_or_default();
        let letters: Vec<char> = value.chars().collect();
        for piece in letters.windows(12) {
            let piece: String = piece.iter().collect();
            let foreign = piece.chars().all(|c| matches!(c, 'x' | 'y' | '\n' | ' '));
            prop_assert!(foreign || !kept.contains(&piece), "{piece:?} in {kept:?}");
        }
    }
}
