//! How large the receiver takes `event_data` to be.

/// The most bytes of `event_data`, as the receiver writes it.
pub(crate) const MAX_EVENT_DATA_BYTES: usize = 262_144;

/// So many bytes an escape of the form `\u0000` has.
const ESCAPE: usize = 6;

/// Bytes of compact JSON when the receiver writes it: `<`, `>`, `&`, U+2028 and U+2029 become escapes of
/// six bytes there, and so may what is `\b` and `\f` here.
pub(crate) fn rewritten(json: &str) -> usize {
    let mut bytes = 0;
    let mut chars = json.chars();
    while let Some(c) = chars.next() {
        bytes += match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => ESCAPE,
            '\\' => match chars.next() {
                Some('b' | 'f') => ESCAPE,
                Some(escaped) => 1 + escaped.len_utf8(),
                None => 1,
            },
            c => c.len_utf8(),
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_escapes_counts_six_bytes() {
        let cases = [
            ("a<>&b", 20),
            ("ä\u{2028}", 8),
            ("\u{8}\u{c}", 12),
            ("\n\"\\", 6),
            ("\u{1}", 6),
            ("\\b", 3),
        ];
        for (text, bytes) in cases {
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(rewritten(&json), bytes + 2, "{text:?}");
        }
    }
}
