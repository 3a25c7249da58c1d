//! The task of one life: from recorded to verified gone, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::attachment::{Attachment, Incoming};
use super::batch::Submission;
use super::log::Log;
use super::presence::{self, Presence, Subject};
use super::reconnect::Reconnect;
use super::routing::{Found, Search};
use super::scripts::Scripts;
use super::{EngineKey, LinkState, News, NewsSender, Order, Place, Plan, Record, Starter, VERSION, causes};
use crate::backend::Diagnosis;
use crate::host::HostError;
use crate::id::LifeId;
use crate::keeper::{ControlWord, Nonce, Report, Runner, Script};
use crate::secret::Key;

/// How long a host may take to start a shell, and that to run our script: a home folder may have to be mounted.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// The lease is renewed this many times within its length, so that a few lost words do not matter.
const RENEWALS_PER_LEASE: u32 = 10;

/// What a life is at.
pub(super) struct Life {
    pub(super) place: Arc<Place>,
    pub(super) plan: Arc<Plan>,
    pub(super) news: NewsSender,
    pub(super) tasks: TaskTracker,
    pub(super) id: LifeId,
    pub(super) runner: Runner,
    /// What the host is given to start the life.
    pub(super) launch: Script,
    pub(super) record: Record,
    pub(super) log: Log,
    /// How far it is known to have come.
    pub(super) stage: Stage,
    /// The machine that was reached last: behind the host's name there may be several.
    pub(super) here: Option<String>,
    /// What of it could not be found stays so from then on. See [`missing`](super::missing).
    pub(super) settles_at: Option<Instant>,
    /// Whether it is a job by itself. See [`batch`](super::batch).
    pub(super) submission: Submission,
    /// A launch that was asked for is known not to have happened, nor to happen later.
    pub(super) launch_again: bool,
    /// What we were ordered to do.
    pub(super) ordered: Option<Order>,
    /// When the order is to be enforced from outside, if the keeper does not carry it out.
    pub(super) enforce_at: Option<Instant>,
    /// How often in a row a look from outside saw nothing that fits what we know.
    pub(super) odd_looks: u32,
    /// Whether the runner was heard on the last attachment.
    pub(super) heard: bool,
    /// When it was last told, or may have been, that we are there.
    pub(super) renewed: Instant,
    /// Whether the instance was told that it ended.
    told_end: bool,
    link: LinkState,
    /// The public keys of the machine that it runs on, as its keeper saw them.
    pub(super) node_keys: Vec<String>,
    /// While a way to the engine is looked for.
    pub(super) search: Option<Search>,
}

/// How far a life is known to have come; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It is on disk here.
    Recorded,
    /// The host was given our script, and not yet told to start it.
    Met,
    /// The host was asked to start it: from now on it may exist.
    Asked,
    /// The host said that it exists.
    Launched,
    /// The keeper said hello.
    KeeperRuns,
    /// The keeper said that nothing is left.
    KeeperSaysGone,
}

/// Why an attachment was left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The connection is gone; the life may go on.
    LinkLost,
    /// Attach anew: a launch whose answer was lost had happened, or the runner is to look whether the launcher lives.
    Reattach,
    /// The machine that was reached does not know the life.
    Missing,
    /// The life is over; what is left of it is to be verified gone.
    Over,
}

impl Life {
    /// Lives a life, and tells that it is gone as its last act.
    pub(super) async fn live(
        place: Arc<Place>,
        plan: Arc<Plan>,
        news: NewsSender,
        tasks: TaskTracker,
        orders: mpsc::Receiver<Order>,
    ) {
        let gone = news.clone();
        match Self::begin(place, plan, news, tasks) {
            Ok(life) => life.run(orders).await,
            Err((news, diagnosis)) => news.send(News::Ended(diagnosis)).await,
        }
        gone.send(News::Gone).await;
    }

