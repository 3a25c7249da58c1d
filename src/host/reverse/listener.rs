//! Whether what listens on a port is ours.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::host::quote::quote_word;
use crate::host::{Host, HostError, Shell};

const LISTENERS: &str = include_str!("listeners.sh");

/// How long a host may take to say it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is read of its answer, in bytes.
const ANSWER_LIMIT: u64 = 256 * 1024;

/// The loopback addresses, as Linux writes them: of IPv4, of IPv6, and of IPv4 in IPv6; on machines of either byte order.
const LOOPBACK: [&str; 6] = [
    "0100007F",
    "7F000001",
    "00000000000000000000000001000000",
    "00000000000000000000000000000001",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000FFFF7F000001",
];

/// Who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// The user whose shell answered, and nobody else.
    Ours {
        /// Whether other machines can connect to it, too.
        open_to_all: bool,
    },
    /// Nobody.
    Nobody,
    /// Another user, by number.
    Other(String),
    /// The host does not tell.
    Unknown,
}

/// Asks a host who listens on a port of its own.
///
/// # Errors
/// It does not answer.
pub(super) async fn who_listens(host: &Host, nonce: &str, port: u16) -> Result<Listener, HostError> {
    let quoted = quote_word(nonce).map_err(std::io::Error::other)?;
    let script = format!("NONCE={quoted}\nPORT={port:04X}\n{LISTENERS}");
    let asked = async {
        // What the script calls is everywhere: no profile need be read for it.
        let mut program = host.spawn(Shell::Posix).await?;
        program.give(&script).await?;
        program.stdin.shutdown().await?;
        let mut answer = Vec::new();
        program.stdout.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
        Ok::<_, HostError>(answer)
    };
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the host did not say who listens there");
    let answer = timeout(PATIENCE, asked).await.map_err(|_| late())??;
    read(&String::from_utf8_lossy(&answer), nonce)
        .ok_or_else(|| std::io::Error::other("nobody said who listens there").into())
}

/// Reads the answer; none: it is not whole.
fn read(answer: &str, nonce: &str) -> Option<Listener> {
    let said = |word: &str| {
        let start = format!("{nonce} {word}");
        let lines = answer.lines().filter_map(move |line| line.strip_prefix(start.as_str()));
        lines.map(|rest| rest.trim().to_owned()).collect::<Vec<_>>()
    };
    if !said("unknown").is_empty() {
        return Some(Listener::Unknown);
    }
    let me = said("me").pop().filter(|me| !me.is_empty())?;
    let said = said("owner");
    let sockets: Vec<(&str, &str)> = said.iter().map(|socket| socket.split_once(' ')).collect::<Option<_>>()?;
    Some(match sockets.iter().find(|(owner, _)| *owner != me) {
        Some((other, _)) => Listener::Other((*other).to_owned()),
        None if sockets.is_empty() => Listener::Nobody,
        None => Listener::Ours { open_to_all: sockets.iter().any(|(_, address)| !LOOPBACK.contains(address)) },
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use test_case::test_case;

    use super::*;
    use crate::host::LocalHost;

    #[test_case("n owner 7 0100007F\nn owner 7 00000000000000000000000001000000\nn me 7\n",
        Some(&Listener::Ours { open_to_all: false }) ; "ours, for both kinds of addresses")]
    #[test_case("n owner 7 0100007F\nn owner 7 00000000000000000000000000000000\nn me 7\n",
        Some(&Listener::Ours { open_to_all: true }) ; "ours, and open to all by one of them")]
    #[test_case("n owner 7 0200000A\nn me 7\n", Some(&Listener::Ours { open_to_all: true }) ; "on an address of the network")]
    #[test_case("hello\nn me 7\n", Some(&Listener::Nobody) ; "nobody")]
    #[test_case("n owner 7 0100007F\nn owner 0 0100007F\nn me 7\n", Some(&Listener::Other("0".into())) ; "another's beside ours")]
    #[test_case("n owner 7\nn me 7\n", None ; "half a line")]
    #[test_case("n unknown\n", Some(&Listener::Unknown) ; "no /proc")]
    #[test_case("n owner 7\n", None ; "an answer that broke off")]
    #[test_case("n me \n", None ; "no id")]
    fn answers(answer: &str, means: Option<&Listener>) {
        assert_eq!(read(answer, "n").as_ref(), means);
    }

    #[tokio::test]
    async fn this_machine_tells_who_listens() {
        let host = Host::Local(LocalHost);
        for (address, open_to_all) in [("127.0.0.1:0", false), ("[::1]:0", false), ("0.0.0.0:0", true)] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let asked = async || who_listens(&host, "nonce-1", port).await.unwrap();
            assert_eq!(asked().await, Listener::Ours { open_to_all }, "{address}");
            drop(listener);
            assert_eq!(asked().await, Listener::Nobody, "{address}");
        }
    }
}
