//! What a certificate says of itself.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

/// What a certificate says of itself. Nothing here is checked: that is for the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Common name of the subject: to Kubernetes the name of a user.
    pub common_name: Option<String>,
    /// Organizations of the subject: to Kubernetes the groups of a user.
    pub organizations: Vec<String>,
    /// DNS names and IP addresses that it stands for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// A certificate cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a certificate cannot be read: {0}")]
pub struct UnreadableCertificate(String);

impl Facts {
    /// What this certificate says.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, UnreadableCertificate> {
        let unreadable = |problem: String| UnreadableCertificate(problem);
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|error| unreadable(error.to_string()))?;
        let time = |seconds| {
            Timestamp::from_second(seconds).map_err(|error| unreadable(error.to_string()))
        };
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| unreadable(error.to_string()))?
            .map(|names| names.value.general_names.iter().filter_map(name).collect());
        Ok(Self {
            common_name: texts(certificate.subject().iter_common_name()).next(),
            organizations: texts(X509Name::iter_organization(certificate.subject())).collect(),
            names: names.unwrap_or_default(),
            not_before: time(certificate.validity().not_before.timestamp())?,
            not_after: time(certificate.validity().not_after.timestamp())?,
        })
    }

    /// What the first certificate of this PEM says.
    pub fn of_pem(pem: &[u8]) -> Result<Self, UnreadableCertificate> {
        let certificate = CertificateDer::from_pem_slice(pem)
            .map_err(|error| UnreadableCertificate(error.to_string()))?;
        Self::of(&certificate)
    }
}

fn texts<'a>(
    attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> impl Iterator<Item = String> {
    attributes.filter_map(|attribute| attribute.as_str().ok().map(ToOwned::to_owned))
}

/// Names of other kinds are of no use to a client that looks for a server.
fn name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some((*name).to_owned());
    }
    if let GeneralName::IPAddress(bytes) = name {
        let address = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
        let address = address.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
        return address.ok().map(|address| address.to_string());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::Authority;

    #[test]
    fn names_and_addresses_of_a_certificate_are_read_as_they_were_written() {
        let names = ["wfe.example", "127.0.0.1", "::1"];
        let facts = Facts::of_pem(&Authority::new("x").server(&names).certificate).unwrap();
        assert_eq!(facts.names, names);
        assert!(facts.not_before < facts.not_after);
    }

    #[test]
    fn user_and_groups_are_in_the_subject() {
        let client = Authority::new("x").client("alice", &["team-a", "team-b"]);
        let facts = Facts::of_pem(&client.certificate).unwrap();
        assert_eq!(facts.common_name.as_deref(), Some("alice"));
        assert_eq!(facts.organizations, ["team-a", "team-b"]);
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_unreadable() {
        assert!(Facts::of_pem(b"nothing").is_err());
        assert!(Facts::of(&CertificateDer::from_slice(b"nothing")).is_err());
    }
}
