//! The bridge as a process.

use wfe_runtime::{
    log,
    process::{Failed, asked_to_stop, stop},
};

use crate::{bridge::Bridge, config::Config};

/// Prints the settings as YAML. There is no secret among them.
pub fn print_config(config: &Config) -> Result<(), Failed> {
    let text = serde_yaml_ng::to_string(config).map_err(|error| Failed::to_end(&error))?;
    print!("{text}");
    Ok(())
}

/// Runs a bridge until SIGTERM or SIGINT; a second one ends the process at once.
pub async fn serve(config: Config) -> Result<(), Failed> {
    log::init(&config.log).map_err(|error| Failed::to_start(&error))?;
    let bridge = Bridge::start(config).await.map_err(|error| Failed::to_start(&error))?;
    tokio::select! {
        asked = asked_to_stop() => asked.map_err(|error| Failed::to_end(&error))?,
        () = bridge.broken() => return Err(Failed::broken()),
    }
    stop(bridge.stop()).await
}
