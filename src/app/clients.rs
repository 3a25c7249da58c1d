//! One SSH client for each login host, however many instances are reached by it: one login is asked for, once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
        if let Some(client) = self.all().get(&key) {
            return Ok(client.clone());
        }
        // Another program is asked what the options mean: nobody waits for that at the lock. Of two that ask at once, the first
        // to know is the one that is kept.
        let client = SshClient::new(options, tasks.clone())?;
        Ok(self.all().entry(key).or_insert(client).clone())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, SshClient>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        let clients: Vec<_> = self.all().drain().collect();
        for (_, client) in clients {
            client.close().await;
        }
    }
}
