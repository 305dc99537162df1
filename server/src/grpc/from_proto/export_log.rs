//! ExportLog in.

use wfe_core::{audit::Position, invalid::Violations};
use wfe_proto::v1;

use crate::error::ServiceError;

/// The place after which an export begins.
pub(in super::super) fn export_log(
    message: v1::ExportLogRequest,
) -> Result<Position, ServiceError> {
    let v1::ExportLogRequest { after } = message;
    let wrong = |_| Violations::one("after", "must be a place in the log, or 0").into();
    u64::try_from(after).map(Position).map_err(wrong)
}
