//! One client's connection to the login host.

use std::collections::HashMap;
use std::sync::Arc;

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};

use super::login_host::Shared;
use super::outward::{Asked, Outward};
use super::remote_command;

/// A connection. Only one user with one key comes in; whatever is not listed here is refused.
pub(super) struct LoginSession<O> {
    shared: Arc<Shared<O>>,
    /// Channels that no command was asked for yet.
    waiting: HashMap<ChannelId, Channel<Msg>>,
}

impl<O: Outward> LoginSession<O> {
    pub(super) fn new(shared: Arc<Shared<O>>) -> Self {
        Self { shared, waiting: HashMap::new() }
    }

    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        let plan = &self.shared.plan;
        let known = user == plan.user && key.key_data() == plan.user_key.key_data();
        if known { Auth::Accept } else { Auth::reject() }
    }
}

impl<O: Outward> Handler for LoginSession<O> {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.shared.note_login();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.waiting.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _from: &str,
        _from_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // Not answering refuses it.
        let Ok(port) = u16::try_from(port) else { return Ok(()) };
        let asked = Asked { host: host.to_owned(), port, channel, reply, session: session.handle() };
        let shared = Arc::clone(&self.shared);
        let carry = async move { shared.plan.outward.open(asked).await };
        self.shared.spawn(carry);
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Some(channel) = self.waiting.remove(&id) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let (shared, command) = (Arc::clone(&self.shared), command.to_owned());
        let run = async move { remote_command::run(channel, command, &shared.plan.surroundings).await };
        self.shared.spawn(run);
        Ok(())
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.waiting.remove(&id);
        Ok(())
    }
}
