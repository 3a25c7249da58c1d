//! The one composition root: settings in, running tasks out, and the one order in which they end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{self, ControlSocket, Desk};
use crate::fleet::{FolderError, StateFolder, left_behind};
use crate::gateway::{self, Gateway, Lifetime};
use crate::host::{Host, LocalHost, Shell, SshHost};
use crate::id::InstanceName;
use crate::instance::{self, Handle, Parts, Policy, Questions, Snapshot};
use crate::launch::{KeptLog, Lives, Place, Plan, RecordError, RecordFile, RouteMemory, Traces};
use crate::ssh::{Person, SshClient, SshError, SshOptions};

/// Where the engine's log is kept, in the state folder.
pub const ENGINE_LOG: &str = "engine.log";

/// How long connections may take to end once nothing is left to serve.
const LINGER: Duration = Duration::from_secs(5);

/// How long those at the control socket may take to hear that the instance is gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// All that is decided before anything runs.
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The instance's name.
    pub name: InstanceName,
    /// Where state folders are.
    pub state_root: PathBuf,
    /// The login host; none: this machine.
    pub login: Option<SshOptions>,
    /// Which shell reads our scripts on the host.
    pub shell: Shell,
    /// What is run.
    pub plan: Plan,
    /// The instance's limits.
    pub policy: Policy,
    /// What the engine is asked.
    pub questions: Questions,
    /// What the gateway is told.
    pub gateway: gateway::Settings,
}

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
    control: Control,
    warnings: Vec<String>,
    notes: Vec<String>,
    tasks: TaskTracker,
    front: Lifetime,
    _folder: StateFolder,
}

impl App {
    /// Listens, and starts nothing else until a request asks for it.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start(settings: Settings) -> Result<Self, AppError> {
        let (tasks, front) = (TaskTracker::new(), Lifetime::default());
        let folder = StateFolder::hold(&settings.state_root, &settings.name)?;
        let record = RecordFile::new(folder.path());
        let (mut warnings, mut notes) = (Vec::new(), Vec::new());
        let log = KeptLog::open(&folder.path().join(ENGINE_LOG)).unwrap_or_else(|error| {
            warnings.push(format!("the engine's log cannot be kept: {error}"));
            KeptLog::nowhere()
        });
        let login = settings.login;
        let host_name = login.as_ref().map(|login| login.destination.clone());
        let left_behind = left_behind::take(&record, host_name.as_deref(), &settings.plan, &mut notes)?;
        warnings.extend(left_behind::of_others(&settings.state_root, &settings.name));
        let client = login.as_ref().map(|options| SshClient::new(options, tasks.clone())).transpose()?;
        warnings.extend(client.iter().flat_map(SshClient::warnings).cloned());
        let host = match client.clone() {
            None => Host::Local(LocalHost),
            Some(client) => Host::Ssh(Arc::new(SshHost::new(client))),
        };
        let listen = |source| AppError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let place = Place {
            host,
            host_name: host_name.clone(),
            login,
            shell: settings.shell,
            record,
            log: log.clone(),
            routes: RouteMemory::new(&settings.state_root),
        };
        let profiling = settings.plan.profiling.clone();
        let profiler = profiling
            .as_ref()
            .and_then(|one| one.routes(settings.plan.backend))
            .zip(Traces::of(&place, &settings.plan));
        let parts = Parts {
            name: settings.name,
            policy: settings.policy,
            questions: settings.questions,
            launcher: Box::new(Lives::new(place, settings.plan, tasks.clone()).left_with(left_behind)),
        };
        let handle = instance::start(parts, &tasks);
        let gateway = Gateway::new(handle.clone(), settings.gateway, front.clone());
        front.tasks.spawn(gateway::serve(listener, gateway));
        let desk = Desk {
            handle,
            client,
            asked: Mutex::new(()),
            host: host_name,
            address,
            log,
            profiling,
            profiler,
            end: Notify::new(),
        };
        let control = Control::open(&folder, desk).unwrap_or_else(|(control, error)| {
            warnings.push(format!("`llm-proxy status` and its like cannot reach this proxy: {error}"));
            control
        });
        Ok(Self { control, warnings, notes, tasks, front, _folder: folder })
    }

    /// What the instance is called.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        self.handle().name()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.control.desk.address
    }

    /// What the user should know.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What it found of earlier runs.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How the instance moves on. Closed once it was closed and nothing is left of its engine.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.handle().watch()
    }

    /// Starts the engine now, without a request.
    pub fn wake(&self) {
        self.handle().start();
    }

    fn handle(&self) -> &Handle {
        &self.control.desk.handle
    }

    /// Connects to the login host, if there is one, with somebody who answers what it asks. What failed for want of that
    /// need not wait any longer.
    ///
    /// # Errors
    /// No connection can be made.
    pub async fn log_in(&self, person: &Person) -> Result<(), SshError> {
        let Some(client) = &self.control.desk.client else { return Ok(()) };
        let _turn = self.control.desk.asked.lock().await;
        client.connect_with(person).await?;
        self.handle().reset();
        Ok(())
    }

    /// Returns when somebody asked for the end by the control socket.
    pub async fn asked_to_end(&self) {
        self.control.desk.end.notified().await;
    }

    /// Begins the end: no request is admitted any more, what is in flight is finished, the engine is ended. With
    /// `hurry`, nothing is waited for.
    pub fn close(&self, hurry: bool) {
        self.handle().close(hurry);
    }

    /// Returns when the instance is down and verified gone.
    pub async fn closed(&self) {
        let mut snapshots = self.watch();
        while snapshots.changed().await.is_ok() {}
    }

    /// Ends the rest, in order: the listener, its connections, everything else.
    pub async fn finish(self) {
        self.front.no_more.cancel();
        self.front.tasks.close();
        if tokio::time::timeout(LINGER, self.front.tasks.wait()).await.is_err() {
            self.front.end_all.cancel();
        }
        self.control.finish().await;
        if let Some(client) = &self.control.desk.client {
            client.close().await;
        }
        self.tasks.close();
        drop(tokio::time::timeout(LINGER, self.tasks.wait()).await);
    }
}

/// The private socket, and what it gives access to.
struct Control {
    desk: Arc<Desk>,
    tasks: TaskTracker,
    no_more: CancellationToken,
    end: CancellationToken,
}

impl Control {
    /// Serves the socket. Where that cannot be, all else goes on without.
    fn open(folder: &StateFolder, desk: Desk) -> Result<Self, (Self, std::io::Error)> {
        let (no_more, end) = (CancellationToken::new(), CancellationToken::new());
        let this = Self { desk: Arc::new(desk), tasks: TaskTracker::new(), no_more, end };
        match ControlSocket::bind(folder) {
            Ok(socket) => {
                let (desk, tasks) = (Arc::clone(&this.desk), this.tasks.clone());
                let serving = control::serve(socket, desk, tasks, this.no_more.clone(), this.end.clone());
                this.tasks.spawn(serving);
                Ok(this)
            }
            Err(error) => Err((this, error)),
        }
    }

    /// Lets those who wait for the end hear of it.
    async fn finish(&self) {
        self.no_more.cancel();
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait()).await.is_err() {
            self.end.cancel();
            self.tasks.wait().await;
        }
    }
}
