//! An agent in this process that stands in for one with a security key behind it: it makes the signatures that such a key
//! makes, in software, and OpenSSH's server takes them for what they are.

#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::{Decode, Encode};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::ssh_key::sha2::{Digest, Sha256};
use russh::keys::{PublicKey, PublicKeyBase64, ssh_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

const KIND: &str = "sk-ssh-ed25519@openssh.com";
const APPLICATION: &str = "ssh:";

/// Whether somebody touches the key when it is to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Given,
    NotNeeded,
    /// The key's owner says no.
    Refused,
}

/// An agent that listens.
pub(crate) struct SkAgent {
    pub(crate) socket: PathBuf,
    /// As it stands in `authorized_keys`.
    pub(crate) public: String,
    signed: Arc<AtomicUsize>,
}

impl SkAgent {
    /// Starts it, with its socket in `dir`.
    pub(crate) fn start(dir: &Path, touch: Touch) -> Self {
        let socket = dir.join("sk-agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let pair = Ed25519Keypair::from_seed(&[7; 32]);
        let blob = blob(&pair);
        let public = PublicKey::from(ssh_key::public::KeyData::decode(&mut &blob[..]).unwrap());
        let public = format!("{KIND} {}", public.public_key_base64());
        let signed = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&signed);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, pair.clone(), touch, Arc::clone(&counting)));
            }
        });
        Self { socket, public, signed }
    }

    /// How often it signed.
    pub(crate) fn signed(&self) -> usize {
        self.signed.load(Ordering::SeqCst)
    }
}

fn blob(pair: &Ed25519Keypair) -> Vec<u8> {
    let mut blob = Vec::new();
    KIND.encode(&mut blob).unwrap();
    pair.public.0.as_slice().encode(&mut blob).unwrap();
    APPLICATION.encode(&mut blob).unwrap();
    blob
}

/// Answers until the client leaves.
async fn serve(mut stream: UnixStream, pair: Ed25519Keypair, touch: Touch, signed: Arc<AtomicUsize>) {
    while let Ok(length) = stream.read_u32().await {
        let mut question = vec![0; length as usize];
        stream.read_exact(&mut question).await.unwrap();
        let answer = match question.split_first() {
            Some((11, _)) => {
                let mut answer = vec![12, 0, 0, 0, 1];
                blob(&pair).encode(&mut answer).unwrap();
                "a security key".encode(&mut answer).unwrap();
                answer
            }
            Some((13, mut rest)) if touch != Touch::Refused => {
                let key = Vec::<u8>::decode(&mut rest).unwrap();
                assert_eq!(key, blob(&pair));
                let data = Vec::<u8>::decode(&mut rest).unwrap();
                let count = u32::try_from(signed.fetch_add(1, Ordering::SeqCst)).unwrap();
                let mut answer = vec![14];
                signature(&pair, &data, u8::from(touch == Touch::Given), count).encode(&mut answer).unwrap();
                answer
            }
            // It knows no extension, and signs nothing that it should not.
            _ => vec![5],
        };
        stream.write_u32(u32::try_from(answer.len()).unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}

/// What a security key signs: what the data is for, whether somebody was there, how often it signed, and the data.
fn signature(pair: &Ed25519Keypair, data: &[u8], flags: u8, counter: u32) -> Vec<u8> {
    let mut message = Sha256::digest(APPLICATION.as_bytes()).to_vec();
    message.push(flags);
    message.extend(counter.to_be_bytes());
    message.extend(Sha256::digest(data));
    let mut signature = Vec::new();
    KIND.encode(&mut signature).unwrap();
    pair.try_sign(&message).unwrap().as_bytes().encode(&mut signature).unwrap();
    signature.push(flags);
    signature.extend(counter.to_be_bytes());
    signature
}
