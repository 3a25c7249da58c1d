//! The door to one host.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use super::config::{Target, Way};
use super::opening::Started;
use super::pool::{Pool, Purpose};
use super::{AcceptedKey, ChannelStream, Entrance, Exec, Link, NetworkWatch, Person, SshError, SshOptions, opening};

/// One host, reached over SSH. Cloning it shares its connections.
#[derive(Clone)]
pub struct SshClient {
    pool: Arc<Pool>,
}

impl fmt::Debug for SshClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshClient").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl SshClient {
    /// Reads the destination and the SSH configuration; connects to nothing. Every task it ever starts is counted by
    /// `tasks`.
    ///
    /// # Errors
    /// Either cannot be read, or asks for what this version does not do.
    pub fn new(options: &SshOptions, tasks: TaskTracker) -> Result<Self, SshError> {
        let target = Target::resolve(options)?;
        for warning in &target.warnings {
            tracing::warn!(host = %target.name, "{warning}");
        }
        Ok(Self { pool: Pool::new(target, None, options.limits.clone(), options.home.vault.clone(), tasks) })
    }

    /// A host that is reached from this client's, inside its connections, whatever way the configuration knows: by a stream,
    /// or by a command that joins two streams where this client's host forbids those.
    ///
    /// # Errors
    /// As with [`SshClient::new`].
    pub fn within(&self, options: &SshOptions) -> Result<Self, SshError> {
        let target = Target { way: Way::Direct, ..Target::resolve(options)? };
        let (limits, vault, tasks) = (options.limits.clone(), options.home.vault.clone(), self.pool.tasks().clone());
        Ok(Self { pool: Pool::new(target, Some(self.clone()), limits, vault, tasks) })
    }

    /// What the user calls this host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.pool.target().name
    }

    /// The user's name there.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.pool.target().user
    }

    /// What was passed over in the SSH configuration, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.pool.target().warnings
    }

    /// The keys of servers on the way that nobody knew, taken without a question because the configuration says so.
    #[must_use]
    pub fn accepted_keys(&self) -> Vec<AcceptedKey> {
        self.pool.learned.accepted_keys()
    }

    /// How the server let us in, where a connection stands.
    #[must_use]
    pub fn entrance(&self) -> Option<Entrance> {
        self.pool.state().connections.first().map(|connection| connection.entrance.clone())
    }

    /// Whether the host can be reached, as far as we know. It says `Disconnected` until something was asked for.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.pool.link()
    }

    /// Watches this machine's way to the host.
    #[must_use]
    pub fn network_watch(&self) -> NetworkWatch {
        NetworkWatch::new(self.pool.address())
    }

    /// Returns once the server has answered a question, or once there is no connection to ask it by, and says which.
    pub async fn ping(&self) -> bool {
        self.pool.ping().await
    }

    /// Connects, unless a connection stands.
    ///
    /// # Errors
    /// No connection can be made.
    pub async fn connect(&self) -> Result<(), SshError> {
        self.pool.acquire(Purpose::Stream).await.map(drop)
    }

    /// Connects, unless a connection stands; `person` is asked what only a person knows. It takes the place of an attempt
    /// with nobody, and earlier refusals are forgotten. The others who want a connection meanwhile wait for this attempt.
    ///
    /// # Errors
    /// No connection can be made.
    pub async fn connect_with(&self, person: &Person) -> Result<(), SshError> {
        self.pool.connect_with(person).await
    }

    /// Tells it that the network may be better than it was, so that what failed before is tried again without a pause. A
    /// login that was refused still waits for [`SshClient::connect_with`].
    pub fn network_is_back(&self) {
        self.pool.network_is_back();
    }

    /// Opens a stream to `host`:`port`, as the SSH server sees it.
    ///
    /// # Errors
    /// No connection can be made, or the server forbids the stream or cannot open it.
    pub async fn dial(&self, host: &str, port: u16) -> Result<ChannelStream, SshError> {
        let (connection, slot) = self.pool.acquire(Purpose::Stream).await?;
        self.in_own_task(opening::dial(connection, slot, host.to_owned(), port)).await
    }

    /// Opens a stream to the Unix socket at `path` of the SSH server's machine.
    ///
    /// # Errors
    /// As with [`SshClient::dial`].
    pub async fn dial_socket(&self, path: &str) -> Result<ChannelStream, SshError> {
        let (connection, slot) = self.pool.acquire(Purpose::Stream).await?;
        self.in_own_task(opening::dial_socket(connection, slot, path.to_owned())).await
    }

    /// Runs `command` in the user's login shell there. Only words that every shell reads alike belong in it.
    ///
    /// # Errors
    /// No connection can be made, or the server will not run it.
    pub async fn exec(&self, command: &str) -> Result<Exec, SshError> {
        let mut refused_alone = 0;
        // Each connection may turn out to be full once, the last one because another command was faster.
        for _ in 0..=self.pool.most_connections() {
            let (connection, slot) = self.pool.acquire(Purpose::Command).await?;
            match self.in_own_task(opening::exec(connection, slot, command.to_owned())).await? {
                Started::Running(exec) => return Ok(*exec),
                Started::NoSession { alone } => refused_alone += usize::from(alone),
            }
            // What an earlier command left behind may be in the way once; on a fresh connection it is the server's manner.
            if refused_alone > 1 {
                break;
            }
        }
        let words = "all sessions are taken".to_owned();
        Err(SshError::ExecRefused { host: self.pool.target().host.clone(), words })
    }

    /// Ends all connections, and with them all streams; nothing can be opened afterwards.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs `open` to its end even if its caller leaves; what nobody waits for is dropped, and so closed.
    async fn in_own_task<T: Send + 'static>(
        &self,
        open: impl Future<Output = Result<T, SshError>> + Send + 'static,
    ) -> Result<T, SshError> {
        let (opened, waiting) = oneshot::channel();
        self.pool.tasks().spawn(async move {
            let _ = opened.send(open.await);
        });
        let host = || self.pool.target().host.clone();
        waiting.await.unwrap_or_else(|_| Err(SshError::Closed { host: host() }))
    }
}
