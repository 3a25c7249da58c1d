//! The TCP connection below an SSH connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::SshError;
use super::config::{AddressFamily, Target};
use super::network::NetworkWatch;

/// How much later the next address is tried while the ones before it are silent (RFC 8305 recommends 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// How much later the others are tried where one address has worked before.
const STAGGER_BEHIND_KNOWN: Duration = Duration::from_secs(3);

/// Where to connect, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// Which of its addresses count.
    pub(super) family: AddressFamily,
    /// The address of this machine to connect from.
    pub(super) from: Option<IpAddr>,
}

impl<'a> Place<'a> {
    pub(super) fn of(target: &'a Target) -> Self {
        Self { host: &target.host, port: target.port, family: target.address_family, from: target.bind_address }
    }

    /// Whether the user allows this address, and it can be reached from ours.
    fn allows(&self, address: &SocketAddr) -> bool {
        let wanted = match self.family {
            AddressFamily::Any => true,
            AddressFamily::Inet => address.is_ipv4(),
            AddressFamily::Inet6 => address.is_ipv6(),
        };
        wanted && self.from.is_none_or(|from| from.is_ipv4() == address.is_ipv4())
    }
}

/// Connects to the first address that answers, `known` before all others: several login machines may stand behind one
/// name, and what runs on one of them is not on the next.
///
/// # Errors
/// The name has no address, or none of them answers within `limit`.
pub(super) async fn connect(
    place: Place<'_>,
    known: Option<SocketAddr>,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), SshError> {
    match timeout(limit, over_changes(place, known)).await {
        Ok(result) => result,
        Err(_) => Err(SshError::ConnectionTimedOut { host: place.host.to_owned(), port: place.port, after: limit }),
    }
}

/// What was asked before the network changed went nowhere, and would be asked again only after seconds. While the name is
/// looked up any change may matter, for who would answer is not known; afterwards only one on the way to the addresses.
async fn over_changes(place: Place<'_>, known: Option<SocketAddr>) -> Result<(TcpStream, SocketAddr), SshError> {
    loop {
        let mut anywhere = NetworkWatch::new(None);
        let addresses = tokio::select! {
            resolved = resolve(place, known) => resolved?,
            () = anywhere.changed() => continue,
        };
        let mut on_the_way = NetworkWatch::new(addresses.iter().copied());
        tokio::select! {
            connected = connect_to_one(place, known, &addresses) => return connected,
            () = on_the_way.changed() => {}
        }
    }
}

/// All addresses that may be tried, in their order.
async fn resolve(place: Place<'_>, known: Option<SocketAddr>) -> Result<Vec<SocketAddr>, SshError> {
    let Place { host, port, .. } = place;
    let unresolved = |source| SshError::NameNotResolved { host: host.to_owned(), source: Arc::new(source) };
    let resolved = lookup_host((host, port)).await.map_err(unresolved)?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in known.into_iter().chain(resolved) {
        if place.allows(&address) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        let words = "it has no address that AddressFamily and BindAddress allow";
        return Err(unresolved(io::Error::new(io::ErrorKind::NotFound, words)));
    }
    Ok(addresses)
}

async fn connect_to_one(
    place: Place<'_>,
    known: Option<SocketAddr>,
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr), SshError> {
    let Place { host, port, from, .. } = place;
    let known = known.is_some_and(|known| addresses.first() == Some(&known));
    first_to_answer(addresses, known, from).await.map_err(|source| match source.kind() {
        io::ErrorKind::ConnectionRefused => SshError::ConnectionRefused { host: host.to_owned(), port },
        _ => SshError::Unreachable { host: host.to_owned(), port, source: Arc::new(source) },
    })
}

