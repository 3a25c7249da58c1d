//! What the engine binds, settled before its job is asked for: nothing that others could reach, where we could not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, info};

use super::life::Life;
use super::scripts::Scripts;
use super::{Binding, Starter, ask};
use crate::host::{Address, Host, HostError, Shell};
use crate::keeper::ScriptError;
use crate::ssh::SshError;

/// How long the host may take to say whether it forwards: a channel to itself is one round trip.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where a host that takes SSH is most likely to listen. Whether anybody does makes no difference: only whether a channel
/// is forbidden is asked.
const SSH_PORT: u16 = 22;

/// Names a node, whichever.
const A_NODE: &str = "sinfo --noheader --Node --format=%N | head -n 1";

impl Life {
    /// Asks the host once, as soon as it is connected, whether it opens channels at all; if not, the engine binds the
    /// loopback, and no port of its machine is open to others for nothing.
    ///
    /// # Errors
    /// The script cannot be written.
    pub(super) async fn settle_binding(&mut self) -> Result<(), ScriptError> {
        let Some(Binding { bind, argv }) = self.plan.if_prohibited.clone() else { return Ok(()) };
        if !prohibits_channel(&self.place.host, "127.0.0.1", SSH_PORT).await || !self.prohibits_nodes().await {
            return Ok(());
        }
        info!(
            "{} forwards nothing: the engine binds the loopback",
            self.place.host_name.as_deref().unwrap_or("the host")
        );
        let plan = Arc::make_mut(&mut self.plan);
        (plan.bind, plan.argv, plan.if_prohibited) = (bind, argv, None);
        let scripts = Scripts::new(&self.plan, &self.id, &self.runner.nonce, self.record.engine_key.as_ref())?;
        self.launch = Some(scripts.launch);
        Ok(())
    }

    /// A host that opens no channel to itself may open some to its nodes (`PermitOpen`).
    async fn prohibits_nodes(&self) -> bool {
        let (Starter::Slurm { .. }, host) = (&self.plan.starter, &self.place.host) else { return true };
        match a_node(host, self.place.shell).await {
            // The engine's port, where it is known: a list may name that alone.
            Some(node) => prohibits_channel(host, &node, self.plan.bind.port().unwrap_or(SSH_PORT)).await,
            None => true,
        }
    }
}

async fn a_node(host: &Host, shell: Shell) -> Option<String> {
    let argv = ["/bin/sh", "-c", A_NODE].map(str::to_owned);
    let answer = timeout(ANSWER_WITHIN, ask::command(host, shell, &argv)).await.ok()?.ok()?;
    answer.stdout.split_whitespace().next().map(str::to_owned)
}

async fn prohibits_channel(host: &Host, to: &str, port: u16) -> bool {
    let address = Address { host: to.to_owned(), port };
    let answer = timeout(ANSWER_WITHIN, host.dial(&address.clone().into())).await;
    debug!(?answer, %address, "asked for a channel");
    // Where nobody listens, or it is not known: a route that works is worth more than a port that is closed.
    matches!(answer, Ok(Err(HostError::Ssh(SshError::Prohibited { .. }))))
}
