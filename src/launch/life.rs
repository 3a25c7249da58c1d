//! The task of one life: from recorded to verified gone, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::account::Account;
use super::attachment::{Attachment, Incoming};
use super::batch::Submission;
use super::download::Download;
use super::log::Log;
use super::presence::{self, Presence, Subject};
use super::reconnect::Reconnect;
use super::rerouting::blocked;
use super::routing::{Candidate, Found, Search};
use super::scripts::Scripts;
use super::{
    EngineKey, Fingerprint, Held, LinkState, LogMark, News, NewsSender, Order, Place, Plan, Record, Trials, VERSION,
    causes,
};
use crate::backend::{self, Diagnosis};
use crate::host::{Endpoint, HostError};
use crate::id::LifeId;
use crate::keeper::{ControlWord, Nonce, Report, Runner, Script};
use crate::route::Guide;
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
    /// What the host is given to start the life; none where an earlier process did.
    pub(super) launch: Option<Script>,
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
    /// The code of what the instance was told when it ended.
    told_end: Option<&'static str>,
    link: LinkState,
    /// Whether Slurm was last seen to let it stand still.
    pub(super) paused: bool,
    /// Has it looked at from outside at once.
    look: Arc<Notify>,
    /// The public keys of the machine that it runs on, as its keeper saw them.
    pub(super) node_keys: Vec<String>,
    /// Where its engine listens, once the keeper said so.
    pub(super) endpoint: Option<Endpoint>,
    /// What is seen of its model's download.
    pub(super) download: Download,
    /// What its machine told of its end.
    pub(super) account: Account,
    /// While a way to the engine is looked for.
    pub(super) search: Option<Search>,
    /// The routes that there are, once the engine listens.
    pub(super) candidates: Option<Arc<[Candidate]>>,
    /// Leads whoever dials, once a way was found.
    pub(super) guide: Option<Guide>,
    /// How many searches in a row found no other way.
    pub(super) in_vain: u32,
    /// Who wants to know which ways there are; none is then taken.
    pub(super) trials: Option<Trials>,
    /// What it has of this machine: given back when it is verified gone, before that is told.
    held: Held,
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

/// How a life begins in this process.
pub(super) enum Beginning {
    /// It is asked for, and has this.
    New(Held),
    /// It is found, where an earlier process left it, with this.
    LeftBehind(Box<Record>, Held),
    /// It is asked for, and of its routes none is taken: each is tried.
    Trial(Trials),
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
    /// Lives a life, a new one or one that an earlier process left behind, and tells that it is gone as its last act.
    pub(super) async fn live(
        place: Arc<Place>,
        plan: Arc<Plan>,
        beginning: Beginning,
        news: NewsSender,
        tasks: TaskTracker,
        orders: mpsc::Receiver<Order>,
        look: Arc<Notify>,
    ) {
        let begun = match beginning {
            Beginning::New(held) => Self::begin(place, &plan, held, news.clone(), tasks),
            Beginning::LeftBehind(record, held) => {
                Self::resume(place, &plan, *record, news.clone(), tasks).map(|life| Self { held, ..life })
            }
            Beginning::Trial(trials) => Self::begin(place, &plan, Held::default(), news.clone(), tasks)
                .map(|life| Self { trials: Some(trials), ..life }),
        };
        match begun {
            Ok(life) => Self { look, ..life }.run(orders).await,
            Err(diagnosis) => news.send(News::Ended(diagnosis)).await,
        }
        news.send(News::Gone).await;
    }