    fn begin(
        place: Arc<Place>,
        plan: Arc<Plan>,
        news: NewsSender,
        tasks: TaskTracker,
    ) -> Result<Self, (NewsSender, Diagnosis)> {
        let (Ok(id), Ok(nonce), Ok(key)) = (LifeId::random(), Nonce::random(), Key::random()) else {
            return Err((news, causes::no_random_bytes()));
        };
        let key = matches!(plan.engine_key, EngineKey::PerLife { .. }).then_some(key);
        let scripts = match Scripts::new(&plan, &id, &nonce, key.as_ref()) {
            Ok(scripts) => scripts,
            Err(error) => return Err((news, causes::command_not_written(&error))),
        };
        let job_name = match &plan.starter {
            Starter::Process => None,
            Starter::Slurm { job_name, .. } => Some(job_name.to_string()),
        };
        let record = Record {
            version: VERSION,
            instance: plan.instance.clone(),
            life: id.clone(),
            nonce: nonce.as_str().to_owned(),
            engine_key: key.clone(),
            host: place.host_name.clone(),
            job_name,
            machine: None,
            job: None,
            node: None,
            port: None,
            log_offset: 0,
            lease_s: plan.lease.as_secs(),
            lease_word: 0,
        };
        // The job's name is on disk before the job is asked for.
        if let Err(error) = place.record.write(&record) {
            return Err((news, causes::record_not_written(place.record.path(), &error)));
        }
        let log = place.log.clone();
        log.line(&format!("--- {}: a new engine is asked for ---", jiff::Zoned::now().strftime("%F %T")));
        Ok(Self {
            place,
            plan,
            news,
            tasks,
            id,
            runner: scripts.runner,
            launch: scripts.launch,
            record,
            log: Log::kept_in(log),
            stage: Stage::Recorded,
            here: None,
            settles_at: None,
            submission: Submission::NotTold,
            launch_again: false,
            ordered: None,
            enforce_at: None,
            odd_looks: 0,
            heard: false,
            renewed: Instant::now(),
            told_end: false,
            link: LinkState::default(),
            node_keys: Vec::new(),
            search: None,
        })
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut reconnect = Reconnect::default();
        while self.stage >= Stage::Asked || self.ordered.is_none() {
            let failed = match self.attach(&mut orders).await {
                Ok(Some(attachment)) => {
                    self.link(LinkState::Connected).await;
                    let left = self.follow(attachment, &mut orders).await;
                    if std::mem::take(&mut self.heard) {
                        reconnect.done();
                    }
                    match left {
                        Left::Over => break,
                        Left::LinkLost => None,
                        Left::Missing if self.missing(&mut orders).await => break,
                        Left::Reattach | Left::Missing => continue,
                    }
                }
                Ok(None) => continue,
                Err(error) if self.stage == Stage::Recorded => {
                    self.ended(causes::host_unreachable(&self.plan.instance, &error)).await;
                    break;
                }
                Err(error) => {
                    debug!(%error, "the host cannot be reached; the life goes on there");
                    Some(error)
                }
            };
            self.before_next_try(failed, &mut reconnect, &mut orders).await;
        }
        if self.stage >= Stage::Asked {
            self.see_it_gone(&mut orders).await;
        }
        if let Err(error) = self.place.record.remove() {
            warn!(%error, "the record of a life that is gone cannot be removed");
        }
    }

