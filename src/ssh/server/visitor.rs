//! One connection to the server for a job's `ssh -R`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russh::keys::PublicKey;
use russh::server::{Auth, Handler, PublicKeyOffer, Session, VerifiedPublicKey};
use tokio_util::sync::CancellationToken;

use super::forward::{Joined, Shared};

/// What the client is told that it listens on. Nobody does.
const NO_PORT: u32 = 1;

/// A connection. Only the one key comes in, and gets one forward; whatever is not listed here is refused.
pub(super) struct Visitor {
    shared: Arc<Shared>,
    /// Cancelled once it has shown the key.
    known: CancellationToken,
    /// Cancelled once this is the client that has the forward.
    joined: CancellationToken,
}

impl Visitor {
    pub(super) fn new(shared: Arc<Shared>, known: CancellationToken, joined: CancellationToken) -> Self {
        Self { shared, known, joined }
    }

    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        if self.shared.knows(user, key) { Auth::Accept } else { Auth::reject() }
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let judged = self.judge(user, key.public_key);
        if matches!(judged, Auth::Accept) {
            self.known.cancel();
        }
        Ok(judged)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let ours = matches!(address, "localhost" | "127.0.0.1" | "::1") && *port == 0;
        if !ours || self.shared.taken.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        *port = NO_PORT;
        self.joined.cancel();
        let joined = Joined { handle: session.handle(), address: address.to_owned(), port: NO_PORT };
        self.shared.joined.send_replace(Some(joined));
        Ok(true)
    }
}
