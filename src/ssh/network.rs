//! What this machine can tell by itself: whether its way to a host changed, and whether it slept.
//!
//! Where the host's address is known, nothing else counts: containers, virtual machines and other networks' tunnels come and go.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use nix::net::if_::InterfaceFlags;

/// How often it is looked at: a few system calls.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look that comes this much late was held up by more than a busy machine: it slept, or this process was stopped.
const LATE: Duration = Duration::from_secs(3);

/// Watches this machine's way to one host, for as long as somebody waits for it.
#[derive(Debug)]
pub struct NetworkWatch {
    hosts: Vec<SocketAddr>,
    seen: Ways,
    clock: Clock,
}

/// The ways out at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ways {
    /// The address that this machine has on its way to each address of the host; nothing: there is no way, or it is broken.
    ToHost(Vec<Option<IpAddr>>),
    /// Every address of an interface that runs, where no address of the host is known.
    Anywhere(BTreeSet<(String, IpAddr)>),
}

/// Tells when this machine, or this process, stood still. By the wall clock, for the others stand still with a machine
/// that sleeps; one that is set anew costs an attempt, or a question.
#[derive(Debug)]
struct Clock(SystemTime);

impl NetworkWatch {
    /// Remembers how things are on the way to these addresses of the host. Without one it looks at the interfaces.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = SocketAddr>) -> Self {
        let hosts: Vec<_> = hosts.into_iter().collect();
        Self { seen: Ways::look(&hosts), hosts, clock: Clock(SystemTime::now()) }
    }

    /// Returns when an attempt that failed may succeed: the ways out are others than they were, or this machine slept.
    /// What changed while nobody waited counts.
    pub async fn changed(&mut self) {
        self.clock.set();
        loop {
            let now = Ways::look(&self.hosts);
            let changed = now != self.seen;
            self.seen = now;
            if (changed && self.seen.lead_out()) || self.clock.slept() {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Returns when a connection that seems to stand is worth a question: this machine slept, or has another address on
    /// its way to the host than it had. Not before there is a way again, for the answer to come.
    pub(super) async fn doubtful(&mut self) {
        let mut slept = false;
        self.clock.set();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            slept |= self.clock.slept();
            let now = Ways::look(&self.hosts);
            let moved = matches!(now, Ways::ToHost(_)) && now != self.seen;
            if (slept || moved) && (matches!(now, Ways::Anywhere(_)) || now.lead_out()) {
                self.seen = now;
                return;
            }
        }
    }
}

impl Ways {
    fn look(hosts: &[SocketAddr]) -> Self {
        if hosts.is_empty() {
            Self::Anywhere(running_addresses())
        } else {
            // A cable that is out leaves the address and the route where they were.
            let running: BTreeSet<_> = running_addresses().into_iter().map(|(_, address)| address).collect();
            let way = |host: &SocketAddr| way_to(*host).filter(|address| running.contains(address));
            Self::ToHost(hosts.iter().map(way).collect())
        }
    }

    /// Without an address to ask for, any will do.
    fn lead_out(&self) -> bool {
        match self {
            Self::ToHost(ways) => ways.iter().any(Option::is_some),
            Self::Anywhere(all) => !all.is_empty(),
        }
    }
}

impl Clock {
    fn set(&mut self) {
        self.0 = SystemTime::now();
    }

    /// Whether much more time went by since the last look than lies between two.
    fn slept(&mut self) -> bool {
        self.slept_until(SystemTime::now())
    }

    fn slept_until(&mut self, now: SystemTime) -> bool {
        let before = std::mem::replace(&mut self.0, now);
        now.duration_since(before).is_ok_and(|gone| gone >= LOOK_EVERY + LATE)
    }
}

/// The address that this machine would show to `host`. A socket that is only "connected" for datagrams sends nothing.
fn way_to(host: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if host.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(host).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn running_addresses() -> BTreeSet<(String, IpAddr)> {
    let running = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address.filter(|_| interface.flags.contains(running))?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::from(v4.ip()),
            (None, Some(v6)) => IpAddr::from(v6.ip()),
            (None, None) => return None,
        };
        Some((interface.interface_name, ip))
    };
    interfaces.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_knows_its_way_to_itself() {
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 22));
        let ways = Ways::look(&[host]);
        assert_eq!(ways, Ways::ToHost(vec![Some(host.ip())]));
        let anywhere = Ways::look(&[]);
        let Ways::Anywhere(all) = &anywhere else { unreachable!("{anywhere:?}") };
        assert!(all.iter().any(|(_, ip)| *ip == host.ip()), "{all:?}");
        assert!(ways.lead_out() && anywhere.lead_out());
        assert!(!Ways::Anywhere(BTreeSet::new()).lead_out() && !Ways::ToHost(vec![None]).lead_out());
    }

    #[test]
    fn a_late_look_is_a_sleep_and_a_clock_that_is_set_back_is_none() {
        let begin = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let mut clock = Clock(begin);
        assert!(!clock.slept_until(begin + Duration::from_millis(3900)));
        assert!(clock.slept_until(begin + Duration::from_secs(8)));
        assert!(!clock.slept_until(begin));
        assert!(!clock.slept_until(begin + Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_changed_is_told_once_and_one_that_did_not_never() {
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 22));
        let mut watch = NetworkWatch::new([host]);
        let hour = Duration::from_hours(1);
        assert!(tokio::time::timeout(hour, watch.changed()).await.is_err());
        watch.seen = Ways::ToHost(vec![None]);
        assert!(tokio::time::timeout(hour, watch.changed()).await.is_ok());
        assert!(tokio::time::timeout(hour, watch.changed()).await.is_err());
        assert!(tokio::time::timeout(hour, watch.doubtful()).await.is_err());
        watch.seen = Ways::ToHost(vec![Some(Ipv4Addr::new(192, 0, 2, 1).into())]);
        assert!(tokio::time::timeout(hour, watch.doubtful()).await.is_ok());
        assert!(tokio::time::timeout(hour, watch.doubtful()).await.is_err());
    }
}
