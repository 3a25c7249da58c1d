//! A command that runs on the host, and its standard streams.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;

use super::SshError;
use super::channel::{ChannelReader, ChannelWriter, Outbox};
use super::inbox::Inbox;

/// A command that runs on the host. Its parts may be held apart; when the last one is dropped, the channel is closed. That
/// does not end the command, unless it reads or writes.
#[derive(Debug)]
pub struct Exec {
    /// Its standard input.
    pub stdin: ChannelWriter,
    /// Its standard output.
    pub stdout: ChannelReader,
    /// Its standard error.
    pub stderr: ChannelReader,
    /// How it ends.
    pub exit: ExecExit,
}

impl Exec {
    pub(super) fn new(
        stdin: Outbox,
        stdout: Inbox,
        stderr: Inbox,
        exit: oneshot::Receiver<Result<ExitStatus, SshError>>,
        released: DropGuard,
    ) -> Self {
        let released = Arc::new(released);
        let part = || Arc::clone(&released);
        Self {
            stdin: ChannelWriter::new(stdin, part()),
            stdout: ChannelReader::new(stdout, part()),
            stderr: ChannelReader::new(stderr, part()),
            exit: ExecExit { status: exit, _released: part() },
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(u32),
    /// By this signal.
    Signal(String),
    /// The server closed the channel and did not say.
    Unknown,
}

/// How a command ends.
#[derive(Debug)]
pub struct ExecExit {
    status: oneshot::Receiver<Result<ExitStatus, SshError>>,
    _released: Arc<DropGuard>,
}

impl ExecExit {
    /// Waits until the command ends.
    ///
    /// # Errors
    /// The connection ended first, so that nobody knows.
    pub async fn wait(self) -> Result<ExitStatus, SshError> {
        self.status.await.unwrap_or(Ok(ExitStatus::Unknown))
    }
}
