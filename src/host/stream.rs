//! What every host gives: byte streams, and programs with three standard streams.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::reverse::Bridge;
use super::{RelayFault, RelayStream, ReverseFault};
use crate::ssh::{ChannelStream, SshError, StreamError};

/// A byte stream that a host opened.
#[derive(Debug)]
pub enum HostStream {
    /// A plain socket.
    Tcp(TcpStream),
    /// A Unix socket of this machine.
    Unix(UnixStream),
    /// A channel inside an SSH connection.
    Channel(ChannelStream),
    /// One of many inside the standard streams of a program.
    Relayed(RelayStream),
    /// The standard streams of a command that connects.
    Bridged(Box<Bridge>),
}

/// A program that runs on a host: dropping it closes its standard input and lets it be.
pub struct Program {
    /// Its standard input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
}

impl Program {
    /// Gives it something to read. What has ended reads no more, and that is no error here: why it ended stands in what it
    /// printed.
    ///
    /// # Errors
    /// Anything else that keeps it from reading.
    pub async fn give(&mut self, text: &str) -> io::Result<()> {
        give(&mut self.stdin, text).await
    }
}

/// See [`Program::give`].
pub(super) async fn give(stdin: &mut (dyn AsyncWrite + Send + Unpin), text: &str) -> io::Result<()> {
    let given = async {
        stdin.write_all(text.as_bytes()).await?;
        stdin.flush().await
    };
    given.await.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// A host could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A local socket or process.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The SSH client.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// A relay's far end.
    #[error(transparent)]
    Relay(#[from] RelayFault),
    /// A tunnel from the job.
    #[error(transparent)]
    Reverse(#[from] ReverseFault),
}

impl AsyncRead for HostStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Channel(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Relayed(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Bridged(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for HostStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Channel(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Relayed(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Bridged(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    /// Without this an upload's body would be copied together before it is written.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Channel(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Relayed(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Bridged(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Channel(stream) => stream.is_write_vectored(),
            Self::Relayed(stream) => stream.is_write_vectored(),
            Self::Bridged(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Channel(stream) => Pin::new(stream).poll_flush(cx),
            Self::Relayed(stream) => Pin::new(stream).poll_flush(cx),
            Self::Bridged(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Channel(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Relayed(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Bridged(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

impl HostError {
    /// Whether the host refused us, so that asking again soon can only make it worse.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Io(_) | Self::Relay(_) | Self::Reverse(_) => false,
            Self::Ssh(error) => error.is_authentication() || error.is_host_key(),
        }
    }

    /// Whether only a person can go on: to answer what the host asks, or to trust its key.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        match self {
            Self::Io(_) | Self::Relay(_) | Self::Reverse(_) => false,
            Self::Ssh(error) => error.needs_person(),
        }
    }

    /// Whether no connection to that address can ever be made through this host.
    #[must_use]
    pub fn is_prohibited(&self) -> bool {
        matches!(self, Self::Ssh(SshError::Prohibited { .. }))
    }

    /// Whether the host was there, and could not reach the address.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Ssh(SshError::ConnectFailed { .. }))
    }

    /// Whether another try cannot do better before somebody has done something about it.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Io(_) | Self::Relay(_) | Self::Ssh(_) => false,
            Self::Reverse(fault) => fault.is_lasting(),
        }
    }

    /// Whether the link to the host went down, or has to be made first.
    #[must_use]
    pub fn is_link_loss(&self) -> bool {
        match self {
            Self::Io(error) => {
                matches!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(StreamError::Lost(_)))
            }
            Self::Ssh(error) => error.is_link_loss(),
            Self::Relay(_) | Self::Reverse(_) => false,
        }
    }

    /// What to do about it, where there is something to say.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Io(_) | Self::Relay(_) => None,
            Self::Reverse(fault) => fault.remedy(),
            Self::Ssh(error) => error.remedy(),
        }
    }
}
