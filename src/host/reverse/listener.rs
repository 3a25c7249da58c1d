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

/// Who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// The user whose shell answered, and nobody else.
    Ours,
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
pub(super) async fn who_listens(host: &Host, shell: Shell, nonce: &str, port: u16) -> Result<Listener, HostError> {
    let quoted = quote_word(nonce).map_err(std::io::Error::other)?;
    let script = format!("NONCE={quoted}\nPORT={port:04X}\n{LISTENERS}");
    let asked = async {
        let mut program = host.spawn(shell).await?;
        program.stdin.write_all(script.as_bytes()).await?;
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
    let owners = said("owner");
    Some(match owners.iter().find(|owner| **owner != me) {
        Some(other) => Listener::Other(other.clone()),
        None if owners.is_empty() => Listener::Nobody,
        None => Listener::Ours,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use test_case::test_case;

    use super::*;
    use crate::host::LocalHost;

    #[test_case("n owner 7\nn owner 7\nn me 7\n", Some(&Listener::Ours) ; "ours, for both kinds of addresses")]
    #[test_case("hello\nn me 7\n", Some(&Listener::Nobody) ; "nobody")]
    #[test_case("n owner 7\nn owner 0\nn me 7\n", Some(&Listener::Other("0".into())) ; "another's beside ours")]
    #[test_case("n unknown\n", Some(&Listener::Unknown) ; "no /proc")]
    #[test_case("n owner 7\n", None ; "an answer that broke off")]
    #[test_case("n me \n", None ; "no id")]
    fn answers(answer: &str, means: Option<&Listener>) {
        assert_eq!(read(answer, "n").as_ref(), means);
    }

    #[tokio::test]
    async fn this_machine_tells_who_listens() {
        let host = Host::Local(LocalHost);
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let asked = async || who_listens(&host, Shell::Posix, "nonce-1", port).await.unwrap();
            assert_eq!(asked().await, Listener::Ours, "{address}");
            drop(listener);
            assert_eq!(asked().await, Listener::Nobody, "{address}");
        }
    }
}
