//! Makes certificates: an authority, and what it signs.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

/// A server's certificate is valid for this long.
pub const LIFETIME: Duration = Duration::from_hours(365 * 24);

/// An authority is valid for this long.
pub const CA_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// Certificates are valid from so long before they are made, for clients whose clocks are late.
const EARLY: Duration = Duration::from_mins(5);

/// A certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name is none, or a key cannot be used.
    #[error("a certificate cannot be made")]
    Rcgen(#[from] rcgen::Error),
    /// Its times are outside of what a certificate can hold.
    #[error("a certificate cannot be valid from {0} on")]
    Time(Timestamp),
}

/// A certificate with its key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A new authority with this name, valid from `now` on.
pub(super) fn authority(name: &str, now: Timestamp) -> Result<Issued, IssueError> {
    let mut params = params(&[], name, now, CA_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A new certificate for a server with these DNS names and IP addresses, signed by `ca`.
pub(super) fn server(ca: &Issued, names: &[String], now: Timestamp) -> Result<Issued, IssueError> {
    let common_name = names.first().map_or("server", String::as_str);
    // A common name has at most 64 characters, and nobody compares it.
    let common_name: String = common_name.chars().take(64).collect();
    let mut params = params(names, &common_name, now, LIFETIME)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(ca, &params)
}

/// A new certificate for a client: a user and up to two groups, signed by `ca`.
#[cfg(any(test, feature = "test-util"))]
pub(super) fn client(
    ca: &Issued,
    user: &str,
    groups: &[&str],
    now: Timestamp,
    lifetime: Duration,
) -> Result<Issued, IssueError> {
    let mut params = params(&[], user, now, lifetime)?;
    // rcgen keeps one entry of each type; the same type by its number is another to it.
    let types = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    for (group, kind) in groups.iter().zip(types) {
        params.distinguished_name.push(kind, *group);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(ca, &params)
}

fn sign(ca: &Issued, params: &CertificateParams) -> Result<Issued, IssueError> {
    let issuer = Issuer::from_ca_cert_pem(&ca.certificate, KeyPair::from_pem(&ca.key)?)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn params(
    names: &[String],
    common_name: &str,
    now: Timestamp,
    lifetime: Duration,
) -> Result<CertificateParams, IssueError> {
    let time = |time: Option<Timestamp>| {
        time.and_then(|time| OffsetDateTime::from_unix_timestamp(time.as_second()).ok())
            .ok_or(IssueError::Time(now))
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = time(now.checked_sub(EARLY).ok())?;
    params.not_after = time(now.checked_add(lifetime).ok())?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
