//! A connection to a port of a host that opens no channels: by a command there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::time::timeout;

use crate::host::HostError;
use crate::host::relay::greeting;
use crate::ssh::{ChannelReader, ChannelWriter, SshClient};

/// How long the command may take to connect.
const PATIENCE: Duration = Duration::from_secs(10);

/// The standard streams of a command that joins them with a connection. Dropping it ends both.
#[derive(Debug)]
pub struct Bridge {
    input: ChannelWriter,
    output: BufReader<ChannelReader>,
}

/// Connects to a port of the host's loopback; none: the command did not.
///
/// Of the programs that could, bash alone says when it is connected and ends with either side, as a stream does.
///
/// # Errors
/// The host runs no command.
pub(super) async fn bridge(client: &SshClient, nonce: &str, port: u16) -> Result<Option<Bridge>, HostError> {
    // Words that every login shell reads alike. The nonce is letters and digits.
    let command = format!(
        "/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} || exit; echo {nonce} connected; \
         (cat <&3; kill 0) & cat >&3; kill 0'"
    );
    let exec = client.exec(&command).await?;
    let (input, mut output) = (exec.stdin, BufReader::new(exec.stdout));
    let greeted = timeout(PATIENCE, greeting(&mut output, &format!("{nonce} connected\n"))).await;
    let connected = greeted.unwrap_or(Ok(false))?;
    Ok(connected.then_some(Bridge { input, output }))
}

impl AsyncRead for Bridge {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().output).poll_read(cx, buf)
    }
}

impl AsyncWrite for Bridge {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().input).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().input).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().input).poll_shutdown(cx)
    }
}
