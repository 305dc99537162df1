//! placeholder until the engine is merged
use super::simulator::Simulator;
use std::path::Path;
/// x
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct ConnectError;
/// x
pub struct KubeTekton;
impl KubeTekton {
    /// x
    pub async fn connect(_: Option<&Path>, _: &str) -> Result<Simulator, ConnectError> {
        Err(ConnectError)
    }
}
