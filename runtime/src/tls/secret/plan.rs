//! What to do with the content of a Secret; pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{CA, CA_KEY, CERTIFICATE, Data, Issued, KEY, Kept, RANDOM_BYTES};
use crate::tls::{
    Facts, LIFETIME, Protocols, ServerCertificate, ServerMaterial, UnreadableCertificate,
    certificate::MaterialError,
};

/// What to do.
pub(super) enum Plan {
    /// It can be used as it is.
    Use(Box<Kept>),
    /// A certificate must be made, and random entries that are missing.
    Issue { reason: &'static str, authority: Authority },
    /// Others made it, and it cannot be used.
    Refuse { problem: String },
}

/// Who signs the new certificate, and which authorities clients should trust.
pub(super) enum Authority {
    /// The one that signed before.
    Keep { ca: Issued, trusted: String },
    /// A new one; those before it that are still valid are trusted further on.
    Make { trusted: String },
}

/// Decides what to do with `data` for a server of these names.
pub(super) fn plan(
    data: &Data,
    marked: bool,
    names: &[String],
    random: &[&'static str],
    now: Timestamp,
) -> Plan {
    let missing = |name: &str| data.get(name).is_none_or(Vec::is_empty);
    if missing(CERTIFICATE) && missing(KEY) && missing(CA) {
        return issue("there is none", data, now);
    }
    match (usable(data, random), marked) {
        (Ok(kept), false) => Plan::Use(Box::new(kept)),
        (Err(problem), false) => Plan::Refuse { problem: problem.to_string() },
        (Err(_), true) => issue("what is there cannot be used", data, now),
        (Ok(kept), true) => match due(&kept, names, now) {
            None => Plan::Use(Box::new(kept)),
            Some(reason) => issue(reason, data, now),
        },
    }
}

fn issue(reason: &'static str, data: &Data, now: Timestamp) -> Plan {
    Plan::Issue { reason, authority: authority(data, now) }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is too short")]
    Short(&'static str),
    #[error(transparent)]
    Unreadable(#[from] UnreadableCertificate),
    #[error("{0}")]
    Unusable(MaterialError),
}

/// What is there, when a server can use it.
fn usable(data: &Data, random: &[&'static str]) -> Result<Kept, Problem> {
    let entry = |name| data.get(name).cloned().ok_or(Problem::Missing(name));
    let server =
        ServerMaterial { certificate: entry(CERTIFICATE)?, key: entry(KEY)?, client_ca: None };
    let ca = entry(CA)?;
    Facts::of_pem(&ca)?;
    Facts::of_pem(&server.certificate)?;
    ServerCertificate::new(Protocols::Http, &server).map_err(Problem::Unusable)?;
    let mut kept = Kept { server, ca, random: Data::new() };
    for &name in random {
        let value = entry(name)?;
        if value.len() < RANDOM_BYTES {
            return Err(Problem::Short(name));
        }
        kept.random.insert(name.to_owned(), value);
    }
    Ok(kept)
}

/// Why it is time for a new certificate.
fn due(kept: &Kept, names: &[String], now: Timestamp) -> Option<&'static str> {
    let Ok(facts) = Facts::of_pem(&kept.server.certificate) else {
        return Some("what is there cannot be read");
    };
    if names.iter().any(|name| !facts.names.contains(name)) {
        return Some("a name is missing in it");
    }
    let lifetime = facts.not_after.duration_since(facts.not_before);
    let left = facts.not_after.duration_since(now);
    (left < lifetime / 3).then_some("less than a third of its lifetime is left")
}

/// Keeps the authority for as long as it outlives what it signs.
fn authority(data: &Data, now: Timestamp) -> Authority {
    let text = |name| data.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let blocks: Vec<&str> = text(CA).map(blocks).unwrap_or_default();
    let left = |block: &&str| {
        let facts = Facts::of_pem(block.as_bytes()).ok()?;
        Duration::try_from(facts.not_after.duration_since(now)).ok()
    };
    let valid: Vec<&str> = blocks.iter().copied().filter(|block| left(block).is_some()).collect();
    let trusted: String = valid.iter().flat_map(|block| [*block, "\n"]).collect();
    if let Some(first) = blocks.first()
        && left(first).is_some_and(|left| left > LIFETIME)
        && let Some(key) = text(CA_KEY)
        && goes_with(first, key)
    {
        let ca = Issued { certificate: (*first).to_owned(), key: key.to_owned() };
        return Authority::Keep { ca, trusted };
    }
    Authority::Make { trusted }
}

fn goes_with(certificate: &str, key: &str) -> bool {
    let material = ServerMaterial {
        certificate: certificate.as_bytes().to_vec(),
        key: key.as_bytes().to_vec(),
        client_ca: None,
    };
    ServerCertificate::new(Protocols::Http, &material).is_ok()
}

/// The certificates of a bundle, each as the PEM that it was.
fn blocks(bundle: &str) -> Vec<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = bundle.split_inclusive(END).filter(|block| block.ends_with(END));
    blocks.map(str::trim_start).collect()
}

#[cfg(test)]
mod tests;
