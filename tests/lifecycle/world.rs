//! The world around one instance, and what must hold in it whatever happens.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use llm_proxy::backend::Diagnosis;
use llm_proxy::instance::{Effect, Event, Held, Hold, Life, LifeEvent, Party, Policy, Refusal, State, Waiter};
use llm_proxy::launch::{Allowance, LeftBehind};
use proptest::prelude::*;
use tokio::time::Instant;

/// What may happen; numbers choose among what is there.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Acquire(bool),
    TryAcquire,
    /// A request comes to the entrance, and enters by itself if it is open.
    Enter(bool),
    Abandon(usize),
    Release(usize),
    Nudge,
    Start,
    Resume(LeftBehind),
    Reset,
    Login(bool),
    /// No way leads to the engine any more; or one does again.
    Unreachable(bool),
    Queued,
    Starting,
    Ready,
    Ended,
    Gone,
    /// Slurm says for how many milliseconds the job may still run, and of how many in all; or that there is no limit.
    Walltime(Option<(u64, u64)>),
    Paused(bool),
    Busy(bool),
    Stop,
    Replace,
    /// Others want what it has, and a busy one is to let nobody else in; or only an idle one is to end.
    Yield(bool),
    Close,
    Hurry,
    /// Time passes, and the clock strikes where it was set to.
    Advance(u64),
    /// Time passes, and the clock is late.
    Pass(u64),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<bool>().prop_map(Op::Acquire),
        1 => Just(Op::TryAcquire),
        4 => any::<bool>().prop_map(Op::Enter),
        2 => any::<usize>().prop_map(Op::Abandon),
        6 => any::<usize>().prop_map(Op::Release),
        1 => Just(Op::Nudge),
        1 => Just(Op::Start),
        1 => prop_oneof![
            Just(LeftBehind::GoesOn),
            Just(LeftBehind::WasEnding),
            Just(LeftBehind::OtherPlan),
        ]
        .prop_map(Op::Resume),
        1 => Just(Op::Reset),
        1 => any::<bool>().prop_map(Op::Login),
        1 => any::<bool>().prop_map(Op::Unreachable),
        2 => Just(Op::Queued),
        4 => Just(Op::Starting),
        6 => Just(Op::Ready),
        1 => Just(Op::Ended),
        4 => Just(Op::Gone),
        2 => prop::option::weighted(0.9, (0..600_000_u64, 0..4_000_000_u64)).prop_map(Op::Walltime),
        2 => any::<bool>().prop_map(Op::Paused),
        2 => any::<bool>().prop_map(Op::Busy),
        1 => Just(Op::Stop),
        1 => Just(Op::Replace),
        2 => any::<bool>().prop_map(Op::Yield),
        1 => Just(Op::Close),
        1 => Just(Op::Hurry),
        5 => (0..4_000_000_u64).prop_map(Op::Advance),
        5 => (0..100_000_u64).prop_map(Op::Advance),
        2 => (0..100_000_u64).prop_map(Op::Pass),
    ]
}

/// How far the outside world has come with the life that was last launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Submitted,
    Queued,
    Starting,
    Ready,
    Ended,
}

/// The world around one instance: it only does what a real launcher, engine and client could do.
#[expect(clippy::struct_excessive_bools, reason = "what was asked and what was seen are facts of their own")]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) policy: Policy,
    pub(crate) now: Instant,
    pub(crate) life: Option<(u64, Stage)>,
    pub(crate) end_asked: bool,
    pub(crate) busy_asked: bool,
    pub(crate) login_needed: bool,
    pub(crate) unreachable: bool,
    pub(crate) waiting: BTreeSet<Waiter>,
    pub(crate) answered: BTreeSet<Waiter>,
    pub(crate) permits: Vec<(u64, Hold)>,
    /// When the last inference of this life left.
    left: Option<Instant>,
    /// Whether requests enter by themselves.
    open: bool,
    pub(crate) next: u64,
    pub(crate) closed: bool,
    /// When nobody is let in any more, as reckoned here, and when Slurm ends the job.
    pub(crate) wall: Option<(Instant, Instant)>,
    /// Why the next life may start: the one before got ready, failed, was another's, or was not wanted.
    pub(crate) reason_for_next: Option<&'static str>,
    /// Failures in a row, and before when no life starts by itself for that.
    pub(crate) failures: u32,
    pub(crate) not_before: Option<Instant>,
    ready_since: Option<Instant>,
    paused: bool,
}

