//! The last lines of a failed step's log, for a terminal.

use wfe_runtime::text::shown;

/// So many of them are shown.
const LINES: usize = 30;

/// So many characters of a line are shown.
const WIDTH: usize = 160;

/// The lines, in front of them how many are left out.
pub(super) fn lines(tail: &str) -> Vec<String> {
    let all: Vec<&str> = tail.trim_end().lines().collect();
    let Some(more) = all.len().checked_sub(LINES).filter(|more| *more > 0) else {
        return all.into_iter().map(line).collect();
    };
    let left_out = format!("[{more} lines before these: -o json has them]");
    let shown = all.into_iter().skip(more).map(line);
    std::iter::once(left_out).chain(shown).collect()
}

fn line(text: &str) -> String {
    let text = text.replace('\t', "    ");
    let mut line: String = text.chars().take(WIDTH).map(shown).collect();
    if text.chars().nth(WIDTH).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_shown_by_its_last_lines_and_says_what_is_left_out() {
        assert_eq!(lines("one\n\n\ttwo\n"), ["one", "", "    two"]);
        assert_eq!(lines(""), [""; 0]);
        let long: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let shown = lines(&long.join("\n"));
        assert_eq!(shown.len(), LINES + 1);
        assert_eq!(shown[0], "[10 lines before these: -o json has them]");
        assert_eq!((shown[1].as_str(), shown[LINES].as_str()), ("10", "39"));
        let wide = lines(&"w".repeat(10_000));
        assert_eq!(wide, [format!("{}...", "w".repeat(WIDTH))]);
    }
}
