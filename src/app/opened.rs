//! One instance that is open: its task, its folder, its control socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clients::Clients;
use super::{AppError, InstanceSettings};
use crate::api::{Status, Wanted};
use crate::control::{self, ControlSocket, Desk, End, Reach};
use crate::fleet::{Member, NoPlace, Places, Seat, StateFolder, left_behind, open_engine_log};
use crate::host::{Host, LocalHost, SshHost};
use crate::id::InstanceName;
use crate::instance::{self, Handle, Parts, Replacement, Snapshot};
use crate::launch::{
    Fingerprint, Gate, Held, KeptLog, Lives, Needs, Place, Record, RecordFile, RouteMemory, Starter, Traces,
    write_whole,
};
use crate::ssh::{Person, SshClient, SshError};

/// How long those at the control socket may take to hear that the instance is gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the user is told of a beginning.
#[derive(Debug, Default)]
pub struct Told {
    /// What he should know.
    pub warnings: Vec<String>,
    /// What was found of earlier runs.
    pub notes: Vec<String>,
}

/// What stands around an instance.
pub(super) struct Around<'a> {
    pub(super) address: SocketAddr,
    pub(super) root: &'a Path,
    pub(super) end: Arc<End>,
    /// Whether callers of the API asked for it.
    pub(super) by_callers: bool,
    pub(super) places: &'a Places,
    pub(super) tasks: &'a TaskTracker,
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
        let log = open_engine_log(&folder, &settings.name, settings.logs.as_deref(), &mut told.warnings);
        let host = settings.login.as_ref().map(|login| login.destination.as_str());
        let left_behind = left_behind::take(&record, host, &settings.plan, &mut told.notes)?;
        let client = settings.login.as_ref().map(|options| clients.of(options, tasks)).transpose()?;
        let warnings = client.iter().flat_map(SshClient::warnings).cloned();
        told.warnings.extend(warnings);
        Ok(Self { settings, folder, record, left_behind, client, log })
    }

    /// Starts the task that looks after it.
    pub(super) fn begin(self, around: Around<'_>, told: &mut Told) -> (Opened, Member) {
        let Around { address, root, end, by_callers, places, tasks } = around;
        let Self { settings, folder, record, left_behind, client, log } = self;
        let (name, models, idle_timeout) =
            (settings.name.clone(), settings.models.clone(), settings.policy.idle_timeout);
        let replica = settings.replica.clone();
        let identity = std::sync::Mutex::new(Identity::of(&settings));
        let files = folder.path().to_owned();
        let by_callers = AtomicBool::new(by_callers);
        let here = Here::of(&settings, places);
        let place = Surroundings {
            root: root.to_owned(),
            record,
            log: log.clone(),
            places: places.clone(),
            tasks: tasks.clone(),
        };
        let (reach, Replacement { policy, questions, launcher, .. }) = place.settle(settings, client, left_behind);
        let handle = instance::start(Parts { name, policy, questions, launcher }, tasks);
        if here.is_some() {
            places.watch(&handle, tasks);
        }
        let member = Member::new(handle.clone(), models, idle_timeout).as_replica(replica);
        let desk = Desk { handle, reach: watch::Sender::new(reach), asked: Mutex::new(()), address, log, end };
        let control = Control::open(&folder, desk).unwrap_or_else(|(control, error)| {
            told.warnings.push(format!("`llm-proxy status` and its like cannot reach this proxy: {error}"));
            control
        });
        let folder = std::sync::Mutex::new(Some(folder));
        (
            Opened {
                control,
                place,
                identity,
                here: std::sync::Mutex::new(here),
                idle_timeout,
                by_callers,
                closing: AtomicBool::new(false),
                files,
                folder,
            },
            member,
        )
    }
}

/// By what an engine is known to be the one that is wanted: what it runs, and on which host.
#[derive(Debug, PartialEq)]
struct Identity {
    fingerprint: Fingerprint,
    /// All that leads to its host.
    login: Option<String>,
}

impl Identity {
    fn of(settings: &InstanceSettings) -> Self {
        let login = settings.login.as_ref().map(|login| serde_json::to_string(login).unwrap_or_default());
        Self { fingerprint: Fingerprint::of(&settings.plan), login }
    }
}

