//! Keeping Tekton's processes off a port that others mean to use.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use crate::wait::eventually;

/// Every Tekton process tries to listen on port 8080 too, and goes on without it when it cannot. Holding the port while
/// they start keeps it free for those who mean it.
pub struct HealthPort {
    task: tokio::task::JoinHandle<()>,
}

impl HealthPort {
    /// Takes the port as soon as it is free, until this is dropped. Must be called within a tokio runtime.
    #[must_use]
    pub fn hold() -> Self {
        let task = tokio::spawn(async {
            // Another control plane may hold it just now.
            let port = eventually(Duration::from_mins(2), "port 8080", || async {
                TcpListener::bind((Ipv4Addr::LOCALHOST, 8080))
            });
            let Ok(_held) = port.await else { return };
            std::future::pending::<()>().await;
        });
        Self { task }
    }
}

impl Drop for HealthPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}
