//! For whom a caller says to act.

use wfe_core::{
    actor::OnBehalfOf,
    invalid::{Invalid, Violations},
};
use wfe_proto::v1;

use crate::error::ServiceError;

/// At most this many bytes in a name, a UID or the name of a group.
const MAX_BYTES: usize = 1024;

/// At most this many groups.
const MAX_GROUPS: usize = 256;

/// The person or service, when one is named.
pub(in super::super) fn on_behalf_of(
    message: Option<v1::OnBehalfOf>,
) -> Result<Option<OnBehalfOf>, ServiceError> {
    let Some(v1::OnBehalfOf { user, uid, groups }) = message else { return Ok(None) };
    let mut wrong = Violations(Vec::new());
    if user.is_empty() {
        wrong.0.push(Invalid::new("is required").at("on_behalf_of.user"));
    }
    wrong.take("on_behalf_of.user", plain(&user));
    wrong.take("on_behalf_of.uid", plain(&uid));
    if groups.len() > MAX_GROUPS {
        wrong.0.push(Invalid::new("must have at most 256 entries").at("on_behalf_of.groups"));
    }
    for (index, group) in groups.iter().enumerate().take(MAX_GROUPS) {
        wrong.take(format!("on_behalf_of.groups[{index}]"), plain(group));
    }
    wrong.into_result(())?;
    Ok(Some(OnBehalfOf { user, uid: Some(uid).filter(|uid| !uid.is_empty()), groups }))
}

fn plain(text: &str) -> Result<(), Invalid> {
    if text.len() <= MAX_BYTES && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Invalid::new("must have at most 1024 bytes and no control characters"))
}
