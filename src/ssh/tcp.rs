//! The TCP connection below an SSH connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::SshError;

/// How much later the next address is tried while the ones before it are silent (RFC 8305 recommends 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// How much later the others are tried where one address has worked before.
const STAGGER_BEHIND_KNOWN: Duration = Duration::from_secs(3);

/// Connects to the first address of `host` that answers, `known` before all others: several login machines may stand
/// behind one name, and what runs on one of them is not on the next.
///
/// # Errors
/// The name has no address, or none of them answers within `limit`.
pub(super) async fn connect(
    host: &str,
    port: u16,
    known: Option<SocketAddr>,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), SshError> {
    match timeout(limit, resolve_and_connect(host, port, known)).await {
        Ok(result) => result,
        Err(_) => Err(SshError::ConnectionTimedOut { host: host.to_owned(), port, after: limit }),
    }
}

async fn resolve_and_connect(
    host: &str,
    port: u16,
    known: Option<SocketAddr>,
) -> Result<(TcpStream, SocketAddr), SshError> {
    let unresolved = |source| SshError::NameNotResolved { host: host.to_owned(), source: Arc::new(source) };
    let resolved = lookup_host((host, port)).await.map_err(unresolved)?;
    let mut addresses: Vec<SocketAddr> = known.into_iter().collect();
    for address in resolved {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    first_to_answer(&addresses, known.is_some()).await.map_err(|source| match source.kind() {
        io::ErrorKind::ConnectionRefused => SshError::ConnectionRefused { host: host.to_owned(), port },
        _ => SshError::Unreachable { host: host.to_owned(), port, source: Arc::new(source) },
    })
}

/// Tries the addresses one after the other, the next one a little later or as soon as one fails.
async fn first_to_answer(addresses: &[SocketAddr], known: bool) -> io::Result<(TcpStream, SocketAddr)> {
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

async fn attempt(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::connect(address).await?;
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

    #[tokio::test]
    async fn the_next_address_is_tried_where_one_refuses() {
        let (port, _one, _other) = places().await;
        let (_, address) = first_to_answer(&[at(4, port), at(5, port), at(3, port)], false).await.unwrap();
        assert_eq!(address, at(3, port));
        let error = first_to_answer(&[at(4, port), at(5, port)], false).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn an_address_that_worked_before_is_tried_first_and_is_no_hindrance() {
        let (port, _one, _other) = places().await;
        let limit = Duration::from_secs(15);
        let (_, address) = connect("127.0.0.2", port, Some(at(3, port)), limit).await.unwrap();
        assert_eq!(address, at(3, port));
        let (_, address) = connect("127.0.0.2", port, Some(at(4, port)), limit).await.unwrap();
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
        let error = connect("127.0.0.1", address.port(), None, limit).await.unwrap_err();
        assert!(matches!(error, SshError::ConnectionTimedOut { after, .. } if after == limit), "{error:?}");
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_said() {
        let error = connect("no-such-host.invalid", 22, None, Duration::from_secs(15)).await.unwrap_err();
        assert!(matches!(error, SshError::NameNotResolved { .. }), "{error:?}");
        assert!(error.is_transient());
    }
}
