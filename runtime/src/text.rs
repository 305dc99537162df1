//! Characters of texts from outside that may be shown on a terminal or in a status.

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
