//! Signs when the server says that it would take a key: it is asked about the public half first, so nobody types a
//! passphrase or touches a security key in vain.

use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey};
use tokio::sync::watch;

use super::agent::Agent;
use super::asking::Asking;
use super::passphrase::{Opened, Unlocking};
use super::plan::Holder;
use crate::ssh::SshError;

/// The bit of a security key's signature that says that somebody touched it (`SSH_SK_USER_PRESENCE_REQD`).
const TOUCHED: u8 = 1;

/// How many bytes stand after the bits of a security key's signature: its counter.
const COUNTER: usize = 4;

/// Has one key, and signs with it when asked.
pub(super) struct KeySigner<'s, 'a> {
    pub(super) holder: &'s Holder,
    pub(super) agent: Option<&'s mut Agent>,
    pub(super) unlocking: &'s mut Unlocking<'a>,
    pub(super) asking: &'s mut Asking<'a>,
    /// Whether it is our turn and not the server's: then the server is not late.
    pub(super) our_turn: watch::Sender<bool>,
}

/// Why there is no signature.
#[derive(Debug)]
pub(super) enum NotSigned {
    /// The connection ended.
    Lost,
    /// Another key may do; why, in words.
    Passed(String),
    /// Nothing else can be tried.
    Ended(SshError),
}

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self::Lost
    }
}

impl russh::Signer for KeySigner<'_, '_> {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        shown: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        self.our_turn.send_replace(true);
        let signed = self.sign(shown, hash, to_sign).await;
        self.our_turn.send_replace(false);
        signed
    }
}

impl KeySigner<'_, '_> {
    async fn sign(
        &mut self,
        shown: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        match self.holder {
            Holder::Ours(key) => sign(key, hash, to_sign).map_err(NotSigned::Passed),
            Holder::Locked(file) => match self.unlocking.open(file, self.asking).await {
                Ok(Opened::Key(key)) if key.public_key().key_data() != shown.public_key().key_data() => {
                    Err(NotSigned::Passed("the public half beside it is another key's".to_owned()))
                }
                Ok(Opened::Key(key)) => sign(&key, hash, to_sign).map_err(NotSigned::Passed),
                Ok(Opened::Closed(why)) => Err(NotSigned::Passed(why)),
                Err(error) => Err(NotSigned::Ended(error)),
            },
            Holder::Agent(identity) => {
                let agent = self.agent.as_mut().ok_or(NotSigned::Lost)?;
                let security_key = shown.public_key().algorithm().as_str().starts_with("sk-");
                if security_key {
                    let account = self.asking.account();
                    self.asking.tell(format!("({account}) Touch your security key, if it asks for it.")).await;
                }
                let signed = agent.sign(identity, hash, to_sign).await.map_err(NotSigned::Passed)?;
                self.asking.by_person |= security_key && touched(&signed);
                Ok(signed)
            }
        }
    }
}

/// The data with the signature after it, as the server wants it.
fn sign(key: &PrivateKey, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, String> {
    let signature: Signature = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
        other => other.try_sign(&data),
    }
    .map_err(|error| format!("it cannot sign: {error}"))?;
    let mut encoded = Vec::new();
    signature.encode(&mut encoded).and_then(|()| encoded.encode(&mut data)).map_err(|error| error.to_string())?;
    Ok(data)
}

/// Whether somebody had to be there for this signature of a security key.
fn touched(signed: &[u8]) -> bool {
    signed.iter().nth_back(COUNTER).is_some_and(|bits| bits & TOUCHED != 0)
}
