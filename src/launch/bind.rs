//! What the engine binds, settled before its job is asked for: nothing that others could reach, where we could not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, info};

use super::Binding;
use super::life::Life;
use super::scripts::Scripts;
use crate::host::{Address, Host, HostError};
use crate::keeper::ScriptError;
use crate::ssh::SshError;

/// How long the host may take to say whether it forwards: a channel to itself is one round trip.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where a host that takes SSH is most likely to listen. Whether anybody does makes no difference: only whether a channel
/// is forbidden is asked.
const SSH_PORT: u16 = 22;

impl Life {
    /// Asks the host once, as soon as it is connected, whether it opens channels at all; if not, the engine binds the
    /// loopback, and no port of its machine is open to others for nothing.
    ///
    /// # Errors
    /// The script cannot be written.
    pub(super) async fn settle_binding(&mut self) -> Result<(), ScriptError> {
        let Some(Binding { bind, argv }) = self.plan.if_prohibited.clone() else { return Ok(()) };
        if !prohibits_channels(&self.place.host).await {
            return Ok(());
        }
        info!(
            "{} forwards nothing: the engine binds the loopback",
            self.place.host_name.as_deref().unwrap_or("the host")
        );
        let plan = Arc::make_mut(&mut self.plan);
        (plan.bind, plan.argv, plan.if_prohibited) = (bind, argv, None);
        self.launch = Scripts::new(&self.plan, &self.id, &self.runner.nonce, self.record.engine_key.as_ref())?.launch;
        Ok(())
    }
}

async fn prohibits_channels(host: &Host) -> bool {
    let itself = Address { host: "127.0.0.1".to_owned(), port: SSH_PORT };
    let answer = timeout(ANSWER_WITHIN, host.dial(&itself.into())).await;
    debug!(?answer, "asked for a channel to the host itself");
    // Where nobody listens, or it is not known: a route that works is worth more than a port that is closed.
    matches!(answer, Ok(Err(HostError::Ssh(SshError::Prohibited { .. }))))
}
