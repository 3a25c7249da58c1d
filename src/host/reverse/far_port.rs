//! The port that a tunnel ends at, and whose it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::bridge::bridge;
use super::fault::Paste;
use super::listener::{Listener, who_listens};
use super::{FarSide, ReverseFault};
use crate::host::{Address, Host, HostError, HostStream, SshHost};
use crate::ssh::{SshClient, SshOptions};

/// A port on the loopback of a host. Who has it may change: when a tunnel breaks, any user of the host can take the port
/// before we hear of it.
#[derive(Debug)]
pub(super) struct FarPort {
    host: Host,
    /// What a user calls the host.
    name: String,
    port: u16,
    nonce: String,
    /// When the last look began that found the port to be ours.
    proved: Mutex<Option<Instant>>,
    /// Whether the host opens no channel to it, so that a command connects instead.
    by_command: AtomicBool,
}

impl FarPort {
    /// Looks at the host through which the tunnel was started, and, where the user named another, there.
    ///
    /// # Errors
    /// Neither has the port, or it is not this user's.
    pub(super) async fn find(
        near: &Host,
        far: &FarSide,
        nonce: &str,
        port: u16,
        tasks: &TaskTracker,
    ) -> Result<Self, HostError> {
        let near_name = near.client().map_or("this machine", SshClient::name);
        let here = Self::new(near.clone(), near_name, nonce, port);
        match (here.listener().await?, far) {
            // The tunnel may end at the other host, and who has this port here is nothing to us.
            (
                Listener::Nobody | Listener::Other(_) | Listener::Unknown,
                FarSide::Sshd { paste, named: true, login },
            ) => {
                let there = Self::at(paste, login.as_deref(), nonce, port, tasks)?;
                let seen = there.listener().await?;
                there.found(seen)
            }
            (seen, FarSide::Sshd { .. } | FarSide::Own { .. }) => here.found(seen),
        }
    }

    fn new(host: Host, name: &str, nonce: &str, port: u16) -> Self {
        let (name, nonce) = (name.to_owned(), nonce.to_owned());
        Self { host, name, port, nonce, proved: Mutex::default(), by_command: AtomicBool::default() }
    }

    /// Of a host that this user reaches like any other.
    fn at(
        paste: &Paste,
        login: Option<&SshOptions>,
        nonce: &str,
        port: u16,
        tasks: &TaskTracker,
    ) -> Result<Self, HostError> {
        let options = SshOptions {
            destination: paste.host.clone(),
            user: Some(paste.user.clone()),
            port: None,
            jump: None,
            settings: Vec::new(),
            accept_new_host_key: false,
            vouched: None,
            ..login.cloned().unwrap_or_else(|| SshOptions::new(&paste.host))
        };
        let host = Host::Ssh(Arc::new(SshHost::new(SshClient::new(&options, tasks.clone())?)));
        Ok(Self::new(host, &paste.host, nonce, port))
    }

    fn found(self, seen: Listener) -> Result<Self, HostError> {
        let Self { name, port, .. } = &self;
        if seen == (Listener::Ours { open_to_all: true }) {
            tracing::warn!(
                "port {port} of {name}, where the tunnel from the job ends, is open to other machines: its sshd has \
                 GatewayPorts yes. The engine's key guards most of what the engine does, but not all; ask those who run {name} \
                 for GatewayPorts no, or choose another --route"
            );
        }
        self.judge(seen)?;
        Ok(self)
    }

    /// Opens a connection, and gives it away only once the host has said, after it was opened, that the port is still ours:
    /// what goes through it holds the engine's key.
    ///
    /// # Errors
    /// Nobody takes it, or somebody else does.
    pub(super) async fn dial(&self) -> Result<HostStream, HostError> {
        let stream = self.connect().await?;
        self.prove(Instant::now()).await?;
        Ok(stream)
    }

    async fn connect(&self) -> Result<HostStream, HostError> {
        let address = Address { host: "127.0.0.1".to_owned(), port: self.port };
        let client = match self.host.client() {
            Some(client) if self.by_command.load(Ordering::Relaxed) => client,
            client => match (self.host.dial(&address.into()).await, client) {
                (Err(error), Some(client)) if error.is_prohibited() => client,
                (dialled, _) => return dialled,
            },
        };
        // The sshd may open ports for others, and no channels (`AllowTcpForwarding remote`).
        let bridged = bridge(client, &self.nonce, self.port).await?;
        self.by_command.store(bridged.is_some(), Ordering::Relaxed);
        if let Some(stream) = bridged {
            return Ok(HostStream::Bridged(Box::new(stream)));
        }
        self.prove(Instant::now()).await?;
        Err(ReverseFault::NoChannel { host: self.name.clone() }.into())
    }

    /// That the port is ours, seen after `since`. One look serves all who wait for it, but for those who came after it began.
    async fn prove(&self, since: Instant) -> Result<(), HostError> {
        let mut proved = self.proved.lock().await;
        if proved.is_some_and(|began| began > since) {
            return Ok(());
        }
        let began = Instant::now();
        self.judge(self.listener().await?)?;
        *proved = Some(began);
        Ok(())
    }

    async fn listener(&self) -> Result<Listener, HostError> {
        who_listens(&self.host, &self.nonce, self.port).await
    }

    fn judge(&self, seen: Listener) -> Result<(), ReverseFault> {
        let (host, port) = (self.name.clone(), self.port);
        match seen {
            Listener::Ours { .. } => Ok(()),
            Listener::Other(owner) => Err(ReverseFault::Foreign { host, port, owner }),
            Listener::Nobody => Err(ReverseFault::Nobody { host, port }),
            // Whoever took the port would be given the engine's key.
            Listener::Unknown => Err(ReverseFault::Untold { host, port }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use test_case::test_case;

    use super::*;
    use crate::host::LocalHost;

    fn here(port: u16) -> FarPort {
        FarPort::new(Host::Local(LocalHost), "here", "nonce", port)
    }

    #[test_case(Listener::Ours { open_to_all: false }, None)]
    #[test_case(Listener::Ours { open_to_all: true }, None)]
    #[test_case(Listener::Nobody, Some("the tunnel from the job ends on port 7 of here, and nobody listens there"))]
    #[test_case(Listener::Other("5".into()),
        Some("port 7 of here belongs to another user (number 5), and not to our tunnel: nothing was sent there"))]
    #[test_case(
        Listener::Unknown,
        Some("here does not tell whose its port 7 is, at which the tunnel from the job ends: nothing was sent there")
    )]
    fn only_what_is_seen_to_be_ours_is_trusted(seen: Listener, refused: Option<&str>) {
        let judged = here(7).judge(seen);
        assert_eq!(judged.as_ref().err().map(ToString::to_string).as_deref(), refused);
        assert!(judged.err().is_none_or(|fault| fault.remedy().is_some()));
    }

    #[tokio::test]
    async fn one_look_serves_those_who_were_connected_before_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here(listener.local_addr().unwrap().port());
        let connected = Instant::now();
        port.prove(connected).await.unwrap();
        let first = *port.proved.lock().await;
        port.prove(connected).await.unwrap();
        assert_eq!(*port.proved.lock().await, first, "it looked twice");
        drop(port.dial().await.unwrap());
        assert!(*port.proved.lock().await > first, "it did not look anew for a new connection");
        drop(listener);
        assert!(port.prove(connected).await.is_ok());
        assert!(port.prove(Instant::now()).await.is_err());
    }
}