    /// Starts the life, or finds it. Nothing where an order came first.
    async fn attach(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<Option<Attachment>, HostError> {
        let program = tokio::select! {
            program = tokio::time::timeout(ANSWER_WITHIN, self.place.host.spawn(self.place.shell)) => {
                program.map_err(std::io::Error::from)??
            }
            Some(order) = orders.recv() => {
                self.ordered = Some(order);
                return Ok(None);
            }
        };
        let attach = self.attaching().map_err(std::io::Error::other)?;
        if self.stage < Stage::Asked {
            self.settle_binding().await.map_err(std::io::Error::other)?;
        }
        self.reach(Stage::Met);
        let launches = self.stage == Stage::Met || std::mem::take(&mut self.launch_again);
        let script = if launches { &self.launch } else { &attach };
        Ok(Some(Attachment::start(program, &self.runner.nonce, script, launches).await?))
    }

    /// Stays attached until the connection is lost or the life is over.
    async fn follow(&mut self, mut attachment: Attachment, orders: &mut mpsc::Receiver<Order>) -> Left {
        let (mut seen, mut watching) = self.watch();
        let mut keeper_ran = self.keeper_runs();
        let mut renewal = tokio::time::interval((self.plan.lease / RENEWALS_PER_LEASE).max(Duration::from_millis(100)));
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let silent_until = Instant::now() + ANSWER_WITHIN;
        loop {
            if keeper_ran != self.keeper_runs() {
                keeper_ran = true;
                drop(watching);
                (seen, watching) = self.watch();
            }
            let enforce_at = self.enforce_at.unwrap_or_else(Instant::now);
            let done = tokio::select! {
                incoming = attachment.next(&mut self.log) => match incoming {
                    Incoming::Log => {
                        self.tell_loading().await;
                        Ok(())
                    }
                    Incoming::Lost => return Left::LinkLost,
                    Incoming::Ended => return self.shell_ended(&mut attachment).await,
                    Incoming::Report(Report::Ended(code)) => {
                        self.launcher_ended(code, &mut attachment).await;
                        return Left::Over;
                    }
                    Incoming::Report(report) => match self.reported(report, &mut attachment).await {
                        Ok(Some(left)) => return left,
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    },
                },
                Some(order) = orders.recv() => {
                    self.ordered = Some(order);
                    self.end(&mut attachment).await
                }
                Some(presence) = seen.recv() => match self.seen(presence).await {
                    Some(left) => return left,
                    None => Ok(()),
                },
                found = answered(&mut self.search) => {
                    self.found(found).await;
                    Ok(())
                }
                () = tokio::time::sleep_until(silent_until), if !attachment.listens => {
                    return self.silent().await;
                }
                _ = renewal.tick(), if self.keeper_runs() && attachment.listens => self.renew(&mut attachment).await,
                () = tokio::time::sleep_until(enforce_at), if self.enforce_at.is_some() => {
                    match self.enforce().await {
                        Some(left) => return left,
                        None => Ok(()),
                    }
                }
            };
            if let Err(error) = done {
                debug!(%error, "the host does not take a word");
                return Left::LinkLost;
            }
        }
    }

    /// Looks from outside, beside what the keeper says.
    fn watch(&self) -> (mpsc::Receiver<Presence>, DropGuard) {
        let (sender, seen) = mpsc::channel(1);
        let done = CancellationToken::new();
        self.tasks.spawn(presence::watch(self.subject(), self.keeper_runs(), sender, done.clone()));
        (seen, done.drop_guard())
    }

    /// Whom to look for from outside.
    pub(super) fn subject(&self) -> Subject {
        let (place, plan) = (Arc::clone(&self.place), Arc::clone(&self.plan));
        Subject { place, plan, life: self.id.clone(), machine: self.record.machine.clone() }
    }

    pub(super) fn reach(&mut self, stage: Stage) {
        self.stage = self.stage.max(stage);
    }

    pub(super) fn keeper_runs(&self) -> bool {
        self.stage >= Stage::KeeperRuns
    }

    /// Tells once that the life ended, unless it was ordered to.
    pub(super) async fn ended(&mut self, diagnosis: Diagnosis) {
        if !std::mem::replace(&mut self.told_end, true) && self.ordered.is_none() {
            self.news.send(News::Ended(diagnosis)).await;
        }
    }

    async fn tell_loading(&mut self) {
        if let Some(loading) = self.log.take_loading() {
            self.news.send(News::Loading(loading)).await;
        }
    }

    async fn renew(&mut self, attachment: &mut Attachment) -> std::io::Result<()> {
        self.record.lease_word += 1;
        self.renewed = Instant::now();
        self.save();
        attachment.say(ControlWord::Alive(self.record.lease_word)).await
    }

    pub(super) async fn link(&mut self, link: LinkState) {
        // A login that was tried and not enough is told again: whoever tried it looks for that.
        if matches!(link, LinkState::NeedsLogin { .. }) || self.link.word() != link.word() {
            self.link = link.clone();
            self.news.send(News::Link(link)).await;
        }
    }

    pub(super) fn save(&mut self) {
        self.record.log_offset = self.log.offset;
        if let Err(error) = self.place.record.write(&self.record) {
            warn!(%error, "the life's record cannot be written: a later start could not find this engine again");
        }
    }
}

/// The answer of a search, once there is one.
async fn answered(search: &mut Option<Search>) -> Found {
    if let Some(search) = search
        && let Ok(found) = search.await
    {
        return found;
    }
    std::future::pending().await
}
