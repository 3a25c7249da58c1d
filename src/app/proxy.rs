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
use crate::id::InstanceName;
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

type List = Arc<Mutex<Vec<Arc<Opened>>>>;

/// Returns when one that was closed is gone, and its folder free for another.
async fn see_off(list: List, opened: Arc<Opened>) {
    opened.closed().await;
    opened.finish().await;
    list.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, &opened));
}

/// What runs.
pub struct App {
    address: SocketAddr,
    state_root: PathBuf,
    fleet: Fleet,
    opened: List,
    ground: Ground,
    told: Told,
    /// Told where the proxy itself is to end.
    end: Arc<Notify>,
    front: Lifetime,
}

/// What other settings make of an instance.
pub enum Change {
    /// The same engine, which goes on.
    SameEngine,
    /// Another one.
    OtherEngine,
    /// There is none of that name.
    None(Box<InstanceSettings>),
}

/// What instances stand on together.
#[derive(Default)]
struct Ground {
    clients: Clients,
    tasks: TaskTracker,
}

impl Ground {
    fn prepare(&self, one: InstanceSettings, root: &Path, told: &mut Told) -> Result<Prepared, AppError> {
        Prepared::new(one, root, &self.clients, &self.tasks, told)
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
                let (ground, mut told) = (Ground::default(), Told::default());
                let prepared = all.into_iter().map(|one| ground.prepare(one, &settings.state_root, &mut told));
                let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
                let (app, listener) = Self::bind(&settings, Fleet::of_many(default), ground).await?;
                for one in prepared {
                    app.begin(one, &mut told);
                }
                Ok(app.serve(listener, settings.gateway, told))
            }
        }
    }

    /// Listens, with one instance that gets every request.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start_one(settings: Settings, one: InstanceSettings) -> Result<(Self, Arc<Opened>), AppError> {
        let (ground, mut told) = (Ground::default(), Told::default());
        let prepared = ground.prepare(one, &settings.state_root, &mut told)?;
        let (app, listener) = Self::bind(&settings, Fleet::of_one(), ground).await?;
        let opened = app.begin(prepared, &mut told);
        Ok((app.serve(listener, settings.gateway, told), opened))
    }

    async fn bind(settings: &Settings, fleet: Fleet, ground: Ground) -> Result<(Self, TcpListener), AppError> {
        let listen = |source| AppError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let app = Self {
            address,
            state_root: settings.state_root.clone(),
            fleet,
            opened: Arc::default(),
            ground,
            told: Told::default(),
            end: Arc::default(),
            front: Lifetime::default(),
        };
        Ok((app, listener))
    }

    fn serve(mut self, listener: TcpListener, settings: gateway::Settings, told: Told) -> Self {
        self.told = told;
        let names: Vec<_> = self.opened().iter().map(|opened| opened.name().clone()).collect();
        self.told.warnings.extend(left_behind::of_others(&self.state_root, &names));
        let gateway = Gateway::new(self.fleet.clone(), settings, self.front.clone());
        drop(self.front.tasks.spawn(gateway::serve(listener, gateway)));
        self
    }

    fn begin(&self, prepared: Prepared, told: &mut Told) -> Arc<Opened> {
        let tasks = &self.ground.tasks;
        let (opened, member) = prepared.begin(self.address, &self.state_root, Arc::clone(&self.end), tasks, told);
        let opened = Arc::new(opened);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&opened));
        self.fleet.put(member);
        opened
    }

    /// Opens one more. Where one of that name is still being ended, its end is waited for.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn open(&self, one: InstanceSettings) -> Result<(Arc<Opened>, Told), AppError> {
        let ending = self.opened().into_iter().find(|opened| *opened.name() == one.name);
        if let Some(ending) = ending {
            see_off(Arc::clone(&self.opened), ending).await;
        }
        let mut told = Told::default();
        let prepared = self.ground.prepare(one, &self.state_root, &mut told)?;
        Ok((self.begin(prepared, &mut told), told))
    }

    /// Gives the instance of that name other settings. One whose engine is another now finishes what is in flight, ends its
    /// engine, and starts the other with its next life.
    ///
    /// # Errors
    /// See [`AppError`].
    pub fn replace(&self, one: InstanceSettings) -> Result<Change, AppError> {
        match self.opened().into_iter().find(|opened| *opened.name() == one.name) {
            None => Ok(Change::None(Box::new(one))),
            Some(opened) => {
                let (member, other_engine) = opened.replace(one, &self.ground.clients)?;
                self.fleet.put(member);
                Ok(if other_engine { Change::OtherEngine } else { Change::SameEngine })
            }
        }
    }

    /// Begins the end of one: no request finds it any more, what is in flight is finished, its engine is ended.
    pub fn forget(&self, name: &InstanceName) {
        self.fleet.remove(name);
        if let Some(opened) = self.opened().into_iter().find(|opened| opened.name() == name) {
            opened.close(false);
            drop(self.ground.tasks.spawn(see_off(Arc::clone(&self.opened), opened)));
        }
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

    /// What could not be ended of engines until now, by name.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        self.opened().iter().flat_map(|opened| opened.watch().borrow().left.clone()).collect()
    }

    /// What the user should know.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.told.warnings
    }

    /// What it found of earlier runs.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.told.notes
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
