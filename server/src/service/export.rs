//! ExportLog.

use std::sync::Arc;

use futures::{Stream, TryStreamExt as _};
use wfe_core::audit::Position;

use super::Service;
use crate::error::ServiceError;

impl Service {
    /// Exports what the log has after a place; 0 is all that is kept.
    pub async fn export_log(
        &self,
        after: Position,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, ServiceError>> + Send + use<>, ServiceError>
    {
        let missing = ServiceError::NotAvailable { feature: "an export of the log" };
        let log = Arc::clone(self.log.as_ref().ok_or(missing)?);
        Ok(log.export(after).await?.map_err(ServiceError::from))
    }
}
