//! The task of one channel: it always takes what arrives, and sends what is to go.
//!
//! russh gives a stream's window back when bytes arrive, not when they are read, and then waits on a queue of the
//! channel: a channel that nobody reads holds up its whole connection. So somebody always reads.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use russh::{ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::exec::ExitStatus;
use super::handler::Ending;
use super::outlet::Outlet;
use super::sessions::OpenSession;
use super::slot::Slot;
use super::words::printable;
use super::{SshError, StreamError};

/// How long a stream that we are done with, and whose end we have told, may take to be closed by the far end. russh keeps
/// some memory for every channel that we close first, so it is worth a moment; but what runs there should end soon.
const CLOSE_GRACE: Duration = Duration::from_millis(300);

/// The code of an extended message that carries standard error.
const STANDARD_ERROR: u32 = 1;

/// A channel's share of its connection.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) host: String,
    /// Counts a command's session. It goes before the slot, which tells those who wait.
    pub(super) session: Option<OpenSession>,
    /// Counts the channel until it is closed.
    pub(super) _slot: Slot,
    /// Counts the channels that we closed first.
    pub(super) closed_first: Arc<AtomicUsize>,
    pub(super) ending: watch::Receiver<Ending>,
}

/// What arrives on a channel, and where it goes.
pub(super) struct Incoming {
    pub(super) channel: ChannelReadHalf,
    pub(super) stdout: Outlet,
    /// Only a command has one.
    pub(super) stderr: Option<Outlet>,
    pub(super) exit: Option<oneshot::Sender<Result<ExitStatus, SshError>>>,
}

/// What russh is told of a channel, by a client or by a server.
pub(super) trait Message: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static {}

impl<T: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static> Message for T {}

/// Everything that the task of a channel works with.
pub(super) struct Pump<M: Message> {
    pub(super) incoming: Incoming,
    /// What arrived while the channel was being set up.
    pub(super) early: Vec<ChannelMsg>,
    pub(super) write: ChannelWriteHalf<M>,
    /// Its end is the end of our data.
    pub(super) outgoing: mpsc::Receiver<Bytes>,
    /// Cancelled when nobody holds the stream any more.
    pub(super) released: CancellationToken,
    pub(super) share: Share,
}

/// Why a channel's task need not wait for more.
enum Over {
    /// The far end closed the channel, and russh answered.
    Closed,
    /// The connection ended.
    Lost,
    /// It is for us to close it.
    OursToClose,
}

impl<M: Message> Pump<M> {
    /// Runs until the channel is closed, and then until what waits on disk is read.
    pub(super) async fn run(self) {
        let Self { mut incoming, early, write, outgoing, released, mut share } = self;
        match carry(&mut incoming, early, &write, outgoing, &released).await {
            Over::Closed => incoming.end(&StreamError::Reset, Ok(ExitStatus::Unknown)),
            Over::Lost => {
                let error = lost(&share);
                incoming.end(&StreamError::Lost(error.clone()), Err(error));
            }
            Over::OursToClose => {
                share.closed_first.fetch_add(1, Ordering::Relaxed);
                // Fails only where the connection has ended, and the channel with it.
                let _ = Box::pin(write.close()).await;
                if let Some(session) = share.session.take() {
                    session.leave_behind();
                }
                incoming.end(&StreamError::Reset, Ok(ExitStatus::Unknown));
            }
        }
        drop((write, share));
        if incoming.is_spooling() {
            Box::pin(incoming.serve_what_waits()).await;
        }
    }
}

fn lost(share: &Share) -> SshError {
    share.ending.borrow().clone().unwrap_or_else(|| SshError::Disconnected {
        host: share.host.clone(),
        reason: "the connection was lost".to_owned(),
        by_server: false,
    })
}

async fn carry<M: Message>(
    incoming: &mut Incoming,
    early: Vec<ChannelMsg>,
    write: &ChannelWriteHalf<M>,
    outgoing: mpsc::Receiver<Bytes>,
    released: &CancellationToken,
) -> Over {
    for message in early {
        if let Some(over) = incoming.take(message).await {
            return over;
        }
    }
    let mut receiving = pin!(incoming.receive());
    let mut sending = pin!(send_all(write, outgoing));
    let mut sent = false;
    let mut given_up = pin!(async {
        released.cancelled().await;
        sleep(CLOSE_GRACE).await;
    });
    loop {
        tokio::select! {
            over = &mut receiving => return over,
            () = &mut sending, if !sent => sent = true,
            () = &mut given_up => return Over::OursToClose,
        }
    }
}

