//! Texts of others, made fit for where they go.

use wfe_runtime::text::shown;

/// `text` in at most `limit` characters, as Kubernetes counts them. What cannot be seen becomes spaces,
/// lines stay lines: it ends up on terminals.
pub(crate) fn fit(text: &str, limit: usize) -> String {
    text.chars().map(printable).take(limit).collect()
}

/// `text` in at most `limit` bytes, cut between characters, and printable as from [`fit`].
pub(crate) fn fit_bytes(text: &str, limit: usize) -> String {
    let mut fitting = String::with_capacity(text.len().min(limit));
    for c in text.chars().map(printable) {
        if fitting.len() + c.len_utf8() > limit {
            break;
        }
        fitting.push(c);
    }
    fitting
}

/// The same as [`fit`], or nothing when it is empty.
pub(crate) fn some_fit(text: &str, limit: usize) -> Option<String> {
    (!text.is_empty()).then(|| fit(text, limit))
}

fn printable(c: char) -> char {
    if c == '\n' { c } else { shown(c) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(fit("äöü", 2), "äö");
        assert_eq!(fit_bytes("äöü", 3), "ä");
        assert_eq!(fit_bytes("äöü", 6), "äöü");
        assert_eq!((some_fit("", 9), some_fit("ab", 1)), (None, Some("a".to_owned())));
    }

    #[test]
    fn a_terminal_is_safe_from_it() {
        assert_eq!(fit("a\u{1b}[31mb\nc\r\td", 99), "a [31mb\nc  d");
        assert_eq!(fit("a\u{202e}b\u{2066}c\u{200b}d", 99), "a b c d");
    }
}
