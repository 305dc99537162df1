//! How a person or a supervisor asks the process to end.

use std::{future::pending, io};

/// Returns when Ctrl-C is pressed or, on Unix, when the process gets SIGTERM.
pub async fn asked() {
    tokio::select! {
        result = tokio::signal::ctrl_c() => when_listening(result).await,
        () = terminated() => {}
    }
}

/// A listener that cannot be installed never reports; the signal then ends the process by itself.
async fn when_listening(result: io::Result<()>) {
    if result.is_err() {
        pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut stream) => {
            stream.recv().await;
        }
        Err(_) => pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    pending().await
}
