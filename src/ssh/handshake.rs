//! The beginning of an SSH connection, until both ends have keys.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Handle;
use tokio::io::BufReader;
use tokio::time::timeout;

use super::SshError;
use super::config::Target;
use super::handler::{ClientHandler, HandlerError, reason_words};
use super::preamble::{FirstWords, Preamble};
use super::transport::Transport;

/// How many bytes are read from the socket at once: russh itself reads twice for each packet.
const READ_AHEAD: usize = 256 * 1024;

/// Greets the server, agrees on keys and has its key judged.
///
/// # Errors
/// It does not greet in time, is not who it should be, or shares no algorithm with us.
pub(super) async fn shake_hands(
    target: &Target,
    stream: Transport,
    config: russh::client::Config,
    handler: ClientHandler,
    limit: Duration,
) -> Result<Handle<ClientHandler>, SshError> {
    let (stream, words) = Preamble::new(stream);
    let stream = BufReader::with_capacity(READ_AHEAD, stream);
    match timeout(limit, russh::client::connect_stream(Arc::new(config), stream, handler)).await {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(error)) => Err(handshake_error(target, error, &words)),
        Err(_) => {
            let greeted = words.before_greeting().is_none();
            Err(SshError::HandshakeTimedOut { host: target.host.clone(), after: limit, greeted })
        }
    }
}

fn handshake_error(target: &Target, error: HandlerError, words: &FirstWords) -> SshError {
    let host = target.host.clone();
    let error = match error {
        HandlerError::HostKey(refusal) => return *refusal,
        HandlerError::Russh(error) => error,
    };
    if let Some(words) = words.before_greeting() {
        return SshError::TurnedAway { host, words };
    }
    match error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => SshError::NoCommonAlgorithm {
            host,
            kind: format!("{kind:?}").to_lowercase(),
            theirs: super::words::printable(&theirs.join(", ")),
        },
        russh::Error::IO(_) | russh::Error::HUP | russh::Error::Disconnect => {
            SshError::Disconnected { host, reason: reason_words(&error), by_server: false }
        }
        other => protocol(target, &reason_words(&other)),
    }
}

pub(super) fn protocol(target: &Target, problem: &str) -> SshError {
    SshError::Protocol { host: target.host.clone(), problem: problem.to_owned() }
}
