//! Opening channels.
//!
//! An open that is given up half-way stays open on the server, so each runs to its end in a task of its own; the stream
//! that nobody waits for any more is then dropped, and dropping closes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelOpenFailure};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::channel::{self, Outbox};
use super::connection::Connection;
use super::exec::ExitStatus;
use super::handler::{MOST_REFUSALS, OpenRefused};
use super::outlet::Outlet;
use super::pump::{Incoming, Pump, Share};
use super::sessions::OpenSession;
use super::slot::Slot;
use super::{ChannelStream, Exec, SshError};

/// How long the server's words on a refused channel may lag behind the refusal.
const WORDS_LAG: Duration = Duration::from_secs(1);

/// The server's words on channels that it refused. russh does not say to which request they belong: of several refusals at
/// the same time and for the same reason, one may be told another's words.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    arriving: mpsc::Receiver<OpenRefused>,
    /// For others, the newest last. One that nobody takes belonged to a request that was given up.
    arrived: VecDeque<OpenRefused>,
}

impl Refusals {
    pub(super) fn new(arriving: mpsc::Receiver<OpenRefused>) -> Self {
        Self(Mutex::new(Waiting { arriving, arrived: VecDeque::new() }))
    }

    /// The words on a refusal for this reason.
    pub(super) async fn words(&self, reason: &ChannelOpenFailure) -> String {
        let mut waiting = self.0.lock().await;
        let same = |refused: &OpenRefused| std::mem::discriminant(&refused.reason) == std::mem::discriminant(reason);
        if let Some(at) = waiting.arrived.iter().position(same) {
            return waiting.arrived.remove(at).map_or_else(String::new, |refused| refused.words);
        }
        while let Ok(Some(refused)) = timeout(WORDS_LAG, waiting.arriving.recv()).await {
            if same(&refused) {
                return refused.words;
            }
            if waiting.arrived.len() >= MOST_REFUSALS {
                waiting.arrived.pop_front();
            }
            waiting.arrived.push_back(refused);
        }
        String::new()
    }
}

/// Opens a stream to `host`:`port`, as the server sees it.
///
/// # Errors
/// The server forbids it, could not connect, or is gone.
pub(super) async fn dial(
    connection: Arc<Connection>,
    slot: Slot,
    host: String,
    port: u16,
) -> Result<ChannelStream, SshError> {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let opened = connection.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0).await;
    stream(&connection, slot, opened, address).await
}

/// Opens a stream to a Unix socket of the server's machine.
///
/// # Errors
/// As with [`dial`].
pub(super) async fn dial_socket(
    connection: Arc<Connection>,
    slot: Slot,
    path: String,
) -> Result<ChannelStream, SshError> {
    let opened = connection.handle.channel_open_direct_streamlocal(path.clone()).await;
    stream(&connection, slot, opened, path).await
}

/// The stream of a channel that was asked for, unless it was refused.
async fn stream(
    connection: &Connection,
    slot: Slot,
    opened: Result<Channel<Msg>, russh::Error>,
    address: String,
) -> Result<ChannelStream, SshError> {
    let channel = match opened {
        Ok(channel) => channel,
        Err(russh::Error::ChannelOpenFailure(reason)) => {
            let words = connection.refusals.words(&reason).await;
            let server = connection.host().to_owned();
            return Err(match reason {
                ChannelOpenFailure::AdministrativelyProhibited => SshError::Prohibited { host: server, address, words },
                _ => SshError::ConnectFailed { host: server, address, words },
            });
        }
        Err(error) => return Err(connection.failure(&error)),
    };
    let (stdout, inbox) = Outlet::new(&connection.outlets);
    let share = connection.share(slot, None);
    let held = start(connection, share, channel, Vec::new(), Ends { stdout, stderr: None, exit: None });
    Ok(channel::stream(inbox, held.outbox, held.released))
}

/// How a command came to run, or not.
pub(super) enum Started {
    /// It runs.
    Running(Box<Exec>),
    /// All of this connection's sessions are taken; another connection has its own.
    NoSession {
        /// Whether nothing else of ours was there, so that it is not for us to make room.
        alone: bool,
    },
}

