//! The one task that owns an instance: feeds what happens into [`State::step`], and carries out what it decides.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::readiness::{self, Questions};
use super::silence::Heartbeat;
use super::{
    Command, Effect, Entrance, Event, Handle, Life, LifeEvent, Permit, Phase, Policy, Refusal, Snapshot, State, Waiter,
};
use super::{policy, silence};
use crate::backend::{Diagnosis, Loading};
use crate::id::{GpuIndex, InstanceName};
use crate::launch::{Launcher, LinkState, News, NewsSender, Order, Orders};
use crate::route::{HungUp, Taken, Upstream};

/// News of one life that may wait to be read; a life waits to tell more.
const NEWS_CAPACITY: usize = 64;

/// How often it is told anew how many requests hold an instance.
const COUNT_EVERY: Duration = Duration::from_millis(20);

/// Names of what could not be ended that are kept: more help nobody.
const LEFT_CAPACITY: usize = 32;

/// What an instance is made of.
pub struct Parts {
    /// What it is called.
    pub name: InstanceName,
    /// Its limits.
    pub policy: Policy,
    /// What its engine is asked.
    pub questions: Questions,
    /// Who starts its engine.
    pub launcher: Box<dyn Launcher>,
}

/// What an instance is made of from its next life on.
pub struct Replacement {
    /// Its limits.
    pub policy: Policy,
    /// What its engine is asked.
    pub questions: Questions,
    /// Who starts its engine.
    pub launcher: Box<dyn Launcher>,
    /// Whether an engine that runs is still the one that is wanted.
    pub same_engine: bool,
}

impl fmt::Debug for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replacement").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Starts the task that owns an instance. It ends once it was closed and nothing is left of its engine.
#[must_use]
pub fn start(parts: Parts, tasks: &TaskTracker) -> Handle {
    let (commands, inbox) = mpsc::unbounded_channel();
    let (snapshots, seen) = watch::channel(Snapshot::default());
    let (entrance, shown) = watch::channel(None);
    let handle = Handle::new(parts.name, commands.clone(), seen, shown);
    let (news, told) = mpsc::channel(NEWS_CAPACITY);
    let (answers, answered) = mpsc::channel(NEWS_CAPACITY);
    let actor = Actor {
        state: State::default(),
        policy: parts.policy,
        questions: parts.questions,
        launcher: parts.launcher,
        next: None,
        commands,
        news,
        answers,
        snapshots,
        waiters: HashMap::new(),
        orders: None,
        upstream: None,
        entrance,
        counted: Instant::now(),
        count_at: None,
        asking: CancellationToken::new(),
        link: LinkState::default(),
        loading: None,
        route: None,
        lease_end: None,
        gpus: Vec::new(),
        left: Vec::new(),
        since: Instant::now(),
        tasks: tasks.clone(),
    };
    tasks.spawn(actor.run(inbox, told, answered));
    handle
}

/// What the engine answered to one of our questions.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Ready,
    Busy(bool),
    /// Nothing was heard of it for so long.
    Hung(Duration),
}

struct Actor {
    state: State,
    policy: Policy,
    questions: Questions,
    launcher: Box<dyn Launcher>,
    /// What takes the place of these three once the current life is gone.
    next: Option<Box<Replacement>>,
    commands: mpsc::UnboundedSender<Command>,
    news: mpsc::Sender<(u64, News)>,
    answers: mpsc::Sender<(u64, Answer)>,
    snapshots: watch::Sender<Snapshot>,
    waiters: HashMap<Waiter, oneshot::Sender<Result<Permit, Refusal>>>,
    orders: Option<Orders>,
    upstream: Option<Arc<Upstream>>,
    /// Of the life that the upstream is of.
    entrance: watch::Sender<Option<Arc<Entrance>>>,
    /// When it was last looked who came and went by the open entrance, and when that is to be.
    counted: Instant,
    count_at: Option<Instant>,
    /// Ends the questions to the current life's engine.
    asking: CancellationToken,
    link: LinkState,
    /// Of the life that starts; nothing is decided by it.
    loading: Option<Loading>,
    route: Option<Taken>,
    lease_end: Option<Instant>,
    /// What the current life has of this machine.
    gpus: Vec<GpuIndex>,
    /// What no life of this proxy could end, by name.
    left: Vec<String>,
    since: Instant,
    tasks: TaskTracker,
}

