//! Lines of an export, read one at a time into one buffer. Of an entry only what the order needs is
//! looked at; its text stays bytes.

use std::{
    borrow::Cow,
    io::{BufRead, Read as _},
};

use serde::Deserialize;
use wfe_core::audit::Hash;

use super::{NotAnExport, Problem, VerifyError};
use crate::{
    checkpoint::Checkpoint,
    export::{CHECKPOINT, END, ENTRY, End, FORMAT, Header, TEXT},
};

/// The most bytes of a line: many times what the longest entry needs.
pub(super) const MAX_LINE: u64 = 8 << 20;

/// Digits of a hash.
const DIGITS: usize = 64;

/// Reads lines.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// Number of the line in the buffer.
    number: u64,
    /// Where it begins.
    begins: u64,
}

/// A line and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: u64,
    /// Offset of its first byte in the export.
    pub(super) begins: u64,
    /// Without its end.
    pub(super) bytes: &'a [u8],
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0, begins: 0 }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, VerifyError> {
        self.begins += self.buffer.len() as u64;
        self.buffer.clear();
        let mut input = (&mut self.input).take(MAX_LINE + 1);
        if input.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let Some((b'\n', bytes)) = self.buffer.split_last() else {
            let length = self.buffer.len() as u64;
            let problem = if length > MAX_LINE { Problem::TooLong } else { Problem::CutLine };
            let byte = self.begins + length;
            return Err(NotAnExport { line: self.number, byte, problem }.into());
        };
        Ok(Some(Line { number: self.number, begins: self.begins, bytes }))
    }

    /// Number of the line that comes next, and how many bytes there are from it on.
    pub(super) fn rest(mut self) -> Result<(u64, u64), VerifyError> {
        let mut bytes = 0;
        loop {
            let length = self.input.fill_buf()?.len();
            if length == 0 {
                return Ok((self.number + 1, bytes));
            }
            self.input.consume(length);
            bytes += length as u64;
        }
    }
}

/// What a line says.
pub(super) enum Said<'a> {
    Entry(Written<'a>),
    Checkpoint(Box<Checkpoint>),
    End(Box<End>),
}

/// An entry as it stands in an export.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) line: u64,
    /// The hash beside it, when that is one.
    pub(super) hash: Option<Hash>,
    pub(super) text: &'a [u8],
    /// What its text begins with, when that can be read.
    pub(super) place: Option<Place<'a>>,
}

/// Where an entry belongs, as it says itself.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) sequence: u64,
    /// As it stands in JSON, between the quotes.
    stream: &'a [u8],
    pub(super) revision: u64,
}

impl<'a> Written<'a> {
    pub(super) fn new(line: u64, hash: Option<Hash>, text: &'a [u8]) -> Self {
        Self { line, hash, text, place: Place::read(text) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointLine {
    checkpoint: Box<Checkpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: Box<End>,
}

impl<'a> Line<'a> {
    /// Reads the first line.
    pub(super) fn header(self) -> Result<Header, NotAnExport> {
        #[derive(Deserialize)]
        struct Any {
            format: String,
        }
        let header: Result<Header, _> = serde_json::from_slice(self.bytes);
        match (header, serde_json::from_slice::<Any>(self.bytes)) {
            (_, Ok(Any { format })) if format != FORMAT => {
                Err(self.is_no_export(0, Problem::Format { found: format }))
            }
            (Ok(header), _) => Ok(header),
            (Err(error), _) => {
                let column = error.column();
                Err(self.is_no_export(column, Problem::Header { reason: error.to_string() }))
            }
        }
    }

    /// Reads any other line.
    pub(super) fn said(self) -> Result<Said<'a>, NotAnExport> {
        if let Some(entry) = self.entry() {
            return Ok(Said::Entry(entry));
        }
        let wrong = |error: serde_json::Error| {
            let column = error.column();
            self.is_no_export(column, Problem::Line { reason: error.to_string() })
        };
        if self.bytes.starts_with(CHECKPOINT) {
            let line: CheckpointLine = serde_json::from_slice(self.bytes).map_err(wrong)?;
            return Ok(Said::Checkpoint(line.checkpoint));
        }
        if self.bytes.starts_with(END) {
            let line: EndLine = serde_json::from_slice(self.bytes).map_err(wrong)?;
            return Ok(Said::End(line.end));
        }
        Err(self.is_no_export(0, Problem::UnknownLine))
    }

    fn entry(&self) -> Option<Written<'a>> {
        let rest = self.bytes.strip_prefix(ENTRY)?;
        let (digits, rest) = rest.split_at_checked(DIGITS)?;
        let text = rest.strip_prefix(TEXT)?.strip_suffix(b"}")?;
        Some(Written::new(self.number, hash(digits), text))
    }

    const fn is_no_export(&self, column: usize, problem: Problem) -> NotAnExport {
        let byte = self.begins + (column as u64).saturating_sub(1);
        NotAnExport { line: self.number, byte, problem }
    }
}

/// Reads the digits of a hash: 64 of them, lower case.
fn hash(digits: &[u8]) -> Option<Hash> {
    let mut hash = [0; 32];
    let mut wrong = 0;
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        wrong |= high | low;
        *byte = high << 4 | (low & 0xf);
    }
    (wrong < 16).then_some(Hash(hash))
}

/// Value of each hex digit; above 15 for what is none.
const VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let digits = b"0123456789abcdef";
    let mut value = 0_u8;
    while (value as usize) < digits.len() {
        values[digits[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl<'a> Place<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let (sequence, rest) = number(text.strip_prefix(b"{\"sequence\":")?)?;
        let rest = rest.strip_prefix(b",\"stream\":\"")?;
        let (stream, rest) = rest.split_at(quote(rest)?);
        let (revision, rest) = number(rest.strip_prefix(b"\",\"revision\":")?)?;
        rest.starts_with(b",").then_some(Self { sequence, stream, revision })
    }

    /// The name of the stream.
    pub(super) fn stream(&self) -> Option<Cow<'a, str>> {
        let text = std::str::from_utf8(self.stream).ok()?;
        if text.contains('\\') {
            serde_json::from_str(&format!("\"{text}\"")).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(text))
        }
    }
}

/// Where the string ends.
fn quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A number in its one spelling, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    if digits.is_empty() || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_what_an_entry_begins_with() {
        let read = |text: &str| {
            let place = Place::read(text.as_bytes())?;
            Some((place.sequence, place.stream()?.into_owned(), place.revision))
        };
        assert_eq!(
            read(r#"{"sequence":12,"stream":"targets/a","revision":3,"at":1}"#),
            Some((12, "targets/a".to_owned(), 3))
        );
        assert_eq!(
            read(r#"{"sequence":1,"stream":"a\"\u0062","revision":3,"#),
            Some((1, "a\"b".to_owned(), 3))
        );
        for wrong in [
            "",
            r#"{"sequence":01,"stream":"a","revision":3,"#,
            r#"{"sequence":-1,"stream":"a","revision":3,"#,
            r#"{"sequence":99999999999999999999,"stream":"a","revision":3,"#,
            r#"{"sequence":1,"stream":"a","revision":3"#,
            r#"{"sequence":1,"stream":"a\"#,
            r#"{"stream":"a","sequence":1,"revision":3,"#,
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_digits_of_a_hash_are_lower_case() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(hash(text.as_bytes()), text.parse().ok());
        for wrong in ["0123456789ABCDEF".repeat(4), "g".repeat(64), "/".repeat(64)] {
            assert_eq!(hash(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