    fn begin(
        place: Arc<Place>,
        wanted: &Plan,
        held: Held,
        news: NewsSender,
        tasks: TaskTracker,
    ) -> Result<Self, Diagnosis> {
        let plan = Arc::new(held.fit(wanted));
        let (Ok(id), Ok(nonce), Ok(key)) = (LifeId::random(), Nonce::random(), Key::random()) else {
            return Err(causes::no_random_bytes());
        };
        let key = matches!(plan.engine_key, EngineKey::PerLife { .. }).then_some(key);
        let scripts =
            Scripts::new(&plan, &id, &nonce, key.as_ref()).map_err(|error| causes::command_not_written(&error))?;
        place.log.line(&format!("--- {}: a new engine is asked for ---", jiff::Zoned::now().strftime("%F %T")));
        let record = Record {
            version: VERSION,
            instance: plan.instance.clone(),
            life: id,
            nonce: nonce.as_str().to_owned(),
            engine_key: key,
            login: place.login.clone(),
            shell: place.shell,
            starter: plan.starter.clone(),
            plan: Fingerprint::of(wanted),
            machine: None,
            job: None,
            node: None,
            log: LogMark { offset: 0, kept: place.log.length(), inode: place.log.inode() },
            lease_s: plan.lease.as_secs(),
            lease_word: 0,
            stop_s: plan.stop_timeout.as_secs(),
            ending: false,
            share: Some(held.share.clone()),
        };
        // The job's name is on disk before the job is asked for.
        place.record.write(&record).map_err(|error| causes::record_not_written(place.record.path(), &error))?;
        let life = Self::new(place, plan, record, scripts.runner, Some(scripts.launch), news, tasks);
        Ok(Self { held, ..life })
    }

    /// At its very beginning, as far as this process knows.
    pub(super) fn new(
        place: Arc<Place>,
        plan: Arc<Plan>,
        record: Record,
        runner: Runner,
        launch: Option<Script>,
        news: NewsSender,
        tasks: TaskTracker,
    ) -> Self {
        let log = Log::kept_in(place.log.clone(), record.log);
        let download = Download::new(&plan);
        Self {
            place,
            plan,
            news,
            tasks,
            id: record.life.clone(),
            runner,
            launch,
            record,
            log,
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
            told_end: None,
            link: LinkState::default(),
            paused: false,
            look: Arc::default(),
            node_keys: Vec::new(),
            endpoint: None,
            download,
            account: Account::default(),
            search: None,
            candidates: None,
            guide: None,
            in_vain: 0,
            trials: None,
            held: Held::default(),
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut reconnect = Reconnect::default();
        if !self.held.share.gpus.is_empty() {
            self.news.send(News::Gpus(self.held.share.gpus.clone())).await;
        }
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
                self.ordered(order);
                return Ok(None);
            }
        };
        let attach = self.attaching().map_err(std::io::Error::other)?;
        if self.stage < Stage::Asked {
            self.settle_binding().await.map_err(std::io::Error::other)?;
        }
        self.reach(Stage::Met);
        let launches = self.stage == Stage::Met || std::mem::take(&mut self.launch_again);
        let script = self.launch.as_ref().filter(|_| launches).unwrap_or(&attach);
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
                    self.ordered(order);
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
                why = blocked(&mut self.guide) => {
                    self.blocked(&why);
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
        let look = Arc::clone(&self.look);
        self.tasks.spawn(presence::watch(self.subject(), self.keeper_runs(), sender, look, done.clone()));
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

    /// An order was given: from now on its end is what is wanted, whoever looks after it.
    pub(super) fn ordered(&mut self, order: Order) {
        self.ordered = Some(order);
        self.stop_looking();
        if !std::mem::replace(&mut self.record.ending, true) {
            self.save();
        }
    }

    pub(super) fn keeper_runs(&self) -> bool {
        self.stage >= Stage::KeeperRuns
    }

    /// Tells once that the life ended, unless it was ordered to. Of an engine that was killed by nobody knows whom, it is told
    /// again who it was: its keeper sees it die a moment before Slurm says why.
    pub(super) async fn ended(&mut self, diagnosis: Diagnosis) {
        self.stop_looking();
        let tells = match self.told_end {
            None if self.ordered.is_some() => return,
            None => true,
            Some(told) => told == backend::KILLED && diagnosis.is_slurms(),
        };
        if tells {
            self.told_end = Some(diagnosis.code);
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
        attachment.say(ControlWord::Alive(self.record.lease_word)).await?;
        self.news.send(News::Lease(self.renewed + self.plan.lease)).await;
        Ok(())
    }

    pub(super) async fn link(&mut self, link: LinkState) {
        // A login that was tried and not enough is told again: whoever tried it looks for that.
        if matches!(link, LinkState::NeedsLogin { .. }) || self.link.word() != link.word() {
            self.link = link.clone();
            self.news.send(News::Link(link)).await;
        }
    }

    pub(super) fn save(&mut self) {
        self.record.log = self.log.mark();
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