pub(crate) fn diagnosis() -> Diagnosis {
    Diagnosis { code: "test", summary: "it broke".into(), remedy: "mend it".into() }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            state: State::default(),
            policy: Policy { max_waiting: 4, ..Policy::default() },
            now: Instant::now(),
            life: None,
            end_asked: false,
            busy_asked: false,
            login_needed: false,
            unreachable: false,
            waiting: BTreeSet::new(),
            answered: BTreeSet::new(),
            permits: Vec::new(),
            left: None,
            open: false,
            next: 0,
            closed: false,
            wall: None,
            reason_for_next: Some("the first"),
            failures: 0,
            not_before: None,
            ready_since: None,
            paused: false,
        }
    }

    fn permits_of_this_life(&self) -> usize {
        self.permits.iter().filter(|(life, _)| self.life.is_some_and(|(now, _)| now == *life)).count()
    }

    fn inference_of_this_life(&self) -> usize {
        let of_this = |life: u64| self.life.is_some_and(|(now, _)| now == life);
        self.permits.iter().filter(|(life, hold)| *hold == Hold::Inference && of_this(*life)).count()
    }

    /// Something that is no [`Op`].
    pub(crate) fn happen(&mut self, event: Event) {
        self.tell(event);
    }

    /// The entrance is shut before anything is decided, and opened after it.
    fn tell(&mut self, event: Event) {
        self.tell_who_is_there();
        self.tell_behind_shut_entrance(event);
        self.check();
        self.open = self.state.lets_in(&self.policy);
    }

    fn tell_who_is_there(&mut self) {
        self.open = false;
        if self.life.is_some() {
            let inference = self.inference_of_this_life();
            let helpers = self.permits_of_this_life() - inference;
            self.tell_behind_shut_entrance(Event::Held(Held { inference, helpers, left: self.left }));
        }
    }

    /// A request enters by itself, and the owner is none the wiser.
    fn enter(&mut self, hold: Hold) {
        let Some((number, stage)) = self.life.filter(|_| self.open) else { return };
        if self.wall.is_some_and(|(last, _)| self.now >= last) {
            return; // The clock has struck, and is late.
        }
        assert_eq!(stage, Stage::Ready, "open before it was ready");
        assert!(!self.end_asked && !self.closed, "open while it is being ended");
        assert!(!self.login_needed && !self.unreachable, "open while nothing leads there");
        assert!(self.policy.requests_in_flight.is_none(), "open, and nobody counts");
        assert!(self.waiting.is_empty(), "who waits is passed by");
        self.reason_for_next = Some("the one before served");
        self.permits.push((number, hold));
    }

    fn release(&mut self, at: usize) {
        let (life, hold) = self.permits.swap_remove(at % self.permits.len());
        let of_this = self.life.is_some_and(|(now, _)| now == life);
        if of_this && hold == Hold::Inference {
            self.left = Some(self.now);
        }
        if !self.open {
            self.tell_who_is_there();
            self.check();
            self.open = self.state.lets_in(&self.policy);
        }
    }

    fn tell_behind_shut_entrance(&mut self, event: Event) {
        let was_ready = matches!(self.state.life(), Life::Ready { .. });
        let may_idle_out = matches!(event, Event::Tick | Event::Busy(_));
        let by_person = matches!(event, Event::Start | Event::Reset | Event::Replace);
        let gone = matches!(event, Event::Life(LifeEvent::Gone));
        if matches!(event, Event::Reset | Event::Replace) {
            self.failures = 0;
        }
        let failing = |state: &State| matches!(state.life(), Life::Stopping { failure: Some(_), .. });
        let failed_before = failing(&self.state);
        if by_person {
            (self.reason_for_next, self.not_before) = (Some("a person wants it"), None);
        }
        let (state, effects) = self.state.clone().step(event, self.now, &self.policy);
        self.state = state;
        if failing(&self.state) && !failed_before {
            self.failed();
        }
        if gone && !failed_before && self.ready_since.is_some() {
            self.failures = 0; // It was a good one, and ended because it was told to.
        }
        if gone && matches!(self.state.life(), Life::Failed { .. }) {
            self.not_before = Some(self.now + least_back_off(self.failures));
        }
        for effect in effects {
            if may_idle_out && was_ready && effect == Effect::End {
                assert_eq!(self.permits_of_this_life(), 0, "an idle stop with a permit out");
            }
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Launch(number) => {
                assert!(self.life.is_none(), "launched while {:?} is not gone", self.life);
                assert!(!self.closed, "launched after the close");
                assert!(self.reason_for_next.take().is_some(), "lives follow each other, and nothing comes of them");
                assert!(self.not_before.take().is_none_or(|at| self.now >= at), "it does not wait after failures");
                (self.wall, self.ready_since, self.left) = (None, None, None);
                self.life = Some((number, Stage::Submitted));
                (self.end_asked, self.login_needed) = (false, false);
                (self.unreachable, self.paused) = (false, false);
            }
            Effect::HangUp => assert!(self.life.is_some(), "nothing to hang up on"),
            Effect::End | Effect::Kill => {
                assert!(self.life.is_some(), "nothing to end");
                if self.waiting.is_empty() {
                    self.reason_for_next.get_or_insert("nobody wanted it");
                }
                self.end_asked = true;
            }
            Effect::Grant(waiter, hold) => {
                let (number, stage) = self.life.expect("granted without a life");
                assert_eq!(stage, Stage::Ready, "granted before it was ready");
                assert!(!self.end_asked, "granted while it is being ended");
                assert!(self.wall.is_none_or(|(last, _)| self.now < last), "let in too late to be finished");
                self.reason_for_next = Some("the one before served");
                assert!(!self.login_needed, "granted while the host asks for a person");
                assert!(!self.unreachable, "granted while nothing leads there");
                self.answer(waiter);
                self.permits.push((number, hold));
                let limit = self.policy.requests_in_flight.map_or(usize::MAX, NonZeroUsize::get);
                assert!(
                    hold == Hold::Helper || self.inference_of_this_life() <= limit,
                    "more than the engine may have"
                );
            }
            Effect::Refuse(waiter, refusal) => {
                if self.closed {
                    assert_eq!(refusal, Refusal::ShuttingDown);
                }
                self.answer(waiter);
            }
            Effect::Decline(waiter) => self.answer(waiter),
            Effect::AskBusy => self.busy_asked = true,
        }
    }

    fn answer(&mut self, waiter: Waiter) {
        assert!(self.waiting.remove(&waiter), "{waiter:?} does not wait");
        assert!(self.answered.insert(waiter), "{waiter:?} answered twice");
    }

    fn check(&self) {
        assert!(self.waiting.len() <= self.policy.max_waiting);
        assert!(!self.login_needed || self.waiting.is_empty(), "waits for a person, and was not told");
        match self.state.life() {
            Life::Stopped | Life::Failed { .. } => {
                assert!(self.life.is_none(), "{:?} beside {:?}", self.state.life(), self.life);
                assert!(self.waiting.is_empty(), "stranded: {:?}", self.waiting);
            }
            Life::Stopping { .. } => {
                assert!(self.end_asked, "stopping, and nothing was ended");
                let bounded = self.waiting.is_empty() || self.state.deadline(&self.policy).is_some();
                assert!(bounded, "waits without a limit for the end");
            }
            Life::Ready { .. } => {
                let is_full =
                    self.policy.requests_in_flight.is_some_and(|limit| self.inference_of_this_life() == limit.get());
                assert!(self.waiting.is_empty() || is_full, "stranded beside a ready engine");
                let idle = self.permits_of_this_life() == 0;
                assert!(!idle || self.busy_asked || self.state.deadline(&self.policy).is_some(), "never idles out");
            }
            Life::Recovering { .. }
            | Life::Submitting { .. }
            | Life::Queued { .. }
            | Life::Starting { .. }
            | Life::Draining { .. } => {
                assert!(self.state.deadline(&self.policy).is_some(), "waits without a limit");
            }
        }
    }

    fn failed(&mut self) {
        if self.ready_since.is_some_and(|since| self.now >= since + Duration::from_mins(10)) {
            self.failures = 0;
        }
        self.failures += 1;
        self.reason_for_next = Some("the one before failed");
    }

    fn newcomer(&mut self) -> Waiter {
        self.next += 1;
        self.waiting.insert(Waiter(self.next));
        Waiter(self.next)
    }

    fn life_moves(&mut self, to: Stage, event: LifeEvent) {
        let Some((number, stage)) = self.life else { return };
        let legal = match to {
            Stage::Submitted => false,
            Stage::Queued => stage <= Stage::Queued,
            Stage::Starting => stage < Stage::Starting,
            Stage::Ready => stage == Stage::Starting,
            Stage::Ended => stage != Stage::Ended,
        };
        if legal {
            self.life = Some((number, to));
            if to == Stage::Ready {
                self.ready_since = Some(self.now);
                // It answered by the way that there is.
                self.unreachable = false;
            }
            self.tell(Event::Life(event));
        }
    }

    fn walltime(&mut self, allowance: Option<(u64, u64)>) {
        if self.life.is_none() {
            return;
        }
        let allowance = allowance.map(|(left, limit)| Allowance {
            left: Duration::from_millis(left),
            limit: Duration::from_millis(limit.max(left)),
        });
        self.wall = allowance.map(|Allowance { left, limit }| {
            let end = self.now + left;
            (end.checked_sub((limit / 10).min(Duration::from_mins(5))).expect("a time"), end)
        });
        self.tell(Event::Life(LifeEvent::Walltime(allowance)));
    }

    /// Only ever as the first that happens.
    fn resume(&mut self, left_behind: LeftBehind) {
        if self.next == 0 && self.state.life() == &Life::Stopped && !self.closed {
            self.tell(Event::Resume(left_behind));
            assert!(self.life.is_some(), "it is looked for");
            assert_eq!(self.end_asked, left_behind != LeftBehind::GoesOn);
            self.reason_for_next = Some("the one before was another's");
        }
    }

    fn paused(&mut self, paused: bool) {
        if self.life.is_some() {
            if paused && !std::mem::replace(&mut self.paused, true) {
                self.wall = None;
            }
            self.paused = paused;
            self.tell(Event::Life(LifeEvent::Paused(paused)));
        }
    }

    fn replaced(&mut self) {
        self.login_needed = false;
        let (waiting, refused) = (self.waiting.clone(), self.answered.len());
        self.tell(Event::Replace);
        assert!(self.waiting == waiting && self.answered.len() == refused, "who waits, waits for the next one");
    }

    /// Nobody is refused for it, nothing that is in flight is broken off, and of an earlier life it says nothing.
    fn yields(&mut self, drain: bool) {
        let Some((life, _)) = self.life else { return };
        let (waiting, refused, ending) = (self.waiting.clone(), self.answered.len(), self.end_asked);
        self.tell(Event::Yield { life: life - 1, drain: true });
        assert_eq!(self.end_asked, ending, "that was another life");
        let idle = self.permits_of_this_life() == 0;
        self.tell(Event::Yield { life, drain });
        assert!(self.end_asked == ending || (drain && idle), "it works, or is asked first whether it does");
        assert!(self.waiting == waiting && self.answered.len() == refused, "who waits, waits for the next one");
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Acquire(inference) => {
                let hold = if *inference { Hold::Inference } else { Hold::Helper };
                // One more than the bound may stand at the door for the moment of its refusal.
                self.tell_who_is_there();
                let waiter = self.newcomer();
                let (bound, before) = (self.policy.max_waiting, self.waiting.len());
                let event = Event::Acquire(waiter, Party(waiter.0 % 3), hold);
                let (state, effects) = self.state.clone().step(event, self.now, &self.policy);
                self.state = state;
                assert!(before <= bound || !effects.is_empty(), "over the bound and not refused");
                for effect in effects {
                    self.carry_out(effect);
                }
                self.check();
                self.open = self.state.lets_in(&self.policy);
            }
            Op::Enter(inference) => self.enter(if *inference { Hold::Inference } else { Hold::Helper }),
            Op::TryAcquire => {
                self.tell_who_is_there();
                let waiter = self.newcomer();
                let (state, effects) =
                    self.state.clone().step(Event::TryAcquire(waiter, Hold::Helper), self.now, &self.policy);
                self.state = state;
                let answers = |effect: &&Effect| matches!(effect, Effect::Grant(..) | Effect::Decline(_));
                assert_eq!(effects.iter().filter(answers).count(), 1, "answered at once");
                for effect in effects {
                    self.carry_out(effect);
                }
                self.open = self.state.lets_in(&self.policy);
            }
            Op::Abandon(at) => {
                if let Some(waiter) = self.waiting.iter().copied().nth(at % self.waiting.len().max(1)) {
                    self.waiting.remove(&waiter);
                    self.tell(Event::Abandon(waiter));
                }
            }
            Op::Release(at) => {
                if !self.permits.is_empty() {
                    self.release(*at);
                }
            }
            Op::Nudge => self.tell(Event::Nudge),
            Op::Start => {
                self.tell(Event::Start);
                assert!(self.life.is_some() || self.closed, "a person's start starts");
            }
            Op::Resume(left_behind) => self.resume(*left_behind),
            Op::Reset => {
                self.login_needed = false;
                self.tell(Event::Reset);
            }
            Op::Login(needed) => {
                if self.life.is_some() {
                    self.login_needed = *needed;
                    self.tell(Event::Login(needed.then(diagnosis)));
                }
            }
            Op::Unreachable(so) => {
                if self.life.is_some_and(|(_, stage)| stage >= Stage::Starting) {
                    self.unreachable = *so;
                    self.tell(Event::Unreachable(so.then(diagnosis)));
                }
            }
            Op::Queued => {
                let event = LifeEvent::Queued { job: None, reason: None, expected_start: None };
                self.life_moves(Stage::Queued, event);
            }
            Op::Starting => self.life_moves(Stage::Starting, LifeEvent::Starting { job: None, node: "n".into() }),
            Op::Ready => self.life_moves(Stage::Ready, LifeEvent::Ready),
            Op::Ended => self.life_moves(Stage::Ended, LifeEvent::Ended(diagnosis())),
            Op::Gone => {
                if self.life.is_some_and(|(_, stage)| self.end_asked || stage == Stage::Ended) {
                    if self.ready_since.is_some() {
                        self.reason_for_next.get_or_insert("the one before got ready");
                    }
                    (self.life, self.login_needed) = (None, false);
                    self.tell(Event::Life(LifeEvent::Gone));
                }
            }
            Op::Walltime(allowance) => self.walltime(*allowance),
            Op::Paused(paused) => self.paused(*paused),
            Op::Busy(busy) => {
                if std::mem::take(&mut self.busy_asked) {
                    self.tell(Event::Busy(*busy));
                }
            }
            Op::Stop => self.tell(Event::Stop),
            Op::Replace => self.replaced(),
            Op::Yield(drain) => self.yields(*drain),
            Op::Close => {
                self.closed = true;
                self.tell(Event::Close);
            }
            Op::Hurry => self.tell(Event::Hurry),
            Op::Advance(milliseconds) => {
                self.now += Duration::from_millis(*milliseconds);
                self.tell(Event::Tick);
            }
            Op::Pass(milliseconds) => self.now += Duration::from_millis(*milliseconds),
        }
    }
}

/// How long no life starts by itself after so many failures in a row.
pub(crate) fn least_back_off(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        1..4 => Duration::from_secs(5) * 2_u32.pow(failures - 1),
        4 => Duration::from_secs(40),
        5 => Duration::from_mins(1),
        6.. => Duration::from_mins(10),
    }
}

/// A request for inference comes.
pub(crate) fn acquire(world: &mut World) {
    world.apply(&Op::Acquire(true));
}
