//! Whether the login host lets us open channels to an address: that is how requests reach an engine.

use std::time::Duration;

use tokio::time::timeout;

use super::ask::ask;
use super::session::Session;
use super::{Finding, Subject};
use crate::host::{Address, Host, HostError};
use crate::launch::Starter;
use crate::route::{Route, Wish};
use crate::ssh::greeting;

const CHECK: &str = "forwarding";

/// The port of an SSH server, where nothing else is said.
const USUAL_PORT: u16 = 22;

/// How long a channel to a node may take to open.
const PATIENCE: Duration = Duration::from_secs(15);

/// Opens a channel to the login host's own SSH server, and reads its greeting. Where that is forbidden, a compute node may
/// still be allowed.
pub(super) async fn check(subject: &Subject, host: &Host, session: &Session) -> Finding {
    let own_port = session.door.as_ref().map_or(USUAL_PORT, |door| door.1);
    let by_itself = Address { host: "127.0.0.1".to_owned(), port: own_port };
    let as_we_came = session.door.as_ref().map(|(host, port)| Address { host: host.clone(), port: *port });
    let mut unreached = None;
    for address in std::iter::once(by_itself).chain(as_we_came) {
        let Ok(dialled) = timeout(PATIENCE, host.dial(&address.clone().into())).await else {
            return Finding::warn(
                CHECK,
                format!("a channel to {address} was not answered within {} s", PATIENCE.as_secs()),
            );
        };
        match dialled {
            Ok(mut stream) => {
                return match greeting(&mut stream).await.1 {
                    Some(line) => Finding::ok(CHECK, format!("a channel to {address} says {line}")),
                    None => {
                        Finding::warn(CHECK, format!("a channel to {address} was opened, and nothing came through"))
                    }
                };
            }
            Err(error) if error.is_prohibited() => {
                return to_a_node(subject, host).await.unwrap_or_else(|| forbidden(subject.plan.route, &error));
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

/// What was seen of one of Slurm's nodes; nothing where that is forbidden, too, or there is none.
async fn to_a_node(subject: &Subject, host: &Host) -> Option<Finding> {
    let Starter::Slurm { .. } = &subject.plan.starter else { return None };
    let said =
        ask(host, subject.shell, "echo \"node=$(sinfo --noheader --Node --format=%N | head -n 1)\"").await.ok()?;
    let address = Address { host: said.fact("node")?.to_owned(), port: USUAL_PORT };
    let opened = match timeout(PATIENCE, host.dial(&address.clone().into())).await {
        Ok(Err(error)) if !error.is_unreachable() => return None,
        Ok(Ok(_)) => "opened",
        // The login host tried, so it may.
        Ok(Err(_)) | Err(_) => "allowed",
    };
    Some(Finding::ok(CHECK, format!("a channel to {address} is {opened}; one to the login host itself is forbidden")))
}

fn forbidden(wish: Wish, error: &HostError) -> Finding {
    let ask = "ask those who run it for `AllowTcpForwarding local` for you in its sshd_config, with no PermitOpen that leaves \
               out the compute nodes";
    let seen = error.to_string();
    match wish {
        Wish::Only(Route::Direct) => Finding::fail(CHECK, seen).advice(format!("{ask}, or leave --route to auto")),
        Wish::Auto | Wish::Only(_) => Finding::warn(CHECK, seen)
            .advice(format!("another route is taken, with nested and relay among them; for the direct one, {ask}")),
    }
}
