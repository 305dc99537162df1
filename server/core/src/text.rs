//! Characters of texts from outside that may be shown.

/// `c`, or a space in its place when it is no visible character: a control character, or one that turns,
/// hides or breaks the text around it.
pub const fn shown(c: char) -> char {
    if c.is_ascii_control() || is_unseen(c) { ' ' } else { c }
}

/// Beyond ASCII: what a terminal obeys, what changes the direction of a text, what has no width, and what
/// breaks a line.
const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_or_that_cannot_be_seen_is_shown() {
        let unseen = [
            '\0', '\n', '\u{1b}', '\u{7f}', '\u{9b}', '\u{200b}', '\u{202e}', '\u{2067}',
            '\u{feff}',
        ];
        assert_eq!(unseen.map(shown), [' '; 9]);
        assert!((char::MIN..=char::MAX).all(|c| !shown(c).is_control()));
        let seen = ['a', ' ', 'é', '\u{a0}', '漢', 'م', '🦀'];
        assert_eq!(seen.map(shown), seen);
    }
}
