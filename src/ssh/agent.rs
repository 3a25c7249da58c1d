//! The user's SSH agent.

use std::path::Path;
use std::time::Duration;

use russh::keys::agent::client::AgentClient;
use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long an agent may take to say which keys it holds.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// An agent and the keys it holds.
pub(super) struct Agent {
    /// Signs for us.
    pub(super) client: AgentClient<UnixStream>,
    /// What it holds.
    pub(super) identities: Vec<AgentIdentity>,
}

impl Agent {
    /// Asks the agent at `socket` for its keys.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(super) async fn ask(socket: &Path, binding: Option<&AgentSessionBinding>) -> Result<Self, String> {
        let ask = async {
            let mut client = AgentClient::connect_uds(socket).await?;
            if let Some(binding) = binding {
                // Without this an agent hides keys that are meant for certain hosts only. Old agents do not know it.
                match client.bind_session(binding, false).await {
                    Ok(()) | Err(russh::keys::Error::AgentFailure) => {}
                    Err(error) => return Err(error),
                }
            }
            let identities = client.request_identities().await?;
            Ok(Self { client, identities })
        };
        match timeout(LIST_TIMEOUT, ask).await {
            Ok(Ok(agent)) => Ok(agent),
            Ok(Err(error)) => Err(format!("the agent at {} cannot be asked: {error}", socket.display())),
            Err(_) => Err(format!("the agent at {} does not answer", socket.display())),
        }
    }
}
