//! Delivery of the audit trail, put together.

use std::sync::Arc;

use async_trait::async_trait;
use rand::RngExt as _;
use wfe_core::audit::Position;
use wfe_runtime::settings::SettingsError;

use super::StartError;
use crate::{
    audit::{Needs, NothingNeeded},
    clock::Clock,
    config::{Config, Parked, WhenLagging},
    delivery::{Backpressure, Courier, Parts, Policy, Status},
    metrics::Metrics,
    store::{Outbox, StoreError, sqlite::SqliteStore},
};

/// Delivery that can begin.
pub(super) struct Delivery {
    pub(super) courier: Courier,
    pub(super) status: Status,
    pub(super) backpressure: Option<Backpressure>,
    needs: Arc<dyn Needs>,
}

/// Entries that were not taken up for delivery.
struct NotTakenUp(Arc<dyn Outbox>);

#[async_trait]
impl Needs for NotTakenUp {
    async fn needed_after(&self) -> Result<Option<Position>, StoreError> {
        Ok(Some(self.0.taken_up().await?.unwrap_or_default()))
    }
}

impl Delivery {
    /// Delivery as it is set; `None` when it is off. The receiver is not asked for anything yet.
    pub(super) async fn begin(
        config: &Config,
        database: Arc<SqliteStore>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Option<Self>, StartError> {
        let client = config.data_storage().map_err(SettingsError::wrong)?;
        let Some(client) = client else { return Ok(None) };
        if config.data_storage_parked == Parked::Retry {
            let retried = database.retry_parked(clock.now()).await;
            let path = config.database.clone();
            let retried = retried.map_err(|source| StartError::Store { path, source })?;
            tracing::info!(events = retried, "parked events are tried again");
        }
        let status = Status::new(Arc::clone(clock));
        let policy = Policy {
            patience: config.data_storage_patience,
            ..Policy::new(format!("{:016x}", rand::rng().random::<u64>()))
        };
        let needs = Arc::new(NotTakenUp(Arc::clone(&database) as _));
        let parts = Parts {
            store: Arc::clone(&database) as _,
            outbox: database,
            client: Arc::new(client),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            status: status.clone(),
        };
        let courier = Courier::new(parts, policy, || rand::rng().random());
        let backpressure = match config.audit_backpressure {
            WhenLagging::Accept => None,
            WhenLagging::Refuse => {
                Some(Backpressure { status: status.clone(), max_lag: config.audit_max_lag })
            }
        };
        Ok(Some(Self { courier, status, backpressure, needs }))
    }

    /// What must not be deleted yet, with delivery or without.
    pub(super) fn needs(delivery: Option<&Self>) -> Arc<dyn Needs> {
        delivery.map_or_else(|| Arc::new(NothingNeeded) as _, |it| Arc::clone(&it.needs))
    }
}
