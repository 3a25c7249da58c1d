//! Coming as far as the server's door: by TCP, through another server, or by a command.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::arrival::arrive;
use super::config::{Target, Way};
use super::connection::{Connection, Plan};
use super::handler::Ending;
use super::outlet::OutletRules;
use super::proxy_command::{LastWords, ProxyCommand};
use super::settings;
use super::spool::SpoolRules;
use super::tcp::{self, Place};
use super::transport::{Carrier, Transport};
use super::{SshError, opening, within};

/// How many bytes of a connection inside another wait in memory, and how many more on disk, before it is given up. Its own
/// streams hold back what they have no room for, so this is never reached by a server that keeps to their windows.
const HOP_MEMORY: usize = 8 << 20;
const HOP_DISK: u64 = 1 << 30;

/// A server that was reached, and has said nothing yet.
pub(super) struct Reached {
    pub(super) transport: Transport,
    /// Its address, where we know it.
    pub(super) address: Option<SocketAddr>,
    pub(super) beneath: Beneath,
}

/// What the way to a server rests on, and so may be to blame.
pub(super) enum Beneath {
    Nothing,
    Hop(Hop),
    Command(LastWords),
}

/// The connection to the server before the target, once there is one. It outlives a handshake with the target, so that
/// nobody logs in to the server before once more because the target's key was not known.
pub(super) type Bridge = Option<Arc<Connection>>;

/// Another server on the way.
pub(super) struct Hop {
    name: String,
    ending: watch::Receiver<Ending>,
    by_person: bool,
}

/// Goes the target's way.
///
/// # Errors
/// It leads nowhere; the error names the part that failed.
pub(super) async fn reach(plan: Plan<'_>, bridge: &mut Bridge, cut: &CancellationToken) -> Result<Reached, SshError> {
    let target = plan.target;
    if let Some(client) = plan.within {
        let limit = target.connect_timeout.unwrap_or(plan.limits.connect_timeout);
        let reached = within::reach(client, target, limit).await;
        let carrier = reached.map_err(|error| named(client.name(), error))?;
        let transport = Transport::new(carrier, cut, settings::patience(target));
        return Ok(Reached { transport, address: None, beneath: Beneath::Nothing });
    }
    let (carrier, address, beneath) = match &target.way {
        Way::Direct => {
            let limit = target.connect_timeout.unwrap_or(plan.limits.connect_timeout);
            let (stream, address) = tcp::connect(Place::of(target), plan.known_address, limit).await?;
            (Carrier::Tcp(stream), Some(address), Beneath::Nothing)
        }
        Way::Jump(hop) => {
            let (carrier, hop) = through(plan, bridge, hop).await?;
            (carrier, None, Beneath::Hop(hop))
        }
        Way::Command(line) => {
            let (command, words) = ProxyCommand::start(target, line, plan.tasks)?;
            (Carrier::Command(command), None, Beneath::Command(words))
        }
    };
    let transport = Transport::new(carrier, cut, settings::patience(target));
    Ok(Reached { transport, address, beneath })
}

/// The connection that stands, or a new one to `hop`: one that is as good as any other, with a key that is known, and for
/// the same user at this end.
async fn cross(kept: &mut Bridge, plan: Plan<'_>, hop: &Target) -> Result<Arc<Connection>, SshError> {
    if let Some(standing) = kept.take().filter(|connection| !connection.is_closed()) {
        return Ok(Arc::clone(kept.insert(standing)));
    }
    let wide = Arc::new(OutletRules {
        memory: plan.outlets.memory.max(HOP_MEMORY),
        spool: SpoolRules { bound: plan.outlets.spool.bound.max(HOP_DISK), ..plan.outlets.spool.clone() },
    });
    let below = Plan { target: hop, known_address: None, outlets: &wide, within: None, ..plan };
    // Chains have no bound of their own: the configuration is read before, and has one.
    let below = Box::pin(arrive(below)).await?;
    Ok(Arc::clone(kept.insert(Arc::new(below))))
}

/// A stream to the target's door from `hop`, over a connection of its own.
async fn through(plan: Plan<'_>, bridge: &mut Bridge, hop: &Target) -> Result<(Carrier, Hop), SshError> {
    let named = |error| named(&hop.name, error);
    let below = cross(bridge, plan, hop).await.map_err(named)?;
    let passed = Hop { name: hop.name.clone(), ending: below.ending(), by_person: below.by_person };
    let Some(slot) = below.reserve() else {
        let host = below.host().to_owned();
        return Err(named(SshError::Disconnected {
            host,
            reason: "the connection was lost".to_owned(),
            by_server: false,
        }));
    };
    let dialled = opening::dial(Arc::clone(&below), slot, plan.target.host.clone(), plan.target.port);
    // A server that drops what it is asked to reach, or never answers, is not waited for longer than one that is dialled.
    let limit = plan.target.connect_timeout.unwrap_or(plan.limits.connect_timeout);
    let Ok(dialled) = timeout(limit, dialled).await else {
        let Target { host, port, .. } = plan.target;
        return Err(named(SshError::ConnectionTimedOut { host: host.clone(), port: *port, after: limit }));
    };
    let stream = dialled.map_err(named)?;
    Ok((Carrier::Hop { stream, _connection: below }, passed))
}

/// Says which hop failed; where hops go through hops, the one that did.
fn named(hop: &str, error: SshError) -> SshError {
    match error {
        through @ SshError::Through { .. } => through,
        other => SshError::Through { hop: hop.to_owned(), error: Box::new(other) },
    }
}

impl Beneath {
    /// Whether a person had to answer something on the way.
    pub(super) fn by_person(&self) -> bool {
        matches!(self, Self::Hop(hop) if hop.by_person)
    }

    /// What became of a connection that failed with `error` before it stood: the failure of what is beneath, if that failed.
    pub(super) async fn explain(&self, host: &str, error: SshError) -> SshError {
        let may_be_beneath = matches!(
            error,
            SshError::TurnedAway { .. }
                | SshError::Disconnected { by_server: false, .. }
                | SshError::HandshakeTimedOut { greeted: false, .. }
                | SshError::Protocol { .. }
        );
        match self {
            Self::Command(words) if may_be_beneath => words.explain(host, error).await,
            Self::Hop(hop) if may_be_beneath => match hop.ending.borrow().clone() {
                Some(ended) => named(&hop.name, ended),
                None => error,
            },
            Self::Nothing | Self::Hop(_) | Self::Command(_) => error,
        }
    }
}