/// What an instance that runs on this machine needs of it, and where it waits for that.
#[derive(Clone, Debug)]
struct Here {
    seat: Seat,
    needs: Needs,
}

impl Here {
    /// Nothing where its engine is Slurm's, or another machine's.
    fn of(settings: &InstanceSettings, places: &Places) -> Option<Self> {
        let is_here = settings.login.is_none() && settings.plan.starter == Starter::Process;
        let seat = Seat::new(places.clone(), settings.name.clone());
        is_here.then(|| Self {
            seat: match &settings.replica {
                Some(replica) => seat.in_group(replica.group.name.clone()),
                None => seat,
            },
            needs: settings.plan.needs.clone(),
        })
    }
}

/// Keeps what the instance of these settings needs for its start, where it is to run on this machine.
pub(super) async fn reserve(settings: &InstanceSettings, places: &Places) -> Result<(), NoPlace> {
    match Here::of(settings, places) {
        Some(here) => here.seat.reserve(&here.needs).await,
        None => Ok(()),
    }
}

/// What stays the same when an instance becomes another.
#[derive(Debug)]
struct Surroundings {
    root: PathBuf,
    record: RecordFile,
    log: KeptLog,
    places: Places,
    tasks: TaskTracker,
}

impl Surroundings {
    /// How its host is reached, and who starts its engine.
    fn settle(
        &self,
        settings: InstanceSettings,
        client: Option<SshClient>,
        left_behind: Option<Record>,
    ) -> (Reach, Replacement) {
        let host = match client.clone() {
            None => Host::Local(LocalHost),
            Some(client) => Host::Ssh(Arc::new(SshHost::new(client))),
        };
        let host_name = settings.login.as_ref().map(|login| login.destination.clone());
        let gate = Here::of(&settings, &self.places).map(|here| Arc::new(here.seat) as Arc<dyn Gate>);
        let left_behind = left_behind.map(|record| {
            let held = self.adopted(&settings.name, &record);
            (record, held)
        });
        let place = Place {
            host,
            host_name: host_name.clone(),
            login: settings.login,
            shell: settings.shell,
            record: self.record.clone(),
            log: self.log.clone(),
            routes: RouteMemory::new(&self.root),
        };
        let profiling = settings.plan.profiling.clone();
        let routes = profiling.as_ref().and_then(|profiling| profiling.routes(settings.plan.backend));
        let profiler = routes.zip(Traces::of(&place, &settings.plan));
        let launcher = Lives::new(place, settings.plan, self.tasks.clone()).behind(gate).left_with(left_behind);
        let reach = Reach { models: settings.models, client, host: host_name, profiling, profiler };
        let (policy, questions) = (settings.policy, settings.questions);
        (reach, Replacement { policy, questions, launcher: Box::new(launcher), same_engine: true })
    }
}

impl Surroundings {
    /// What a life has that was left behind on this machine, wherever the next one is to be.
    fn adopted(&self, name: &InstanceName, record: &Record) -> Held {
        match (&record.login, &record.starter) {
            (None, Starter::Process) => Seat::new(self.places.clone(), name.clone()).adopt(record.share.as_ref()),
            (None | Some(_), Starter::Slurm { .. }) | (Some(_), Starter::Process) => Held::default(),
        }
    }
}

/// An instance that is open.
#[derive(Debug)]
pub struct Opened {
    control: Control,
    place: Surroundings,
    identity: std::sync::Mutex<Identity>,
    /// Nothing where its engine is not on this machine.
    here: std::sync::Mutex<Option<Here>>,
    idle_timeout: Option<Duration>,
    by_callers: AtomicBool,
    closing: AtomicBool,
    files: PathBuf,
    /// Nothing once it was let go of.
    folder: std::sync::Mutex<Option<StateFolder>>,
}

/// What a caller asked for, in the instance's folder.
const ASKED: &str = "asked.json";

/// What a caller asked for, and whom.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// See [`super::Callers::of`].
    pub(super) of: String,
    /// Nothing once it was deleted: then only the name is theirs.
    pub(super) wanted: Option<Wanted>,
}

