//! The end of a container's log, read through the API server from the kubelet.

use ::kube::{Api, api::LogParams};
use futures::{AsyncRead, AsyncReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use wfe_core::failure::log::{MAX_READ_BYTES, RawTail, StepLog};
use wfe_runtime::cluster::CallError;

use super::super::LogError;

/// So many lines are asked for. A limit in bytes would keep the first of them and not the last.
const LINES: i64 = 500;

/// A log that sends more than this is given up.
const MAX_SENT_BYTES: usize = 8 * 1024 * 1024;

/// A container runtime that has lost the log says so in place of the log.
const LOST: &[u8] = b"unable to retrieve container logs for ";

/// Reads the end of a log.
pub(super) async fn tail(pods: &Api<Pod>, log: &StepLog) -> Result<RawTail, LogError> {
    let params = LogParams {
        container: Some(log.container.clone()),
        tail_lines: Some(LINES),
        ..LogParams::default()
    };
    let stream = pods.log_stream(&log.pod, &params).await.map_err(CallError::from)?;
    let tail = end_of(stream, MAX_SENT_BYTES).await?;
    if tail.bytes.starts_with(LOST) { Err(LogError::Gone) } else { Ok(tail) }
}

/// The last bytes of a stream, which is read in pieces and never kept as a whole.
async fn end_of(stream: impl AsyncRead, most: usize) -> Result<RawTail, LogError> {
    let mut stream = std::pin::pin!(stream);
    let mut piece = vec![0; 16 * 1024];
    let (mut tail, mut sent) = (RawTail::default(), 0_usize);
    loop {
        let read = stream.read(&mut piece).await;
        let read = read.map_err(|error| LogError::Failed(error.into()))?;
        if read == 0 {
            return Ok(tail);
        }
        sent = sent.saturating_add(read);
        if sent > most {
            return Err(LogError::TooLong(most));
        }
        tail.bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
        if let Some(over) = tail.bytes.len().checked_sub(MAX_READ_BYTES).filter(|over| *over > 0) {
            tail.bytes.drain(..over);
            tail.cut = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    async fn end(text: &[u8], most: usize) -> Result<RawTail, LogError> {
        end_of(Cursor::new(text.to_vec()), most).await
    }

    #[tokio::test]
    async fn of_a_stream_the_end_is_kept_and_never_more_than_is_needed() {
        let text: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let tail = end(&text, 300_000).await.unwrap();
        assert_eq!(tail.bytes, text[text.len() - MAX_READ_BYTES..]);
        assert!(tail.cut);
        let short = end(b"short", 300_000).await.unwrap();
        assert_eq!((short.bytes.as_slice(), short.cut), (&b"short"[..], false));
        assert!(matches!(end(&text, 299_999).await, Err(LogError::TooLong(299_999))));
    }
}
