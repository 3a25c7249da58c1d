//! A command that runs on the host, and its standard streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;

use super::SshError;
use super::channel::Outbox;
use super::inbox::Inbox;

/// A command that runs on the host. Its parts may be held apart; when the last one is dropped, the channel is closed. That
/// does not end the command, unless it reads or writes.
#[derive(Debug)]
pub struct Exec {
    /// Its standard input; shutting it down or dropping it is its end.
    pub stdin: ExecInput,
    /// Its standard output.
    pub stdout: ExecOutput,
    /// Its standard error.
    pub stderr: ExecOutput,
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
            stdin: ExecInput { outbox: stdin, _released: part() },
            stdout: ExecOutput { inbox: stdout, _released: part() },
            stderr: ExecOutput { inbox: stderr, _released: part() },
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

/// A command's standard input.
#[derive(Debug)]
pub struct ExecInput {
    outbox: Outbox,
    _released: Arc<DropGuard>,
}

/// A command's standard output or standard error.
#[derive(Debug)]
pub struct ExecOutput {
    inbox: Inbox,
    _released: Arc<DropGuard>,
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

impl AsyncWrite for ExecInput {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().outbox.poll_write(cx, buf)
    }

    /// What was written is on its way by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().outbox.finish();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ExecOutput {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().inbox.poll_read(cx, buf)
    }
}
