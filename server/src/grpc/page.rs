//! Page tokens: where a page ended, bound to the question that was asked.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use wfe_core::invalid::Invalid;

/// A token for `position` in the answer to `question`.
pub(super) fn encode(question: &str, position: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("1.{:016x}.{position}", fingerprint(question)))
}

/// The position in `token`; an empty token is none. Refuses a token of another question.
pub(super) fn decode(question: &str, token: &str) -> Result<Option<i64>, Invalid> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = parse(token).ok_or_else(|| {
        Invalid::new("is not a page token: give the next_page_token of the page before, unchanged")
    })?;
    if parsed.0 != fingerprint(question) {
        return Err(Invalid::new(
            "belongs to another query: the other fields must be as they were for the page before",
        ));
    }
    Ok(Some(parsed.1))
}

fn parse(token: &str) -> Option<(u64, i64)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (fingerprint, position) = text.strip_prefix("1.")?.split_once('.')?;
    Some((u64::from_str_radix(fingerprint, 16).ok()?, position.parse().ok()?))
}

/// FNV-1a: stable over versions and replicas. A token is no secret, it only tells two queries apart.
fn fingerprint(question: &str) -> u64 {
    question.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_position_and_only_for_its_question() {
        let token = encode("states=running", 42);
        assert_eq!(decode("states=running", &token), Ok(Some(42)));
        assert!(decode("states=failed", &token).unwrap_err().0.contains("another query"));
        assert_eq!(decode("anything", ""), Ok(None));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["x", "!!!", &URL_SAFE_NO_PAD.encode("2.0.0"), &"A".repeat(5000)] {
            assert!(decode("q", token).unwrap_err().0.contains("not a page token"), "{token}");
        }
    }
}
