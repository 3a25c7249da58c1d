//! All that runs: the front, and the instances behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::management::Management;
use super::opened::{Opened, Prepared, Told};
use super::opener::{By, Change, Ground, Opener, Tell};
use super::{Callers, InstanceSettings, Instances, Settings};
use crate::fleet::{Fleet, FolderError, left_behind, tend};
use crate::gateway::{self, AccessKey, Gateway, Lifetime};
use crate::id::InstanceName;
use crate::launch::RecordError;
use crate::secret::Key;
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

/// One that cannot be served keeps no other from it.
fn prepare_all(
    all: Vec<InstanceSettings>,
    ground: &Ground,
    settings: &Settings,
    told: &mut Told,
) -> Result<Vec<Prepared>, AppError> {
    let (mut prepared, mut failed) = (Vec::new(), None);
    for one in all {
        let name = one.name.clone();
        match ground.prepare(one, &settings.state_root, told) {
            Ok(one) => prepared.push(one),
            Err(error) => {
                told.warnings.push(format!("{name} is not served: {error}"));
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) if prepared.is_empty() => Err(error),
        Some(_) | None => Ok(prepared),
    }
}

/// What listens, and serves nobody yet.
struct Bound {
    listener: TcpListener,
    opener: Arc<Opener>,
    news: mpsc::UnboundedReceiver<Arc<Opened>>,
}

impl Bound {
    fn new(settings: &Settings, fleet: Fleet, ground: Ground) -> Result<Self, AppError> {
        let listen = |source| AppError::Listen { address: settings.listen, source };
        let listener = gateway::listen(settings.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        ground.places.set_most(settings.most_running);
        let (opener, news) = Opener::new(address, &settings.state_root, fleet, ground);
        Ok(Self { listener, opener: Arc::new(opener), news })
    }

    fn serve(self, settings: gateway::Settings, management: Arc<Management>, mut told: Told) -> App {
        let Self { listener, opener, news } = self;
        let names: Vec<_> = opener.opened().iter().map(|opened| opened.name().clone()).collect();
        told.warnings.extend(left_behind::of_others(&opener.state_root, &names));
        let front = Lifetime::default();
        let managed: Arc<dyn gateway::Manage> = Arc::<Management>::clone(&management);
        let gateway = Gateway::new(opener.fleet.clone(), settings, front.clone(), Some(managed));
        drop(front.tasks.spawn(gateway::serve(listener, gateway.clone())));
        let (replicas, end) = (tend(opener.fleet.clone()), front.no_more.clone());
        drop(front.tasks.spawn(async move { end.run_until_cancelled_owned(replicas).await }));
        App { opener, news: tokio::sync::Mutex::new(news), management, told, front, gateway }
    }
}

/// What runs.
pub struct App {
    opener: Arc<Opener>,
    /// Instances that were opened, each once.
    news: tokio::sync::Mutex<mpsc::UnboundedReceiver<Arc<Opened>>>,
    management: Arc<Management>,
    told: Told,
    front: Lifetime,
    gateway: Gateway,
}

impl App {
    /// Listens, and starts nothing else until a request asks for it.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start(settings: Settings, instances: Instances) -> Result<Self, AppError> {
        match instances {
            Instances::One(one) => Self::start_one(settings, *one).await.map(|(app, _)| app),
            Instances::Many { all, default, callers } => {
                let (ground, mut told) = (Ground::default(), Told::default());
                let prepared = prepare_all(all, &ground, &settings, &mut told)?;
                let bound = Bound::new(&settings, Fleet::of_many(default), ground)?;
                for one in prepared {
                    bound.opener.begin(one, By::File, &mut told);
                }
                let management = Arc::new(Management::new(Arc::clone(&bound.opener), callers));
                management.open_asked(&mut told).await;
                Ok(bound.serve(settings.gateway, management, told))
            }
        }
    }

    /// Listens, with one instance that gets every request.
    ///
    /// # Errors
    /// See [`AppError`].
    #[expect(clippy::unused_async, reason = "its tasks and its socket need a runtime around it")]
    pub async fn start_one(settings: Settings, one: InstanceSettings) -> Result<(Self, Arc<Opened>), AppError> {
        let (ground, mut told) = (Ground::default(), Told::default());
        let prepared = ground.prepare(one, &settings.state_root, &mut told)?;
        let bound = Bound::new(&settings, Fleet::of_one(), ground)?;
        let opened = bound.opener.begin(prepared, By::File, &mut told);
        let management = Arc::new(Management::new(Arc::clone(&bound.opener), None));
        Ok((bound.serve(settings.gateway, management, told), opened))
    }

    /// Gives the instance of that name other settings. One whose engine is another now finishes what is in flight, ends its
    /// engine, and starts the other with its next life. One that is not there, is being ended, or is to be on another host, is
    /// opened once nothing is in the way, and `tell` hears what came of it.
    ///
    /// # Errors
    /// See [`AppError`].
    pub fn replace(&self, one: InstanceSettings, tell: Tell) -> Result<Change, AppError> {
        self.opener.replace(one, tell)
    }

    /// Says what callers of the API may create from now on. What they made is theirs still, but for what the file serves now:
    /// that is ended, and named here.
    pub fn set_callers(&self, callers: Option<Callers>, of_file: &[String]) -> Vec<InstanceName> {
        self.management.set_callers(callers);
        let in_the_way = self.opener.callers_with(of_file);
        for name in &in_the_way {
            self.opener.forget(name);
        }
        in_the_way
    }

    /// Says how many engines may run on this machine at once from now on.
    pub fn set_most_running(&self, most: Option<usize>) {
        self.opener.ground.places.set_most(most);
    }

    /// Says which keys open what from now on: one all, and named ones some of it. What is in flight goes on.
    pub fn set_access_keys(&self, key: Option<&Key>, named: Vec<AccessKey>) {
        self.gateway.set_keys(key, named);
    }

    /// Says who gets the requests that name no model.
    pub fn set_default(&self, name: Option<InstanceName>) {
        self.opener.fleet.set_default(name);
    }

    /// Begins the end of one: no request finds it any more, what is in flight is finished, its engine is ended.
    pub fn forget(&self, name: &InstanceName) {
        self.opener.forget(name);
    }

    /// The instances that are open.
    #[must_use]
    pub fn opened(&self) -> Vec<Arc<Opened>> {
        self.opener.opened()
    }

    /// Returns the next instance that was opened, be it at the start or later.
    pub async fn next_opened(&self) -> Arc<Opened> {
        match self.news.lock().await.recv().await {
            Some(opened) => opened,
            None => std::future::pending().await,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.opener.address
    }

    /// What could not be ended of engines until now, by name.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        self.opener.left()
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
        self.opener.end.asked.notified().await;
    }

    /// Returns when somebody asked there not to wait for it.
    pub async fn asked_to_hurry(&self) {
        self.opener.end.hurried.notified().await;
    }

    /// Begins the end: no request is admitted any more, what is in flight is finished, the engines are ended. With
    /// `hurry`, nothing is waited for.
    pub fn close(&self, hurry: bool) {
        self.opener.close(hurry);
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
        self.opener.ground.clients.close().await;
        self.opener.ground.tasks.close();
        drop(tokio::time::timeout(LINGER, self.opener.ground.tasks.wait()).await);
    }
}
