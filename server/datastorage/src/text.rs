//! Text that the receiver's table can hold.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Text of `MIN` to `MAX` characters without U+0000, which the receiver takes and can never store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// A value that the receiver refuses or can never store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Text is too short.
    #[error("must have at least {0} characters")]
    TooShort(usize),
    /// Text is too long.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// Text holds U+0000.
    #[error("must not hold U+0000")]
    Nul,
    /// A number or a time is outside of what can be stored.
    #[error("must be {0}")]
    OutOfRange(&'static str),
}

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `text` as far as it can be stored: what is too long is cut, and U+0000 is replaced by U+FFFD.
    pub fn fitted(text: &str) -> Result<Self, Wrong> {
        let kept = text.chars().map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c });
        kept.take(MAX).collect::<String>().try_into()
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<String> for Text<MIN, MAX> {
    type Error = Wrong;

    fn try_from(text: String) -> Result<Self, Wrong> {
        // Bytes are counted first: characters of what is much too long need not be.
        let length = if text.len() < MIN || text.len() > MAX { text.chars().count() } else { MIN };
        if length < MIN || (MIN > 0 && text.chars().nth(MIN - 1).is_none()) {
            return Err(Wrong::TooShort(MIN));
        }
        if length > MAX {
            return Err(Wrong::TooLong(MAX));
        }
        if text.contains('\0') {
            return Err(Wrong::Nul);
        }
        Ok(Self(text))
    }
}

impl<const MIN: usize, const MAX: usize> FromStr for Text<MIN, MAX> {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        text.to_owned().try_into()
    }
}

impl<const MIN: usize, const MAX: usize> From<Text<MIN, MAX>> for String {
    fn from(text: Text<MIN, MAX>) -> Self {
        text.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Short = Text<1, 5>;

    #[test]
    fn text_is_taken_exactly_within_its_limits_counted_in_characters() {
        let cases: [(&str, Result<(), Wrong>); 7] = [
            ("", Err(Wrong::TooShort(1))),
            ("a", Ok(())),
            ("abcde", Ok(())),
            ("äöüßé", Ok(())),
            ("abcdef", Err(Wrong::TooLong(5))),
            ("äöüßéa", Err(Wrong::TooLong(5))),
            ("a\0b", Err(Wrong::Nul)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Short>().map(drop), expected, "{text:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_between_characters_and_nul_is_replaced() {
        assert_eq!(Short::fitted("äöüßéa").unwrap().as_str(), "äöüßé");
        assert_eq!(Short::fitted("a\0b").unwrap().as_str(), "a\u{fffd}b");
        assert_eq!(Short::fitted(""), Err(Wrong::TooShort(1)));
    }

    #[test]
    fn what_was_stored_is_checked_when_it_is_read() {
        assert!(serde_json::from_str::<Short>("\"abcdef\"").is_err());
        assert_eq!(serde_json::from_str::<Short>("\"abc\"").unwrap().as_str(), "abc");
    }
}
