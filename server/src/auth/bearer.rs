//! Bearer tokens: taken out of a header, never shown.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Unauthenticated;

/// At most so many bytes; tokens with many claims have some thousands.
const MAX_BYTES: usize = 64 * 1024;

/// A token. Its text is for the reviewer alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    digest: [u8; 32],
}

/// Shows no token.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl Token {
    /// A token with this text.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let digest = Sha256::digest(text.as_bytes()).into();
        Self { text, digest }
    }

    /// The text, to be reviewed and nothing else.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Stands for the token where it is remembered.
    pub(super) const fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// What stands in `authorization`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing.
    #[default]
    Nothing,
    /// A token.
    Bearer(Token),
    /// Something else.
    Malformed,
}

impl Authorization {
    /// Reads the values of the header, of which there should be one.
    pub fn parse<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(value) = values.next() else { return Self::Nothing };
        if values.next().is_some() {
            return Self::Malformed;
        }
        let token = std::str::from_utf8(value).ok().and_then(bearer);
        token.map_or(Self::Malformed, |token| Self::Bearer(Token::new(token)))
    }

    /// The token.
    pub(super) fn token(self) -> Result<Token, Unauthenticated> {
        match self {
            Self::Bearer(token) => Ok(token),
            Self::Nothing => Err(Unauthenticated::Nothing),
            Self::Malformed => Err(Unauthenticated::Malformed),
        }
    }
}

/// The token of `Bearer <token>`, whose scheme may be written in any case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let plain = !token.is_empty() && token.len() <= MAX_BYTES;
    let plain = plain && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && plain).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_and_anything_else_is_said_to_be_wrong() {
        let read =
            |values: &[&str]| Authorization::parse(values.iter().map(|text| text.as_bytes()));
        let token = Authorization::Bearer(Token::new("abc.def"));
        assert_eq!(read(&["Bearer abc.def"]), token);
        assert_eq!(read(&["bearer  abc.def "]), token);
        assert_eq!(read(&[]), Authorization::Nothing);
        for wrong in ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b", "Bearer \u{e9}"] {
            assert_eq!(read(&[wrong]), Authorization::Malformed, "{wrong:?}");
        }
        assert_eq!(read(&["Bearer a", "Bearer b"]), Authorization::Malformed);
        let long = format!("Bearer {}", "a".repeat(MAX_BYTES + 1));
        assert_eq!(read(&[&long]), Authorization::Malformed);
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let shown = format!("{:?}", Authorization::Bearer(Token::new("secret-text")));
        assert!(!shown.contains("secret-text"), "{shown}");
    }
}