impl Asked {
    /// What was kept in the folder of an instance.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(ASKED)).ok()?).ok()
    }
}

impl Opened {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        self.handle().name()
    }

    /// How long its engine may be idle, as it was when it was opened; none: for ever.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
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

    /// Starts the engine now, if nobody else has what it needs of this machine.
    ///
    /// # Errors
    /// Who has what, or what there is not.
    pub(super) async fn start(&self) -> Result<(), NoPlace> {
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(Here { seat, needs }) = here.filter(|_| self.watch().borrow().phase.is_down()) {
            seat.reserve(&needs).await?;
        }
        self.wake();
        Ok(())
    }

    /// Connects to the login host, if there is one, with somebody who answers what it asks. What failed for want of that
    /// need not wait any longer.
    ///
    /// # Errors
    /// No connection can be made.
    pub async fn log_in(&self, person: &Person) -> Result<(), SshError> {
        let Some(client) = self.control.desk.reach.borrow().client.clone() else { return Ok(()) };
        let _turn = self.control.desk.asked.lock().await;
        client.connect_with(person).await?;
        self.handle().reset();
        Ok(())
    }

    /// Gives it other settings, and says how requests find it, and whether its engine is another from its next life on.
    pub(super) fn replace(&self, settings: InstanceSettings, clients: &Clients) -> Result<(Member, bool), SshError> {
        let client = settings.login.as_ref().map(|options| clients.of(options, &self.place.tasks)).transpose()?;
        let (models, idle_timeout) = (settings.models.clone(), settings.policy.idle_timeout);
        let replica = settings.replica.clone();
        let identity = Identity::of(&settings);
        let mut known = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let same_engine = *known == identity;
        *known = identity;
        let here = Here::of(&settings, &self.place.places);
        let mut was_here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.is_some() && was_here.is_none() {
            self.place.places.watch(self.handle(), &self.place.tasks);
        }
        *was_here = here;
        drop(was_here);
        let (reach, replacement) = self.place.settle(settings, client, None);
        self.control.desk.reach.send_replace(reach);
        self.handle().replace(Replacement { same_engine, ..replacement });
        let member = Member::new(self.handle().clone(), models, idle_timeout).as_replica(replica);
        Ok((member, !same_engine))
    }

    /// Whether callers of the API asked for it, and no file.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        self.by_callers.load(Ordering::Relaxed)
    }

    /// It is the file's from now on, whoever asked for it before.
    pub(super) fn give_to_file(&self) {
        self.by_callers.store(false, Ordering::Relaxed);
        // It may never have been there.
        let _ = std::fs::remove_file(self.files.join(ASKED));
    }

    /// Whether its end has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Whether these settings lead to the host that it is on.
    pub(super) fn is_on_the_same_host(&self, settings: &InstanceSettings) -> bool {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).login == Identity::of(settings).login
    }

    /// Whether these settings are of the engine that it has.
    pub(super) fn is_the_same(&self, settings: &InstanceSettings) -> bool {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) == Identity::of(settings)
    }

    /// Keeps what a caller asked for, so that the next start asks again.
    pub(super) fn keep(&self, asked: &Asked) -> std::io::Result<()> {
        write_whole(&self.files.join(ASKED), asked)
    }

    /// Where it stands, in the words of the outside world.
    pub(super) fn status(&self) -> Status {
        let desk = &self.control.desk;
        control::status(desk, &desk.handle.snapshot())
    }

    /// Its engine's log.
    pub(super) fn log(&self) -> &KeptLog {
        &self.control.desk.log
    }

    /// Begins its end: see [`super::App::close`].
    pub(super) fn close(&self, hurry: bool) {
        self.closing.store(true, Ordering::Relaxed);
        self.handle().close(hurry);
    }

    /// Returns when it is down and verified gone.
    pub(super) async fn closed(&self) {
        self.handle().closed().await;
    }

    /// Lets those who wait for the end hear of it, and another have the folder.
    pub(super) async fn finish(&self) {
        self.control.finish().await;
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn handle(&self) -> &Handle {
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
