//! Talks to a running proxy.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::peer::{self, PeerError};
use super::talk::{Talk, TalkError};
use super::{Known, socket};
use crate::api::{Answers, Ask, Reply, Request};

/// How long a proxy may take for what needs nothing but itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A running proxy cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// None of this name runs.
    #[error("no instance named {0} runs here")]
    NotRunning(crate::id::InstanceName),
    /// Its socket cannot be reached.
    #[error("the control socket of {name} cannot be reached: {source}")]
    Unreachable {
        /// The instance.
        name: crate::id::InstanceName,
        /// Why not.
        source: io::Error,
    },
    /// It is not ours.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// It says something that is not understood, or breaks off.
    #[error(transparent)]
    Talk(#[from] TalkError),
    /// It hung up before the end.
    #[error("the proxy hung up in the middle of the conversation")]
    HungUp,
    /// It says nothing.
    #[error("the proxy does not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
}

/// A conversation with a running proxy.
pub struct Client {
    talk: Talk,
}

impl Client {
    /// Reaches the proxy of this instance, and asks it something.
    ///
    /// # Errors
    /// It does not run, or is not ours.
    pub async fn ask(instance: &Known, ask: Ask) -> Result<Self, ClientError> {
        let name = || instance.name.clone();
        let connected = timeout(ANSWER_WITHIN, socket::connect(&instance.folder)).await;
        let stream = connected.map_err(|_| ClientError::Silent)?.map_err(|source| match source.kind() {
            // A socket that a killed process left behind refuses.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning(name()),
            _ => ClientError::Unreachable { name: name(), source },
        })?;
        peer::check(&stream)?;
        let mut talk = Talk::new(stream);
        talk.say(&Request::new(ask)).await.map_err(TalkError::Io)?;
        Ok(Self { talk })
    }

    /// The next reply, for what may take long. Cancelling loses nothing.
    ///
    /// # Errors
    /// The proxy hung up, or is not understood.
    pub async fn next(&mut self) -> Result<Reply, ClientError> {
        self.talk.hear().await?.ok_or(ClientError::HungUp)
    }

    /// The next reply, for what the proxy can answer at once.
    ///
    /// # Errors
    /// As for [`Self::next`], and it says nothing.
    pub async fn soon(&mut self) -> Result<Reply, ClientError> {
        timeout(ANSWER_WITHIN, self.next()).await.map_err(|_| ClientError::Silent)?
    }

    /// Answers a question.
    ///
    /// # Errors
    /// The proxy hung up.
    pub async fn answer(&mut self, answers: &Answers) -> Result<(), ClientError> {
        Ok(self.talk.say(answers).await.map_err(TalkError::Io)?)
    }
}
