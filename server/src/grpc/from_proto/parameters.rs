//! Sealing: the one place where a sensitive value comes in.

use std::collections::{BTreeMap, BTreeSet};

use wfe_core::{
    ids::RequestId,
    parameter::{Parameter, SensitiveNames},
};
use zeroize::Zeroizing;

use crate::{error::ServiceError, vault::Vault};

/// Which parameters of a request are sensitive.
pub(super) struct Sensitive<'a> {
    /// Those that the caller names.
    pub(super) marked: BTreeSet<String>,
    /// Those that are so whoever calls.
    pub(super) patterns: &'a SensitiveNames,
}

/// The parameters of a request as they are kept.
pub(super) fn seal(
    parameters: BTreeMap<String, String>,
    request: &RequestId,
    sensitive: &Sensitive<'_>,
    vault: &Vault,
) -> Result<BTreeMap<String, Parameter>, ServiceError> {
    let mut kept = BTreeMap::new();
    for (name, value) in parameters {
        let parameter = if sensitive.marked.contains(&name) || sensitive.patterns.contain(&name) {
            let value = Zeroizing::new(value);
            let sealed = vault.seal(request, &name, &value);
            Parameter::Sensitive(sealed.map_err(|error| ServiceError::Internal(Box::new(error)))?)
        } else {
            Parameter::Plain(value)
        };
        kept.insert(name, parameter);
    }
    Ok(kept)
}
