//! All that runs: the front, and the instances behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::clients::Clients;
use super::opened::{Opened, Prepared, Told};
use super::{InstanceSettings, Instances, Settings};
use crate::fleet::{Fleet, FolderError, left_behind};
use crate::gateway::{self, Gateway, Lifetime};
use crate::launch::RecordError;
use crate::ssh::SshError;

/// How long connections may take to end once nothing is left to serve.
const LINGER: Duration = Duration::from_secs(5);

/// It cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The state folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What an earlier process left in it.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The SSH client's options.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The listening socket.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// What runs.
pub struct App {
    address: SocketAddr,
    state_root: PathBuf,
    fleet: Fleet,
    opened: Mutex<Vec<Arc<Opened>>>,
    ground: Ground,
    /// Told where the proxy itself is to end.
    end: Arc<Notify>,
    front: Lifetime,
}

/// What instances stand on together.
#[derive(Default)]
struct Ground {
    clients: Clients,
    tasks: TaskTracker,
    told: Told,
}

impl Ground {
    fn prepare(&mut self, one: InstanceSettings, root: &Path) -> Result<Prepared, AppError> {
        Prepared::new(one, root, &self.clients, &self.tasks, &mut self.told)
    }
}

impl App {
    /// Listens, and starts nothing else until a request asks for it.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start(settings: Settings, instances: Instances) -> Result<Self, AppError> {
        match instances {
            Instances::One(one) => Self::start_one(settings, *one).await.map(|(app, _)| app),
            Instances::Many { all, default } => {
                let mut ground = Ground::default();
                let prepared = all.into_iter().map(|one| ground.prepare(one, &settings.state_root));
                let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
                let (mut app, listener) = Self::bind(&settings, Fleet::of_many(default), ground).await?;
                for one in prepared {
                    app.begin(one);
                }
                app.serve(listener, settings.gateway);
                Ok(app)
            }
        }
    }

    /// Listens, with one instance that gets every request.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start_one(settings: Settings, one: InstanceSettings) -> Result<(Self, Arc<Opened>), AppError> {
        let mut ground = Ground::default();
        let prepared = ground.prepare(one, &settings.state_root)?;
        let (mut app, listener) = Self::bind(&settings, Fleet::of_one(), ground).await?;
        let opened = app.begin(prepared);
        app.serve(listener, settings.gateway);
        Ok((app, opened))
    }

    async fn bind(settings: &Settings, fleet: Fleet, ground: Ground) -> Result<(Self, TcpListener), AppError> {
        let listen = |source| AppError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let app = Self {
            address,
            state_root: settings.state_root.clone(),
            fleet,
            opened: Mutex::default(),
            ground,
            end: Arc::default(),
            front: Lifetime::default(),
        };
        Ok((app, listener))
    }

    fn serve(&mut self, listener: TcpListener, settings: gateway::Settings) {
        let names: Vec<_> = self.opened().iter().map(|opened| opened.name().clone()).collect();
        self.ground.told.warnings.extend(left_behind::of_others(&self.state_root, &names));
        let gateway = Gateway::new(self.fleet.clone(), settings, self.front.clone());
        drop(self.front.tasks.spawn(gateway::serve(listener, gateway)));
    }

    fn begin(&mut self, prepared: Prepared) -> Arc<Opened> {
        let Ground { tasks, told, .. } = &mut self.ground;
        let (opened, member) = prepared.begin(self.address, &self.state_root, Arc::clone(&self.end), tasks, told);
        let opened = Arc::new(opened);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&opened));
        self.fleet.put(member);
        opened
    }

    /// The instances that are open.
    #[must_use]
    pub fn opened(&self) -> Vec<Arc<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the user should know.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.ground.told.warnings
    }

    /// What it found of earlier runs.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.ground.told.notes
    }

    /// Returns when somebody asked for the end by the control socket.
    pub async fn asked_to_end(&self) {
        self.end.notified().await;
    }

    /// Begins the end: no request is admitted any more, what is in flight is finished, the engines are ended. With
    /// `hurry`, nothing is waited for.
    pub fn close(&self, hurry: bool) {
        self.opened().iter().for_each(|opened| opened.close(hurry));
    }

    /// Returns when the instances are down and verified gone.
    pub async fn closed(&self) {
        for opened in self.opened() {
            opened.closed().await;
        }
    }

    /// Ends the rest, in order: the listener, its connections, everything else.
    pub async fn finish(self) {
        self.front.no_more.cancel();
        self.front.tasks.close();
        if tokio::time::timeout(LINGER, self.front.tasks.wait()).await.is_err() {
            self.front.end_all.cancel();
        }
        for opened in self.opened() {
            opened.finish().await;
        }
        self.ground.clients.close().await;
        self.ground.tasks.close();
        drop(tokio::time::timeout(LINGER, self.ground.tasks.wait()).await);
    }
}
