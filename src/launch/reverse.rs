//! A tunnel from the job: where it shall end, and how it is started there.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket, lookup_host};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use super::{Loopback, Place, ask};
use crate::host::reverse::{FarSide, Paste, own_server, to_sshd};
use crate::host::{Endpoint, Host, HostError, Reverse, ReversePlan};
use crate::id::JobId;
use crate::keeper;
use crate::route::{Way, Wish};
use crate::slurm::{self, SrunArgs};
use crate::ssh::FORWARD_USER;

/// Who the user is on a host, and what it calls itself.
const WHO_AND_WHERE: &str = "id -un; uname -n";

/// What is to be said of a tunnel from a socket to an sshd.
const ENDS_AT_A_PORT: &str = "it ends at a port that others there can dial, which --engine-socket is to prevent";

/// The discard port: nothing is sent there.
const NO_MATTER: u16 = 9;

/// What it takes to have a tunnel from the job.
#[derive(Debug)]
pub(super) struct Tunnelled {
    pub(super) place: Arc<Place>,
    pub(super) args: SrunArgs,
    pub(super) job: JobId,
    /// The job's machine.
    pub(super) node: Option<String>,
    pub(super) loopback: Loopback,
    pub(super) nonce: String,
    /// The engine, as those see it who are beside it.
    pub(super) endpoint: Endpoint,
    /// Which routes are tried.
    pub(super) wish: Wish,
    pub(super) tasks: TaskTracker,
    /// One for the life: it remembers what failed.
    pub(super) made: OnceCell<Arc<Reverse>>,
}

impl Tunnelled {
    /// A way through a tunnel. It is made once somebody dials.
    pub(super) async fn way(&self) -> Result<Way, HostError> {
        self.made.get_or_try_init(|| self.make()).await.map(|reverse| Way::Reverse(Arc::clone(reverse)))
    }

    async fn make(&self) -> Result<Arc<Reverse>, HostError> {
        let (far, end) = match self.own_address().await {
            Some(address) => self.to_us(address),
            None => self.to_sshd().await?,
        };
        let argv = [slurm::step_argv(&self.args, self.job), end].concat();
        let script = keeper::relay(&argv).map_err(std::io::Error::other)?.expose().to_owned();
        let (shell, nonce, endpoint) = (self.place.shell, self.nonce.clone(), self.endpoint.clone());
        let plan = ReversePlan { shell, script, nonce, endpoint, far };
        Ok(Arc::new(Reverse::new(self.place.host.clone(), plan, self.tasks.clone())))
    }

    /// The address of this machine that the job's `ssh` can dial, where it needs nobody's sshd for that.
    async fn own_address(&self) -> Option<IpAddr> {
        match (&self.place.host, &self.loopback.host) {
            // Nobody's laptop is reached from a node, unless its user says so.
            (Host::Ssh(_), Some(host)) => address_of_ours(host).await,
            (Host::Local(_), None) if self.loopback.user.is_none() => shown_to(self.node.as_deref()?).await,
            (Host::Ssh(_), None) | (Host::Local(_), _) => None,
        }
    }

    /// A tunnel to an sshd ends at a port. That of an engine with a socket is made only for who asks for it by name.
    fn weigh(&self) -> std::io::Result<()> {
        match (&self.endpoint, self.wish) {
            (Endpoint::Unix(_), Wish::Auto) => return Err(std::io::Error::other(ENDS_AT_A_PORT)),
            (Endpoint::Unix(_), Wish::Only(_)) => tracing::warn!("the tunnel from the job: {ENDS_AT_A_PORT}"),
            (Endpoint::Tcp(_), _) => {}
        }
        Ok(())
    }

    fn to_us(&self, address: IpAddr) -> (FarSide, Vec<String>) {
        (FarSide::Own { address }, own_server(FORWARD_USER, &self.nonce, &self.endpoint))
    }

    async fn to_sshd(&self) -> Result<(FarSide, Vec<String>), HostError> {
        self.weigh()?;
        let argv = ["/bin/sh", "-c", WHO_AND_WHERE].map(str::to_owned);
        let answer = ask::command(&self.place.host, self.place.shell, &argv).await;
        let answer = answer.map_err(ask::AskError::into_host_error)?;
        let mut lines = answer.stdout.lines().map(|line| line.trim().to_owned());
        let (Some(user), Some(name)) = (lines.next(), lines.next()) else {
            return Err(std::io::Error::other("the host does not say what it is called").into());
        };
        let user = self.loopback.user.clone().unwrap_or(user);
        let host = self.loopback.host.clone().unwrap_or(name);
        let end = to_sshd(&user, &host, &self.endpoint);
        let named = self.loopback.host.is_some();
        let login = self.place.login.clone().map(Box::new);
        Ok((FarSide::Sshd { paste: self.paste(user, host), named, login }, end))
    }

    fn paste(&self, user: String, host: String) -> Paste {
        let words: Vec<&str> = ["srun"].into_iter().chain(self.args.words().iter().map(String::as_str)).collect();
        let launcher = shlex::try_join(words).unwrap_or_else(|_| "srun".to_owned());
        let place = match &self.place.host_name {
            Some(name) => format!("on {name}"),
            None => "on this machine".to_owned(),
        };
        let is_place = self.loopback.host.is_none() || matches!(self.place.host, Host::Local(_));
        Paste { launcher, place, user, host, is_place }
    }
}

/// The address that this name stands for, if it is one of this machine that others can dial.
pub async fn address_of_ours(host: &str) -> Option<IpAddr> {
    for address in lookup_host((host, 0)).await.ok()? {
        if !address.ip().is_loopback() && !address.ip().is_unspecified() && TcpListener::bind(address).await.is_ok() {
            return Some(address.ip());
        }
    }
    None
}

/// The address that this machine shows to a node.
async fn shown_to(node: &str) -> Option<IpAddr> {
    for address in lookup_host((node, NO_MATTER)).await.ok()? {
        let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
        if let Ok(socket) = UdpSocket::bind((any, 0)).await
            && socket.connect(address).await.is_ok()
            && let Ok(shown) = socket.local_addr()
        {
            return Some(shown.ip());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_of_this_machine_is_known_for_one() {
        // Of TEST-NET-1, which nobody has; and loopback, which no node can dial.
        for foreign in ["192.0.2.1", "127.0.0.1", "0.0.0.0"] {
            assert_eq!(address_of_ours(foreign).await, None, "{foreign}");
        }
        assert_eq!(shown_to("127.0.0.1").await, Some([127, 0, 0, 1].into()));
    }
}
