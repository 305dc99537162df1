//! Pages of health and metrics, as a probe reads them.

use anyhow::Result;
use wfe_control_plane::plain;

/// One GET in the clear.
pub(crate) async fn get(url: &str) -> Result<reqwest::Response> {
    Ok(plain::client()?.get(url).send().await?)
}
