//! A Tekton pipeline in an OCI bundle.

use std::str::FromStr;

use oci_spec::distribution::Reference;
use serde::{Deserialize, Serialize};

use super::{
    WorkflowKey,
    reference::{check_digest, check_reference},
};
use crate::invalid::{Invalid, Violations};

/// The pipeline that is run when a request names none.
pub const DEFAULT_PIPELINE: &str = "workflow";

/// What a reference of a bundle looks like.
const EXAMPLE: &str = "registry.example/workflows/restart:v1";

/// A Tekton pipeline in an OCI bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleWorkflow {
    reference: String,
    digest: Option<String>,
    pipeline: String,
}

impl BundleWorkflow {
    /// Checks and keeps a bundle. An empty `digest` is none, an empty `pipeline` is
    /// [`DEFAULT_PIPELINE`]. Violations name the fields `reference`, `digest` and `pipeline`.
    pub fn new(reference: &str, digest: &str, pipeline: &str) -> Result<Self, Violations> {
        let mut wrong = Violations(Vec::new());
        let own_digest = wrong.take("reference", check_reference(reference, EXAMPLE)).flatten();
        let digest = match digest {
            "" => own_digest,
            digest => {
                let checked = check_digest(digest).and_then(|()| match own_digest {
                    Some(own) if own != digest => Err(Invalid::new(format!(
                        "contradicts the digest in the reference, {own}: leave one of them out"
                    ))),
                    _ => Ok(digest.to_owned()),
                });
                wrong.take("digest", checked)
            }
        };
        let pipeline = if pipeline.is_empty() { DEFAULT_PIPELINE } else { pipeline };
        if !crate::ids::is_dns_subdomain(pipeline) {
            wrong.take::<()>(
                "pipeline",
                Err(Invalid::new(
                    "must be a DNS subdomain: at most 253 characters of a-z 0-9 - and .",
                )),
            );
        }
        wrong.into_result(Self {
            reference: reference.to_owned(),
            digest,
            pipeline: pipeline.to_owned(),
        })
    }

    /// The reference as it was given.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The digest, from the reference or given beside it.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// By what the workflow is told again: repository and pipeline, whatever the tag or digest.
    pub fn key(&self) -> WorkflowKey {
        let repository = match Reference::from_str(&self.reference) {
            Ok(parsed) => format!("{}/{}", parsed.registry(), parsed.repository()),
            Err(_) => self.reference.clone(),
        };
        WorkflowKey(format!("{repository}#{}", self.pipeline))
    }

    /// The name of the pipeline in the bundle.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// What a resolver is given: the reference, pinned by the digest when there is one.
    pub fn pinned_reference(&self) -> String {
        match &self.digest {
            Some(digest) if !self.reference.contains('@') => format!("{}@{digest}", self.reference),
            _ => self.reference.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_digest_beside_the_reference_pins_it() {
        let bundle = BundleWorkflow::new("127.0.0.1:5000/wfe/restart:v1", DIGEST, "").unwrap();
        assert_eq!(bundle.pinned_reference(), format!("127.0.0.1:5000/wfe/restart:v1@{DIGEST}"));
        assert_eq!(bundle.pipeline(), "workflow");
    }

    #[test]
    fn a_digest_in_the_reference_is_known_and_not_added_twice() {
        let reference = format!("registry.example/wfe/restart@{DIGEST}");
        let bundle = BundleWorkflow::new(&reference, DIGEST, "other").unwrap();
        assert_eq!((bundle.digest(), bundle.pinned_reference()), (Some(DIGEST), reference));
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let other = DIGEST.replace('0', "1");
        let cases: [(&str, &str, &str, &[&str]); 6] = [
            ("", "", "", &["reference"]),
            ("https://registry.example/x", "", "", &["reference"]),
            (
                "registry.example/UPPER:v1",
                "sha256:12",
                "Not_A_Name",
                &["reference", "digest", "pipeline"],
            ),
            ("registry.example/app:v1 ", "", "", &["reference"]),
            (&format!("registry.example/app@{DIGEST}"), &other, "", &["digest"]),
            (&format!("registry.example/{}", "a".repeat(600)), "", "", &["reference"]),
        ];
        for (reference, digest, pipeline, fields) in cases {
            let wrong = BundleWorkflow::new(reference, digest, pipeline).unwrap_err();
            let named: Vec<&str> = wrong.0.iter().map(|v| v.field.as_str()).collect();
            assert_eq!(named, fields, "{reference}");
        }
    }
}
