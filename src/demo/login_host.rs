//! An SSH server in this process, on loopback, for one user with one key.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use russh::Disconnect;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Config, run_stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::login_session::LoginSession;
use super::outward::Outward;
use super::remote_command::Surroundings;
use crate::ssh::server_config;

/// How long connections and commands may take to end once they are told to.
const LINGER: Duration = Duration::from_secs(5);

/// Between two tries to accept a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Who comes in, and what is found behind.
pub struct LoginPlan<O> {
    /// The server's own key.
    pub host_key: PrivateKey,
    /// The one user.
    pub user: String,
    /// That user's key.
    pub user_key: PublicKey,
    /// What commands find around them.
    pub surroundings: Surroundings,
    /// Where streams lead.
    pub outward: O,
}

/// What all connections share.
pub(super) struct Shared<O> {
    pub(super) plan: LoginPlan<O>,
    logins: watch::Sender<Option<Instant>>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

/// A server that listens.
#[derive(Debug)]
pub struct LoginHost {
    address: SocketAddr,
    first_login: watch::Receiver<Option<Instant>>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

impl<O> Shared<O> {
    /// Remembers when the first client was let in.
    pub(super) fn note_login(&self) {
        self.logins.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(Instant::now);
            is_first
        });
    }

    /// A task that ends with the server at the latest.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            ended.run_until_cancelled(task).await;
        });
    }
}

impl LoginHost {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// There is none.
    pub async fn start<O: Outward>(plan: LoginPlan<O>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (logins, first_login) = watch::channel(None);
        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        let config = Arc::new(server_config(plan.host_key.clone()));
        let shared = Arc::new(Shared { plan, logins, tasks: tasks.clone(), ended: ended.clone() });
        tasks.spawn(async move {
            shared.ended.clone().run_until_cancelled(accept(listener, config, shared)).await;
        });
        Ok(Self { address, first_login, tasks, ended })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When a client was let in for the first time, and so had found our key to be the one it knows.
    #[must_use]
    pub fn first_login(&self) -> Option<Instant> {
        *self.first_login.borrow()
    }

    /// Ends all connections, and waits for their tasks.
    pub async fn end(self) {
        self.ended.cancel();
        self.tasks.close();
        drop(tokio::time::timeout(LINGER, self.tasks.wait()).await);
    }
}

async fn accept<O: Outward>(listener: TcpListener, config: Arc<Config>, shared: Arc<Shared<O>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Descriptors ran out, or the client has left already: neither is for ever.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let (config, shared) = (Arc::clone(&config), Arc::clone(&shared));
        shared.tasks.clone().spawn(connection(stream, config, shared));
    }
}

async fn connection<O: Outward>(stream: TcpStream, config: Arc<Config>, shared: Arc<Shared<O>>) {
    drop(stream.set_nodelay(true));
    let ended = shared.ended.clone();
    let greeted = ended.run_until_cancelled(run_stream(config, stream, LoginSession::new(shared))).await;
    let Some(Ok(mut running)) = greeted else { return };
    let handle = running.handle();
    tokio::select! {
        // A client that leaves without a word is an error to russh, and none to us.
        _ = &mut running => {}
        () = ended.cancelled() => {
            drop(handle.disconnect(Disconnect::ByApplication, "the demonstration ends".to_owned(), String::new()).await);
            drop(tokio::time::timeout(LINGER, running).await);
        }
    }
}