/// Tries the addresses one after the other, the next one a little later or as soon as one fails.
async fn first_to_answer(
    addresses: &[SocketAddr],
    known: bool,
    from: Option<IpAddr>,
) -> io::Result<(TcpStream, SocketAddr)> {
    let attempt = |address| attempt(address, from);
    let mut attempts = FuturesUnordered::new();
    let mut rest = addresses.iter().copied().peekable();
    let mut stagger = if known { STAGGER_BEHIND_KNOWN } else { STAGGER };
    let mut last_error = None;
    attempts.extend(rest.next().map(attempt));
    loop {
        let more = rest.peek().is_some();
        tokio::select! {
            result = attempts.next() => match result {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => {
                    last_error = Some(error);
                    attempts.extend(rest.next().map(attempt));
                }
                None => return Err(last_error.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            },
            () = sleep(stagger), if more => attempts.extend(rest.next().map(attempt)),
        }
        stagger = STAGGER;
    }
}

async fn attempt(address: SocketAddr, from: Option<IpAddr>) -> io::Result<(TcpStream, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    /// An address that nothing listens on, and two that something does, all with one port.
    async fn places() -> (u16, TcpListener, TcpListener) {
        let one = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
        let port = one.local_addr().unwrap().port();
        let other = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 3), port)).await.unwrap();
        (port, one, other)
    }

    fn at(last: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, last), port).into()
    }

    fn place(host: &str, port: u16) -> Place<'_> {
        Place { host, port, family: AddressFamily::Any, from: None }
    }

    #[tokio::test]
    async fn the_users_own_address_is_the_one_that_is_seen() {
        let (port, one, _other) = places().await;
        let from = Ipv4Addr::new(127, 0, 0, 9).into();
        let limit = Duration::from_secs(15);
        let place = Place { from: Some(from), ..place("127.0.0.2", port) };
        let (_stream, _) = connect(place, None, limit).await.unwrap();
        assert_eq!(one.accept().await.unwrap().1.ip(), from);
    }

    #[tokio::test]
    async fn only_addresses_of_the_wanted_family_count() {
        let (port, _one, _other) = places().await;
        let limit = Duration::from_secs(15);
        let four = Place { family: AddressFamily::Inet, ..place("127.0.0.2", port) };
        connect(four, None, limit).await.unwrap();
        // One that worked before does not count either.
        let six = Place { family: AddressFamily::Inet6, ..place("127.0.0.2", port) };
        let error = connect(six, Some(at(3, port)), limit).await.unwrap_err();
        assert!(matches!(error, SshError::NameNotResolved { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn the_next_address_is_tried_where_one_refuses() {
        let (port, _one, _other) = places().await;
        let (_, address) = first_to_answer(&[at(4, port), at(5, port), at(3, port)], false, None).await.unwrap();
        assert_eq!(address, at(3, port));
        let error = first_to_answer(&[at(4, port), at(5, port)], false, None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn an_address_that_worked_before_is_tried_first_and_is_no_hindrance() {
        let (port, _one, _other) = places().await;
        let limit = Duration::from_secs(15);
        let (_, address) = connect(place("127.0.0.2", port), Some(at(3, port)), limit).await.unwrap();
        assert_eq!(address, at(3, port));
        let (_, address) = connect(place("127.0.0.2", port), Some(at(4, port)), limit).await.unwrap();
        assert_eq!(address, at(2, port));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_is_given_up_in_time() {
        // A listener whose queue is full takes no more, and says nothing.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(at(1, 0)).unwrap();
        let full = socket.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let stream = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100));
            waiting.extend(stream.ok());
        }
        let limit = Duration::from_secs(15);
        let error = connect(place("127.0.0.1", address.port()), None, limit).await.unwrap_err();
        assert!(matches!(error, SshError::ConnectionTimedOut { after, .. } if after == limit), "{error:?}");
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_said() {
        let error = connect(place("no-such-host.invalid", 22), None, Duration::from_secs(15)).await.unwrap_err();
        assert!(matches!(error, SshError::NameNotResolved { .. }), "{error:?}");
        assert!(error.is_transient());
    }
}
