//! Why a stream inside an SSH connection broke off.

use std::io;
use std::sync::Arc;

use super::SshError;

/// Why a stream broke off: found inside the [`io::Error`] that its reader or writer is given.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// The far end closed without saying that the data was whole.
    #[error("the far end closed the stream before its end")]
    Reset,
    /// The reader on our side took too little for too long.
    #[error("the client was too slow: more than {bound} bytes waited for it")]
    TooSlow {
        /// How many bytes may wait, in memory and on disk together.
        bound: u64,
    },
    /// What waited for a slow reader could not be kept on disk.
    #[error("the client was slow, and what waited for it could not be kept on disk: {0}")]
    Spool(Arc<io::Error>),
    /// The connection that carried it ended.
    #[error(transparent)]
    Lost(SshError),
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Reset | StreamError::Lost(_) => io::ErrorKind::ConnectionReset,
            StreamError::TooSlow { .. } => io::ErrorKind::QuotaExceeded,
            StreamError::Spool(source) => source.kind(),
        };
        Self::new(kind, error)
    }
}
