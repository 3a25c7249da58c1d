//! What russh asks of us while a connection lives: it judges the server's key, and passes the server's words on.

use std::io;

use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelId, ChannelOpenFailure};
use tokio::sync::{mpsc, watch};

use super::SshError;
use super::trust::KnownHosts;
use super::words::printable;

/// How many greetings of a server are kept.
const MOST_BANNERS: usize = 8;

/// How many refused channels wait for whoever asked for them: more than are ever asked for at once. What a server says beyond
/// that is not kept.
pub(super) const MOST_REFUSALS: usize = 1024;

/// How a connection ended, once it has.
pub(super) type Ending = Option<SshError>;

/// A channel that the server would not open, in its own words.
#[derive(Debug)]
pub(super) struct OpenRefused {
    pub(super) reason: ChannelOpenFailure,
    pub(super) words: String,
}

/// What can go wrong inside a connection.
#[derive(Debug)]
pub(super) enum HandlerError {
    /// We judged the server's key, and not in its favour.
    HostKey(Box<SshError>),
    /// Anything else.
    Russh(russh::Error),
}

impl From<russh::Error> for HandlerError {
    fn from(error: russh::Error) -> Self {
        Self::Russh(error)
    }
}

/// The callbacks of one connection.
pub(super) struct ClientHandler {
    host: String,
    known_hosts: KnownHosts,
    ending: watch::Sender<Ending>,
    refusals: mpsc::Sender<OpenRefused>,
    banners: Option<mpsc::Sender<String>>,
}

impl ClientHandler {
    /// Also returns how to learn of the connection's end, and of channels that were refused: one message for each, which
    /// whoever asked for the channel takes.
    pub(super) fn new(
        host: &str,
        known_hosts: KnownHosts,
    ) -> (Self, watch::Receiver<Ending>, mpsc::Receiver<OpenRefused>) {
        let (ending, ended) = watch::channel(None);
        let (refusals, refused) = mpsc::channel(MOST_REFUSALS);
        (Self { host: host.to_owned(), known_hosts, ending, refusals, banners: None }, ended, refused)
    }

    /// Hands what the server says before it lets anybody in to whoever waits for it.
    pub(super) fn greeted(&mut self) -> mpsc::Receiver<String> {
        let (banners, greetings) = mpsc::channel(MOST_BANNERS);
        self.banners = Some(banners);
        greetings
    }

    fn end(&self, error: SshError) {
        self.ending.send_if_modified(|ending| {
            let first = ending.is_none();
            if first {
                *ending = Some(error);
            }
            first
        });
    }

    fn disconnected_because(&self, reason: String, by_server: bool) -> SshError {
        SshError::Disconnected { host: self.host.clone(), reason, by_server }
    }
}

impl Drop for ClientHandler {
    /// russh does not call `disconnected` where its own farewell fails too, as it does after a reset.
    fn drop(&mut self) {
        self.end(self.disconnected_because(LOST.to_owned(), false));
    }
}

/// What is said where a link died, and nobody hung up.
pub(super) const SILENT: &str = "the server no longer answers";

/// What is said where the far side hung up without a word; a reset looks the same.
pub(super) const LOST: &str = "the connection was lost";

/// Why russh ended a connection, in words.
pub(super) fn reason_words(error: &russh::Error) -> String {
    match error {
        russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => SILENT.to_owned(),
        russh::Error::HUP | russh::Error::Disconnect => LOST.to_owned(),
        russh::Error::IO(source) => match source.kind() {
            io::ErrorKind::UnexpectedEof => LOST.to_owned(),
            io::ErrorKind::TimedOut => SILENT.to_owned(),
            _ => printable(&error.to_string()),
        },
        other => printable(&other.to_string()),
    }
}

impl Handler for ClientHandler {
    type Error = HandlerError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, HandlerError> {
        match self.known_hosts.verify(shown) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.end(error.clone());
                Err(HandlerError::HostKey(Box::new(error)))
            }
        }
    }

    async fn auth_banner(&mut self, banner: &str, _session: &mut Session) -> Result<(), HandlerError> {
        // Whoever says too much is not listened to.
        let _ = self.banners.as_ref().map(|banners| banners.try_send(banner.to_owned()));
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _channel: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _language: &str,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        // Nobody listens while the connection is being given up, and nobody asked where too many wait.
        let _ = self.refusals.try_send(OpenRefused { reason, words: printable(description) });
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<HandlerError>) -> Result<(), HandlerError> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.end(self.disconnected_because(printable(&info.message), true));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                match &error {
                    HandlerError::Russh(source) => self.end(self.disconnected_because(reason_words(source), false)),
                    HandlerError::HostKey(refusal) => self.end((**refusal).clone()),
                }
                Err(error)
            }
        }
    }

    // russh takes every channel that a server opens, unless told otherwise. We ask for none: not for agent or X11
    // forwarding, and not for remote ports. Dropping `reply` refuses.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }

    async fn server_channel_open_unknown(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host: &str,
        _port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), HandlerError> {
        refuse(reply).await
    }
}

async fn refuse(reply: ChannelOpenHandle) -> Result<(), HandlerError> {
    reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
    Ok(())
}