/// Sends what is to go, as fast as the far window lets it, and then our end. russh's futures are boxed: they are large, and
/// most of the time of most streams nothing is sent.
async fn send_all<M: Message>(write: &ChannelWriteHalf<M>, mut outgoing: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = outgoing.recv().await {
        if Box::pin(write.data_bytes(bytes)).await.is_err() {
            return;
        }
    }
    let _ = Box::pin(write.eof()).await;
}

impl Incoming {
    async fn receive(&mut self) -> Over {
        loop {
            let message = if self.is_spooling() {
                // Boxed, because few streams ever need it.
                tokio::select! {
                    message = self.channel.wait() => message,
                    Some(outlet) = Box::pin(one_with_room(&mut self.stdout, self.stderr.as_mut())) => {
                        if outlet.refill().await.is_err() {
                            return Over::OursToClose;
                        }
                        continue;
                    }
                }
            } else {
                self.channel.wait().await
            };
            let Some(message) = message else { return Over::Lost };
            if let Some(over) = self.take(message).await {
                return over;
            }
        }
    }

    async fn take(&mut self, message: ChannelMsg) -> Option<Over> {
        let taken = match message {
            ChannelMsg::Data { data } => self.stdout.push(data).await,
            ChannelMsg::ExtendedData { data, ext: STANDARD_ERROR } => match &mut self.stderr {
                Some(stderr) => stderr.push(data).await,
                None => Ok(()),
            },
            ChannelMsg::Eof => {
                self.end_data(&Ok(()));
                Ok(())
            }
            ChannelMsg::ExitStatus { exit_status } => self.exited(ExitStatus::Code(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.exited(ExitStatus::Signal(printable(&format!("{signal_name:?}"))))
            }
            ChannelMsg::Close => return Some(Over::Closed),
            // Answers to what we do not ask, and a window that russh looks after.
            _ => Ok(()),
        };
        taken.is_err().then_some(Over::OursToClose)
    }

    #[expect(clippy::unnecessary_wraps, reason = "one arm of a match whose others can fail")]
    fn exited(&mut self, status: ExitStatus) -> Result<(), StreamError> {
        if let Some(exit) = self.exit.take() {
            let _ = exit.send(Ok(status));
        }
        Ok(())
    }

    /// The channel is over; what was said before of its end stands.
    fn end(&mut self, how: &StreamError, exit: Result<ExitStatus, SshError>) {
        self.end_data(&Err(how.clone()));
        if let Some(waiting) = self.exit.take() {
            let _ = waiting.send(exit);
        }
    }

    fn end_data(&mut self, how: &Result<(), StreamError>) {
        self.stdout.end(how.clone());
        if let Some(stderr) = &mut self.stderr {
            stderr.end(how.clone());
        }
    }

    /// Whether something waits on disk.
    fn is_spooling(&self) -> bool {
        self.stdout.is_spooling() || self.stderr.as_ref().is_some_and(Outlet::is_spooling)
    }

    /// Gives the readers what still waits on disk. An error was told to its reader, and ends the waiting.
    async fn serve_what_waits(&mut self) {
        while let Some(outlet) = one_with_room(&mut self.stdout, self.stderr.as_mut()).await {
            let _ = outlet.refill().await;
        }
    }
}

/// Of those with something on disk, the first whose reader has room for some of it; none if nothing waits there.
async fn one_with_room<'a>(stdout: &'a mut Outlet, stderr: Option<&'a mut Outlet>) -> Option<&'a mut Outlet> {
    let spooling = |outlet: &&mut Outlet| outlet.is_spooling();
    match (Some(stdout).filter(spooling), stderr.filter(spooling)) {
        (Some(stdout), Some(stderr)) => tokio::select! {
            () = stdout.room() => Some(stdout),
            () = stderr.room() => Some(stderr),
        },
        (Some(one), None) | (None, Some(one)) => {
            one.room().await;
            Some(one)
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use russh::client::Msg;

    use super::*;
    use crate::ssh::inbox::Item;

    fn size_of_answer<T, F>(_: impl Fn(T) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_every_stream_costs_is_small() {
        let task = size_of_answer(Pump::<Msg>::run);
        assert!(task <= 1536, "{task}");
        let place = size_of::<Item>();
        assert!(place <= 40, "{place}");
    }
}
