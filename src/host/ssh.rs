//! A host that our own SSH client reaches.

use super::{Endpoint, HostError, HostStream, Program, Shell};
use crate::ssh::SshClient;

/// A login host: its connections are made when they are first needed.
#[derive(Debug)]
pub struct SshHost {
    client: SshClient,
}

impl SshHost {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(client: SshClient) -> Self {
        Self { client }
    }

    /// What a user calls this host.
    #[must_use]
    pub fn name(&self) -> &str {
        self.client.name()
    }

    /// Its SSH client: whether it is connected, and how to close it.
    #[must_use]
    pub fn client(&self) -> &SshClient {
        &self.client
    }

    pub(super) async fn dial(&self, endpoint: &Endpoint) -> Result<HostStream, HostError> {
        let stream = match endpoint {
            Endpoint::Tcp(address) => self.client.dial(&address.host, address.port).await?,
            Endpoint::Unix(path) => self.client.dial_socket(path).await?,
        };
        Ok(HostStream::Channel(stream))
    }

    pub(super) async fn spawn(&self, shell: Shell) -> Result<Program, HostError> {
        let exec = self.client.exec(shell.command()).await?;
        Ok(Program { stdin: Box::new(exec.stdin), stdout: Box::new(exec.stdout), stderr: Box::new(exec.stderr) })
    }
}
