//! The user's SSH agent.

use std::path::Path;
use std::time::Duration;

use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use russh::keys::key::parse_public_key;
use russh::keys::ssh_encoding::Decode;
use russh::keys::{Certificate, HashAlg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long an agent may take to say which keys it holds.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an agent may take to sign: it may ask its user, or wait for a touch.
const SIGN_TIMEOUT: Duration = Duration::from_mins(2);

/// The most that an agent may answer, in bytes.
const LONGEST_ANSWER: u32 = 256 * 1024;

/// `SSH_AGENTC_REQUEST_IDENTITIES` and its answer.
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;

type Stream = Box<dyn AgentStream + Send + Unpin>;

/// An agent and the keys it holds.
pub(super) struct Agent {
    /// Signs for us; `None` once it did not answer.
    client: Option<AgentClient<Stream>>,
    /// What it holds.
    pub(super) identities: Vec<AgentIdentity>,
    /// How many keys it holds that we cannot read.
    pub(super) unreadable: usize,
}

impl Agent {
    /// Asks the agent at `socket` for its keys.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(super) async fn ask(socket: &Path, binding: Option<&AgentSessionBinding>) -> Result<Self, String> {
        let ask = async {
            let mut client = AgentClient::connect(UnixStream::connect(socket).await?);
            if let Some(binding) = binding {
                // Without this an agent hides keys that are meant for certain hosts only. Old agents do not know it.
                match client.bind_session(binding, false).await {
                    Ok(()) | Err(russh::keys::Error::AgentFailure) => {}
                    Err(error) => return Err(error),
                }
            }
            // russh's own list fails as a whole where it cannot read one of the keys.
            let mut stream: Stream = client.into_inner();
            let (identities, unreadable) = list(&mut stream).await?;
            Ok(Self { client: Some(AgentClient::connect(stream)), identities, unreadable })
        };
        match timeout(LIST_TIMEOUT, ask).await {
            Ok(Ok(agent)) => Ok(agent),
            Ok(Err(error)) => Err(format!("the agent at {} cannot be asked: {error}", socket.display())),
            Err(_) => Err(format!("the agent at {} does not answer", socket.display())),
        }
    }

    /// What is to be known about what it holds, if anything is.
    pub(super) fn note(&self) -> Option<String> {
        if self.unreadable > 0 {
            return Some(format!(
                "{} keys of the agent are of a kind that this program does not know",
                self.unreadable
            ));
        }
        self.identities.is_empty().then(|| "the agent holds no key, or is locked (`ssh-add -X`)".to_owned())
    }

    /// Lets the agent sign with one of its keys: `data` with the signature after it.
    ///
    /// # Errors
    /// Why it did not, in words.
    pub(super) async fn sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let client = self.client.as_mut().ok_or("the agent no longer answers")?;
        match timeout(SIGN_TIMEOUT, client.sign_request(identity, hash, data)).await {
            Ok(Ok(signed)) => Ok(signed),
            Ok(Err(russh::keys::Error::AgentFailure)) => Err("the agent did not sign with it".to_owned()),
            Ok(Err(error)) => Err(format!("the agent did not sign with it: {error}")),
            Err(_) => {
                // A late answer would be taken for that to the next question.
                self.client = None;
                Err(format!("the agent did not sign with it within {} s", SIGN_TIMEOUT.as_secs()))
            }
        }
    }
}

/// The keys, and how many are of a kind that we cannot read.
async fn list(stream: &mut Stream) -> Result<(Vec<AgentIdentity>, usize), russh::keys::Error> {
    stream.write_all(&[0, 0, 0, 1, REQUEST_IDENTITIES]).await?;
    stream.flush().await?;
    let length = stream.read_u32().await?;
    if length > LONGEST_ANSWER {
        return Err(russh::keys::Error::AgentProtocolError);
    }
    let mut answer = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut answer).await?;
    match answer.split_first() {
        Some((&IDENTITIES_ANSWER, rest)) if answer.len() == length as usize => Ok(identities(rest)?),
        // A locked agent may also refuse.
        Some(_) if answer.len() == length as usize => Ok((Vec::new(), 0)),
        _ => Err(russh::keys::Error::AgentProtocolError),
    }
}

fn identities(mut answer: &[u8]) -> Result<(Vec<AgentIdentity>, usize), russh::keys::ssh_encoding::Error> {
    let count = u32::decode(&mut answer)?;
    let mut identities = Vec::new();
    let mut unreadable = 0;
    for _ in 0..count {
        let key = Vec::<u8>::decode(&mut answer)?;
        let comment = String::from_utf8_lossy(&Vec::<u8>::decode(&mut answer)?).into_owned();
        match identity(&key, comment) {
            Some(identity) => identities.push(identity),
            None => unreadable += 1,
        }
    }
    Ok((identities, unreadable))
}

fn identity(key: &[u8], comment: String) -> Option<AgentIdentity> {
    let mut rest = key;
    let kind = String::decode(&mut rest).ok()?;
    if kind.ends_with("-cert-v01@openssh.com") {
        let certificate = Certificate::from_bytes(key).ok()?;
        return Some(AgentIdentity::Certificate { certificate, comment });
    }
    parse_public_key(key).ok().map(|key| AgentIdentity::PublicKey { key, comment })
}

#[cfg(test)]
#[path = "agent_test.rs"]
mod tests;