/// Runs `command` in the user's login shell there.
///
/// # Errors
/// The server will not, or is gone.
pub(super) async fn exec(connection: Arc<Connection>, slot: Slot, command: String) -> Result<Started, SshError> {
    let Some((mut channel, session)) = open_session(&connection).await? else {
        return Ok(Started::NoSession { alone: connection.used() <= 1 });
    };
    let refused = || SshError::ExecRefused { host: connection.host().to_owned(), words: String::new() };
    channel.exec(true, command).await.map_err(|error| connection.failure(&error))?;
    let mut early = Vec::new();
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => {
                let _ = channel.close().await;
                return Err(refused());
            }
            Some(ChannelMsg::Close) => return Err(refused()),
            Some(message) => early.push(message),
            None => return Err(connection.failure(&russh::Error::Disconnect)),
        }
    }
    let (exit, exited) = oneshot::channel();
    let share = connection.share(slot, Some(session));
    let ((stdout, out), (stderr, err)) = (Outlet::new(&connection.outlets), Outlet::new(&connection.outlets));
    let ends = Ends { stdout, stderr: Some(stderr), exit: Some(exit) };
    let held = start(&connection, share, channel, early, ends);
    let exec = Exec::new(held.outbox, out, err, exited, held.released);
    Ok(Started::Running(Box::new(exec)))
}

/// Opens a session, unless all of this connection's are taken.
async fn open_session(connection: &Connection) -> Result<Option<(Channel<Msg>, OpenSession)>, SshError> {
    for settled in [false, true] {
        let reason = match connection.handle.channel_open_session().await {
            Ok(channel) => return Ok(Some((channel, connection.sessions.opened()))),
            Err(russh::Error::ChannelOpenFailure(reason)) => reason,
            Err(error) => return Err(connection.failure(&error)),
        };
        let words = connection.refusals.words(&reason).await;
        let lack = matches!(reason, ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage);
        if !lack || !connection.sessions.were_ever_opened() {
            return Err(SshError::ExecRefused { host: connection.host().to_owned(), words });
        }
        tracing::debug!(host = connection.host(), words, settled, "all sessions of the SSH connection are taken");
        if !settled {
            connection.settle().await;
        }
    }
    connection.sessions.refused();
    Ok(None)
}

/// Where what arrives on a channel goes: a stream has only the first.
struct Ends {
    stdout: Outlet,
    stderr: Option<Outlet>,
    exit: Option<oneshot::Sender<Result<ExitStatus, SshError>>>,
}

/// What the user of a channel holds beside what arrives.
struct Held {
    outbox: Outbox,
    released: DropGuard,
}

/// Starts the task of an open channel.
fn start(connection: &Connection, share: Share, channel: Channel<Msg>, early: Vec<ChannelMsg>, ends: Ends) -> Held {
    let (outbox, outgoing) = Outbox::new();
    let released = CancellationToken::new();
    let (read, write) = channel.split();
    let incoming = Incoming { channel: read, stdout: ends.stdout, stderr: ends.stderr, exit: ends.exit };
    let pump = Pump { incoming, early, write, outgoing, released: released.clone(), share };
    connection.tasks.spawn(pump.run());
    Held { outbox, released: released.drop_guard() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_that_nobody_asked_for_are_bounded_and_hide_no_others() {
        let refused = |reason, words: &str| OpenRefused { reason, words: words.to_owned() };
        let (refusals, arriving) = mpsc::channel(MOST_REFUSALS);
        let waiting = Refusals::new(arriving);
        for _ in 0..3 {
            while refusals.try_send(refused(ChannelOpenFailure::ConnectFailed, "stale")).is_ok() {}
            assert_eq!(waiting.words(&ChannelOpenFailure::UnknownChannelType).await, "");
            refusals.try_send(refused(ChannelOpenFailure::UnknownChannelType, "for us")).unwrap();
            assert_eq!(waiting.words(&ChannelOpenFailure::UnknownChannelType).await, "for us");
            assert_eq!(waiting.0.lock().await.arrived.len(), MOST_REFUSALS);
        }
    }
}
