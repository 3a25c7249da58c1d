//! What our own servers have in common.

use std::time::Duration;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::Config;
use russh::{MethodKind, MethodSet};

use crate::ssh::settings::begin_no_key_exchange;

/// Messages of one stream that wait for their reader, before the whole connection does.
const MESSAGES: usize = 1024;

/// A key that nobody has seen before.
///
/// # Errors
/// The operating system gave no random bytes.
pub fn new_key() -> Result<PrivateKey, getrandom::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(PrivateKey::from(Ed25519Keypair::from_seed(&seed)))
}

/// A server that lets in by key alone.
#[must_use]
pub fn server_config(host_key: PrivateKey) -> Config {
    Config {
        keys: vec![host_key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // A client asks without a key first, to hear what there is; that is no attack.
        auth_rejection_time_initial: Some(Duration::ZERO),
        channel_buffer_size: MESSAGES,
        inactivity_timeout: None,
        limits: begin_no_key_exchange(),
        nodelay: true,
        ..Config::default()
    }
}
