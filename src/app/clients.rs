//! One SSH client for each login host, however many instances are reached by it: one login is asked for, once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_util::task::TaskTracker;

use crate::ssh::{SshClient, SshError, SshOptions};

/// The clients that were made, by what leads to their hosts.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<String, SshClient>>);

impl Clients {
    /// The client of `options`: the one that is there, or a new one.
    ///
    /// # Errors
    /// The options cannot be used.
    pub(super) fn of(&self, options: &SshOptions, tasks: &TaskTracker) -> Result<SshClient, SshError> {
        // What is written down of options is what leads to the same host again.
        let key = serde_json::to_string(options).unwrap_or_else(|_| options.destination.clone());
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = SshClient::new(options, tasks.clone())?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        let clients: Vec<_> = self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        for (_, client) in clients {
            client.close().await;
        }
    }
}
