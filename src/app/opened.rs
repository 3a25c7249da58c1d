//! One instance that is open: its task, its folder, its control socket.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clients::Clients;
use super::{AppError, InstanceSettings};
use crate::control::{self, ControlSocket, Desk};
use crate::fleet::{Member, StateFolder, left_behind};
use crate::host::{Host, LocalHost, SshHost};
use crate::id::InstanceName;
use crate::instance::{self, Handle, Parts, Snapshot};
use crate::launch::{KeptLog, Lives, Place, Record, RecordFile, RouteMemory};
use crate::ssh::{Person, SshClient, SshError};

/// Where an engine's log is kept, in its instance's state folder.
pub const ENGINE_LOG: &str = "engine.log";

/// How long those at the control socket may take to hear that the instance is gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the user is told of a beginning.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// An instance of which all is known, and nothing runs.
pub(super) struct Prepared {
    settings: InstanceSettings,
    folder: StateFolder,
    record: RecordFile,
    left_behind: Option<Record>,
    client: Option<SshClient>,
    log: KeptLog,
}

impl Prepared {
    /// Holds its folder, so that no other process has an instance of that name.
    pub(super) fn new(
        settings: InstanceSettings,
        root: &Path,
        clients: &Clients,
        tasks: &TaskTracker,
        told: &mut Told,
    ) -> Result<Self, AppError> {
        let folder = StateFolder::hold(root, &settings.name)?;
        let record = RecordFile::new(folder.path());
        let log = KeptLog::open(&folder.path().join(ENGINE_LOG)).unwrap_or_else(|error| {
            told.warnings.push(format!("the engine's log cannot be kept: {error}"));
            KeptLog::nowhere()
        });
        let host = settings.login.as_ref().map(|login| login.destination.as_str());
        let left_behind = left_behind::take(&record, host, &settings.plan, &mut told.notes)?;
        let client = settings.login.as_ref().map(|options| clients.of(options, tasks)).transpose()?;
        let warnings = client.iter().flat_map(SshClient::warnings).cloned();
        told.warnings.extend(warnings);
        Ok(Self { settings, folder, record, left_behind, client, log })
    }

    /// Starts the task that looks after it.
    pub(super) fn begin(
        self,
        address: SocketAddr,
        root: &Path,
        end: Arc<Notify>,
        tasks: &TaskTracker,
        told: &mut Told,
    ) -> (Opened, Member) {
        let Self { settings, folder, record, left_behind, client, log } = self;
        let host = match client.clone() {
            None => Host::Local(LocalHost),
            Some(client) => Host::Ssh(Arc::new(SshHost::new(client))),
        };
        let host_name = settings.login.as_ref().map(|login| login.destination.clone());
        let place = Place {
            host,
            host_name: host_name.clone(),
            login: settings.login,
            shell: settings.shell,
            record,
            log: log.clone(),
            routes: RouteMemory::new(root),
        };
        let idle_timeout = settings.policy.idle_timeout;
        let parts = Parts {
            name: settings.name,
            policy: settings.policy,
            questions: settings.questions,
            launcher: Box::new(Lives::new(place, settings.plan, tasks.clone()).left_with(left_behind)),
        };
        let handle = instance::start(parts, tasks);
        let member = Member { handle: handle.clone(), models: settings.models, idle_timeout };
        let desk = Desk { handle, client, asked: Mutex::new(()), host: host_name, address, log, end };
        let control = Control::open(&folder, desk).unwrap_or_else(|(control, error)| {
            told.warnings.push(format!("`llm-proxy status` and its like cannot reach this proxy: {error}"));
            control
        });
        (Opened { control, _folder: folder }, member)
    }
}

/// An instance that is open.
#[derive(Debug)]
pub struct Opened {
    control: Control,
    _folder: StateFolder,
}

impl Opened {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        self.handle().name()
    }

    /// How it moves on. Closed once it was closed and nothing is left of its engine.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.handle().watch()
    }

    /// Starts the engine now, without a request.
    pub fn wake(&self) {
        self.handle().start();
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

    /// Begins its end: see [`super::App::close`].
    pub(super) fn close(&self, hurry: bool) {
        self.handle().close(hurry);
    }

    /// Returns when it is down and verified gone.
    pub(super) async fn closed(&self) {
        let mut snapshots = self.watch();
        while snapshots.changed().await.is_ok() {}
    }

    /// Lets those who wait for the end hear of it.
    pub(super) async fn finish(&self) {
        self.control.finish().await;
    }

    fn handle(&self) -> &Handle {
        &self.control.desk.handle
    }
}

/// The private socket, and what it gives access to.
#[derive(Debug)]
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

    async fn finish(&self) {
        self.no_more.cancel();
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait()).await.is_err() {
            self.end.cancel();
            self.tasks.wait().await;
        }
    }
}
