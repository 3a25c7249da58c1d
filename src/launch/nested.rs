//! SSH on to the node, from the login host.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::ask;
use crate::host::{Endpoint, Host, HostError, Shell, SshHost};
use crate::route::Way;
use crate::ssh::{SshHome, SshOptions, Vouched};
use crate::vault::Vault;

/// What is known of the node where `ssh` on the login host would look for it. That alone: of a large cluster, and of those who
/// may vouch for it, the files hold more than is read of an answer.
const KNOWN_HOSTS: &str = "for file in /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2 \"$HOME\"/.ssh/known_hosts \
                           \"$HOME\"/.ssh/known_hosts2; do [ -f \"$file\" ] && { grep '^[[:space:]]*@' \"$file\"; \
                           ssh-keygen -F \"$1\" -f \"$file\"; }; done 2>/dev/null; true";

/// What it takes to go on to a node.
#[derive(Debug)]
pub(super) struct Nested {
    pub(super) host: Host,
    /// How the host is reached: the same person goes on.
    pub(super) login: SshOptions,
    pub(super) shell: Shell,
    pub(super) node: String,
    /// The node's own public keys, as our job found them there.
    pub(super) node_keys: Vec<String>,
    /// The engine, as the node sees it.
    pub(super) endpoint: Endpoint,
    /// The client, once there is one.
    pub(super) made: OnceCell<Host>,
}

impl Nested {
    /// A client for the node. Nobody is asked anything on this way: another route may need nobody.
    pub(super) async fn way(&self) -> Result<Way, HostError> {
        // One for all tries: it remembers who refused it.
        let node = self.made.get_or_try_init(|| self.client()).await?.clone();
        Ok(Way::Nested { host: self.host.clone(), node, endpoint: self.endpoint.clone() })
    }

    async fn client(&self) -> Result<Host, HostError> {
        let Some(client) = self.host.client() else {
            return Err(std::io::Error::other("there is no login host").into());
        };
        let options = SshOptions {
            destination: self.node.clone(),
            user: Some(client.user().to_owned()),
            port: None,
            jump: None,
            // The name that the login host knows: the user's configuration may mean another machine by it.
            settings: vec![format!("HostName={}", self.node)],
            accept_new_host_key: false,
            vouched: Some(Vouched { by: client.name().to_owned(), lines: self.vouched().await? }),
            // A password that was kept for a machine of this name was not kept for this one.
            home: SshHome { vault: Vault::none(), ..self.login.home.clone() },
            ..self.login.clone()
        };
        Ok(Host::Ssh(Arc::new(SshHost::new(client.within(&options)?))))
    }

    /// What the login host's users know of the node, and what our job saw in it: both came over connections that were
    /// verified, and nobody else can write either.
    async fn vouched(&self) -> Result<String, HostError> {
        let argv = ["/bin/sh", "-c", KNOWN_HOSTS, "sh", &self.node].map(str::to_owned);
        let answer = ask::command(&self.host, self.shell, &argv).await.map_err(ask::AskError::into_host_error)?;
        let seen = self.node_keys.iter().map(|key| format!("{} {key}\n", self.node));
        Ok(seen.chain([answer.stdout]).collect())
    }
}