impl Actor {
    async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Command>,
        mut told: mpsc::Receiver<(u64, News)>,
        mut answered: mpsc::Receiver<(u64, Answer)>,
    ) {
        if let Some(left_behind) = self.launcher.left_behind() {
            self.step(Event::Resume(left_behind));
            self.publish();
        }
        while !(self.state.closing && self.state.is_down()) {
            let (deadline, count_at) = (self.state.deadline(&self.policy), self.count_at);
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some((number, news)) = told.recv() => self.heard(number, news),
                Some((number, answer)) = answered.recv() => self.answer(number, answer),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.step(Event::Tick);
                }
                () = tokio::time::sleep_until(count_at.unwrap_or_else(Instant::now)), if count_at.is_some() => {
                    self.count();
                }
            }
            self.publish();
            self.let_in();
        }
        debug!("the instance is closed");
        // Before the inbox, by whose end others know.
        drop(self);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Acquire { waiter, party, hold, answer } => {
                self.waiters.insert(waiter, answer);
                self.step(Event::Acquire(waiter, party, hold));
            }
            Command::TryAcquire { waiter, hold, answer } => {
                self.waiters.insert(waiter, answer);
                self.step(Event::TryAcquire(waiter, hold));
            }
            Command::Abandon(waiter) => {
                self.waiters.remove(&waiter);
                self.step(Event::Abandon(waiter));
            }
            // Each step begins with who is there.
            Command::Release(..) => self.count(),
            Command::Moved => self.count_at = Some(self.counted + COUNT_EVERY),
            Command::Yield { life, drain } => self.step(Event::Yield { life, drain }),
            Command::Nudge => self.step(Event::Nudge),
            Command::Start => self.step(Event::Start),
            Command::Reset => {
                if let LinkState::NeedsLogin { since, .. } = self.link {
                    // Whoever is served by that life comes back to it by itself now.
                    self.link = LinkState::Reconnecting { since };
                }
                self.step(Event::Reset);
            }
            Command::Replace(next) => {
                let ends = !next.same_engine;
                // Of two in a row, only the later one comes to be; but the first has ended the engine already.
                self.next = Some(next);
                if ends {
                    self.step(Event::Replace);
                }
                if !ends || self.state.is_down() {
                    self.become_next();
                    // Where its engine may have more now, those who wait need not wait for another event.
                    self.step(Event::Tick);
                }
            }
            Command::Stop { hurry: false } => self.step(Event::Stop),
            Command::Stop { hurry: true } => {
                self.step(Event::Stop);
                self.step(Event::Hurry);
            }
            Command::Close { hurry: false } => self.step(Event::Close),
            Command::Close { hurry: true } => {
                self.step(Event::Close);
                self.step(Event::Hurry);
            }
        }
    }

    fn heard(&mut self, number: u64, news: News) {
        if number != self.state.number {
            return;
        }
        let event = match news {
            News::Queued { job, reason, expected_start } => LifeEvent::Queued { job, reason, expected_start },
            News::Starting { job, node } => LifeEvent::Starting { job, node },
            News::Listening(upstream, taken) => {
                self.route = Some(taken);
                self.upstream = Some(Arc::clone(&upstream));
                let entrance = Entrance::new(Arc::clone(&upstream), number, self.commands.clone());
                self.entrance.send_replace(Some(entrance));
                let asked = readiness::until_ready(upstream, self.questions.clone());
                self.ask(async move {
                    {
                        asked.await;
                        Answer::Ready
                    }
                });
                return;
            }
            News::Routed(taken) => {
                self.route = Some(taken);
                self.step(Event::Unreachable(None));
                return;
            }
            News::Unreachable(diagnosis) => {
                self.route = None;
                self.step(Event::Unreachable(Some(diagnosis)));
                return;
            }
            News::Gpus(gpus) => {
                self.gpus = gpus;
                return;
            }
            News::Walltime(allowance) => LifeEvent::Walltime(allowance),
            News::Paused(paused) => LifeEvent::Paused(paused),
            News::Lease(end) => {
                self.lease_end = Some(end);
                return;
            }
            News::Loading(loading) => {
                self.loading = Some(loading);
                return;
            }
            News::Link(link) => {
                self.link = link;
                self.step(Event::Login(self.login_needed()));
                return;
            }
            News::Ended(diagnosis) => {
                self.asking.cancel();
                LifeEvent::Ended(diagnosis)
            }
            News::Left(left) => {
                self.leave(left);
                return;
            }
            News::Gone => {
                self.let_go();
                LifeEvent::Gone
            }
        };
        self.step(Event::Life(event));
    }

    /// Of a life that is gone nothing is held any more: least of all its way, which may be a process on the host.
    fn let_go(&mut self) {
        self.asking.cancel();
        self.shut();
        self.entrance.send_replace(None);
        self.orders = None;
        self.upstream = None;
        self.route = None;
        self.lease_end = None;
        self.gpus = Vec::new();
        self.link = LinkState::default();
    }

    fn leave(&mut self, left: Vec<String>) {
        for line in left {
            if self.left.len() < LEFT_CAPACITY && !self.left.contains(&line) {
                self.left.push(line);
            }
        }
    }

    /// Why only a person can bring the link back, if so.
    fn login_needed(&self) -> Option<Diagnosis> {
        match &self.link {
            LinkState::Connected | LinkState::Reconnecting { .. } => None,
            LinkState::NeedsLogin { why, .. } => Some(why.clone()),
        }
    }

    fn answer(&mut self, number: u64, answer: Answer) {
        if number != self.state.number {
            return;
        }
        match answer {
            Answer::Ready => {
                self.step(Event::Life(LifeEvent::Ready));
                self.watch_for_silence();
            }
            Answer::Hung(silence) => {
                // What it has not said by now, it will not say.
                self.hang_up(HungUp::Hangs);
                self.step(Event::Life(LifeEvent::Ended(policy::hung(silence))));
            }
            Answer::Busy(busy) => self.step(Event::Busy(busy)),
        }
    }

    /// Looks who came and went.
    fn count(&mut self) {
        self.count_at = None;
        self.counted = Instant::now();
        if let Some(entrance) = &*self.entrance.borrow() {
            entrance.is_looked_at();
        }
        self.shut();
    }

    /// What is decided is decided while nobody enters by himself, and of those who are there then.
    fn shut(&mut self) {
        let held = self.entrance.borrow().as_ref().map(|entrance| entrance.shut());
        if let Some(held) = held {
            self.take_in(Event::Held(held));
        }
    }

    fn let_in(&self) {
        if self.state.lets_in(&self.policy)
            && let Some(entrance) = &*self.entrance.borrow()
        {
            entrance.open();
        }
    }

    fn step(&mut self, event: Event) {
        self.shut();
        self.take_in(event);
    }

    fn take_in(&mut self, event: Event) {
        let kind = |state: &State| (std::mem::discriminant(&state.life), state.unreachable.is_some());
        let before = kind(&self.state);
        let (state, effects) = std::mem::take(&mut self.state).step(event, Instant::now(), &self.policy);
        self.state = state;
        if kind(&self.state) != before {
            self.since = Instant::now();
            debug!(life = self.state.number, state = ?self.state.life, "the instance moved on");
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Launch(number) => {
                self.become_next();
                info!(life = number, "starting the engine");
                self.asking = CancellationToken::new();
                self.loading = None;
                self.entrance.send_replace(None);
                self.orders = Some(self.launcher.launch(NewsSender::new(number, self.news.clone())));
            }
            Effect::End => self.order(Order::End),
            Effect::HangUp => self.hang_up(HungUp::Ended),
            Effect::Kill => self.order(Order::Kill),
            Effect::Grant(waiter, hold) => {
                let Some(answer) = self.waiters.remove(&waiter) else { return };
                let permit = self.entrance.borrow().as_ref().map(|entrance| entrance.admit(hold));
                // Where the client has just left, the permit comes back to us here and is released by its drop.
                drop(permit.map(|permit| answer.send(Ok(permit))));
            }
            Effect::Decline(waiter) => drop(self.waiters.remove(&waiter)),
            Effect::Refuse(waiter, refusal) => {
                if let Some(answer) = self.waiters.remove(&waiter) {
                    drop(answer.send(Err(refusal)));
                }
            }
            Effect::AskBusy => match &self.upstream {
                Some(upstream) => {
                    let asked = readiness::is_busy(Arc::clone(upstream), self.questions.clone());
                    self.ask(async move { Answer::Busy(asked.await) });
                }
                None => self.step(Event::Busy(false)),
            },
        }
    }

    fn become_next(&mut self) {
        if let Some(next) = self.next.take() {
            (self.policy, self.questions, self.launcher) = (next.policy, next.questions, next.launcher);
        }
    }

    fn hang_up(&self, why: HungUp) {
        if let Some(upstream) = &self.upstream {
            upstream.hang_up(why);
        }
    }

    fn order(&mut self, order: Order) {
        self.asking.cancel();
        if let Some(orders) = &self.orders {
            orders.give(order);
        }
    }

    /// Asks the engine something in a task of its own, which ends with the life.
    fn ask(&self, question: impl Future<Output = Answer> + Send + 'static) {
        let (asking, answers, number) = (self.asking.clone(), self.answers.clone(), self.state.number);
        self.tasks.spawn(async move {
            if let Some(answer) = asking.run_until_cancelled(question).await {
                let _ = answers.send((number, answer)).await;
            }
        });
    }

    /// Looks now and then whether the engine still says anything.
    fn watch_for_silence(&self) {
        let (Some(upstream), Some(orders)) = (&self.upstream, &self.orders) else { return };
        if let Some(limit) = self.policy.hung_timeout {
            let (upstream, orders, seen) = (Arc::clone(upstream), orders.clone(), self.snapshots.subscribe());
            let questions = self.questions.clone();
            let heartbeat = Heartbeat { interval: self.policy.heartbeat_interval, limit };
            self.ask(async move {
                silence::until_hung(upstream, questions, orders, seen, heartbeat).await;
                Answer::Hung(limit)
            });
        }
    }

    fn publish(&self) {
        let snapshot = Snapshot {
            life: self.state.number,
            phase: Phase::of(&self.state),
            job: self.state.job,
            node: self.state.node.clone(),
            in_flight: self.state.in_flight(),
            inference: self.state.inference,
            waiting: self.state.waiting.len(),
            link: self.link.clone(),
            paused: self.state.is_paused(),
            since: self.since,
            route: self.route.clone(),
            loading: self.loading.clone().filter(|_| matches!(self.state.life, Life::Starting { .. })),
            idle_stop: self.state.idle_stop(&self.policy),
            walltime_end: self.state.walltime.map(|walltime| walltime.end),
            lease_end: self.lease_end,
            gpus: self.gpus.clone(),
            idle_since: self.state.idle_since(),
            ready_since: self.state.ready_since,
            stays: self.policy.idle_timeout.is_none(),
            left: self.left.clone(),
        };
        self.snapshots.send_if_modified(|seen| {
            let changed = *seen != snapshot;
            *seen = snapshot;
            changed
        });
    }
}
