//! Whether the login host lets us open channels to an address: that is how requests reach an engine.

use super::Finding;
use super::session::Session;
use crate::host::{Address, Host};
use crate::ssh::greeting;

const CHECK: &str = "forwarding";

/// The port of an SSH server, where nothing else is said.
const USUAL_PORT: u16 = 22;

/// Opens a channel to the login host's own SSH server, and reads its greeting.
pub(super) async fn check(host: &Host, session: &Session) -> Finding {
    let by_itself =
        Address { host: "127.0.0.1".to_owned(), port: session.door.as_ref().map_or(USUAL_PORT, |door| door.1) };
    let as_we_came = session.door.as_ref().map(|(host, port)| Address { host: host.clone(), port: *port });
    let mut unreached = None;
    for address in std::iter::once(by_itself).chain(as_we_came) {
        match host.dial(&address).await {
            Ok(mut stream) => {
                return match greeting(&mut stream).await.1 {
                    Some(line) => Finding::ok(CHECK, format!("a channel to {address} says {line}")),
                    None => {
                        Finding::warn(CHECK, format!("a channel to {address} was opened, and nothing came through it"))
                    }
                };
            }
            Err(error) if error.is_prohibited() => {
                return Finding::fail(CHECK, error.to_string()).advice(
                    "ask those who run it for `AllowTcpForwarding local` for you in its sshd_config, with no PermitOpen \
                     that leaves out the compute nodes: without, no request reaches an engine there directly",
                );
            }
            Err(error) => unreached = Some(error),
        }
    }
    match unreached {
        Some(error) if error.is_unreachable() => {
            Finding::ok(CHECK, format!("it is not forbidden (and nobody listens where it was tried: {error})"))
        }
        Some(error) => Finding::fail(CHECK, error.to_string()).maybe_advice(error.remedy()),
        None => Finding::skipped(CHECK, "there was nothing to open a channel to"),
    }
}
