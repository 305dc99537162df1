//! OCI references: of bundles, and of the images of steps.

use std::str::FromStr;

use oci_spec::distribution::Reference;

use crate::invalid::Invalid;

/// Answers the digest in the reference, when it has one. `example` shows people what is right.
pub(super) fn check_reference(reference: &str, example: &str) -> Result<Option<String>, Invalid> {
    let form = format!("must be an OCI reference, for example {example}");
    if reference.is_empty() {
        return Err(Invalid::new(format!("is required and {form}")));
    }
    if reference.len() > 512 {
        return Err(Invalid::new("must have at most 512 characters"));
    }
    let parsed =
        Reference::from_str(reference).map_err(|error| Invalid::new(format!("{form}: {error}")))?;
    // A registry cannot serve a repository of one character, and resolvers refuse it.
    if parsed.repository().len() < 2 {
        return Err(Invalid::new(format!("{form}: the repository is too short")));
    }
    let digest = parsed.digest().map(ToOwned::to_owned);
    if let Some(digest) = &digest {
        check_digest(digest)?;
    }
    Ok(digest)
}

pub(super) fn check_digest(digest: &str) -> Result<(), Invalid> {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    match digest.strip_prefix("sha256:") {
        Some(rest) if rest.len() == 64 && rest.chars().all(hex) => Ok(()),
        _ => Err(Invalid::new("must be sha256: and 64 lower-case hex digits")),
    }
}
