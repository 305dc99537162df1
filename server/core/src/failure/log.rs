//! The log of the step that failed: where it is, and what of it is kept.

use std::{borrow::Cow, iter::Peekable, str::Chars};

use super::Failure;
use crate::{
    facts::{StepFacts, TaskRunFacts},
    text::shown,
    veil::{ALL_HIDDEN, PIECE, Veil},
};

/// At most this many bytes of a log are kept.
pub const MAX_TAIL_BYTES: usize = 4 * 1024;

/// So many bytes of a log have to be read for that: what is hidden in them, and what a cut has left of a
/// sensitive value, is more than what is kept.
pub const MAX_READ_BYTES: usize = 16 * MAX_TAIL_BYTES;

/// Where the log of a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLog {
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
}

/// The end of a log as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawTail {
    /// Any bytes.
    pub bytes: Vec<u8>,
    /// Whether something was written before them.
    pub cut: bool,
}

impl StepLog {
    /// Where the log of the step is that made a run fail. `None` when no step did, or when it never ran.
    pub(crate) fn of(failure: &Failure, tasks: &[TaskRunFacts]) -> Option<Self> {
        let (task, step) = (failure.task_run.as_deref()?, failure.step.as_deref()?);
        let task = tasks.iter().find(|candidate| candidate.name == task)?;
        let step = task.steps.iter().find(|candidate| candidate.name == step)?;
        let pod = task.pod.clone().filter(|_| StepFacts::ran(step))?;
        Some(Self { pod, container: format!("step-{}", step.name) })
    }
}

impl RawTail {
    /// What is kept of it: its last lines in at most [`MAX_TAIL_BYTES`], safe for a terminal, without what
    /// `veil` hides. It is hidden before it is cut, so that no half of a value is left. `None` when nothing
    /// was written.
    pub fn tell(&self, veil: &Veil) -> Option<String> {
        let text = String::from_utf8_lossy(self.whole_characters());
        // A colour in the middle of a value must not save it.
        let text = without_sequences(&text);
        let told = veil.hide(&text);
        let told = if self.cut && told != ALL_HIDDEN { after_a_piece(&told) } else { &told };
        let lines = lines(told);
        let told = veil.hide(&lines);
        let kept = last_lines(told.trim_end()).trim_start_matches('\n');
        (!kept.trim().is_empty()).then(|| kept.to_owned())
    }

    /// A cut may have gone through a character.
    fn whole_characters(&self) -> &[u8] {
        let half = |byte: &&u8| self.cut && **byte & 0b1100_0000 == 0b1000_0000;
        let half = self.bytes.iter().take(3).take_while(half).count();
        self.bytes.get(half..).unwrap_or_default()
    }
}

/// A cut may have left the end of a value, which is too short to be known.
fn after_a_piece(text: &str) -> &str {
    text.char_indices().nth(PIECE - 1).map_or("", |(at, _)| &text[at..])
}

/// The end of a text that fits, from the beginning of a line unless that would be too little.
fn last_lines(text: &str) -> &str {
    let Some(over) = text.len().checked_sub(MAX_TAIL_BYTES).filter(|over| *over > 0) else {
        return text;
    };
    let from = (over..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let kept = &text[from..];
    match kept.find('\n') {
        _ if text[..from].ends_with('\n') => kept,
        Some(line) if line < MAX_TAIL_BYTES / 2 => &kept[line + 1..],
        Some(_) | None => kept,
    }
}

/// `text` without what tells a terminal to do something: what begins with an escape character.
fn without_sequences(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut chars),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// Skips what belongs to an escape character.
fn skip_sequence(chars: &mut Peekable<Chars<'_>>) {
    match chars.next_if(|c| matches!(c, '[' | ']')) {
        Some('[') => {
            while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            chars.next_if(|c| matches!(c, '@'..='~'));
        }
        // A title, to its end or that of the line.
        Some(_) => {
            while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
            chars.next_if_eq(&'\u{7}');
        }
        None => {
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
    }
}

/// Lines of visible characters and tabs. What was to be written over is told line by line.
fn lines(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => lines.push('\n'),
            '\n' | '\t' => lines.push(c),
            c => lines.push(shown(c)),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
