//! The life of an instance, model-checked: random requests, clients that leave, engines that fail, time that passes.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use llm_proxy::backend::Diagnosis;
use llm_proxy::instance::{Effect, Event, Hold, Life, LifeEvent, Policy, Refusal, State, Waiter};
use llm_proxy::launch::LeftBehind;
use proptest::prelude::*;
use tokio::time::Instant;

/// What may happen; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Op {
    Acquire(bool),
    TryAcquire,
    Abandon(usize),
    Release(usize),
    Nudge,
    Start,
    Resume(LeftBehind),
    Reset,
    Login(bool),
    Queued,
    Starting,
    Ready,
    Ended,
    Gone,
    Busy(bool),
    Stop,
    Close,
    Hurry,
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<bool>().prop_map(Op::Acquire),
        1 => Just(Op::TryAcquire),
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
        2 => Just(Op::Queued),
        4 => Just(Op::Starting),
        6 => Just(Op::Ready),
        1 => Just(Op::Ended),
        4 => Just(Op::Gone),
        2 => any::<bool>().prop_map(Op::Busy),
        1 => Just(Op::Stop),
        1 => Just(Op::Close),
        1 => Just(Op::Hurry),
        5 => (0..4_000_000_u64).prop_map(Op::Advance),
    ]
}

/// How far the outside world has come with the life that was last launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Submitted,
    Queued,
    Starting,
    Ready,
    Ended,
}

/// The world around one instance: it only does what a real launcher, engine and client could do.
#[expect(clippy::struct_excessive_bools, reason = "what was asked and what was seen are facts of their own")]
struct World {
    state: State,
    policy: Policy,
    now: Instant,
    life: Option<(u64, Stage)>,
    end_asked: bool,
    busy_asked: bool,
    login_needed: bool,
    waiting: BTreeSet<Waiter>,
    answered: BTreeSet<Waiter>,
    permits: Vec<(u64, Hold)>,
    next: u64,
    closed: bool,
}

fn diagnosis() -> Diagnosis {
    Diagnosis { code: "test", summary: "it broke".into(), remedy: "mend it".into() }
}

impl World {
    fn new() -> Self {
        Self {
            state: State::default(),
            policy: Policy { max_waiting: 4, ..Policy::default() },
            now: Instant::now(),
            life: None,
            end_asked: false,
            busy_asked: false,
            login_needed: false,
            waiting: BTreeSet::new(),
            answered: BTreeSet::new(),
            permits: Vec::new(),
            next: 0,
            closed: false,
        }
    }

    fn permits_of_this_life(&self) -> usize {
        self.permits.iter().filter(|(life, _)| self.life.is_some_and(|(now, _)| now == *life)).count()
    }

    fn tell(&mut self, event: Event) {
        let was_ready = matches!(self.state.life(), Life::Ready { .. });
        let may_idle_out = matches!(event, Event::Tick | Event::Busy(_));
        let (state, effects) = self.state.clone().step(event, self.now, &self.policy);
        self.state = state;
        for effect in effects {
            if may_idle_out && was_ready && effect == Effect::End {
                assert_eq!(self.permits_of_this_life(), 0, "an idle stop with a permit out");
            }
            self.carry_out(effect);
        }
        self.check();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Launch(number) => {
                assert!(self.life.is_none(), "launched while {:?} is not gone", self.life);
                assert!(!self.closed, "launched after the close");
                self.life = Some((number, Stage::Submitted));
                (self.end_asked, self.login_needed) = (false, false);
            }
            Effect::End | Effect::Kill => {
                assert!(self.life.is_some(), "nothing to end");
                self.end_asked = true;
            }
            Effect::Grant(waiter, hold) => {
                let (number, stage) = self.life.expect("granted without a life");
                assert_eq!(stage, Stage::Ready, "granted before it was ready");
                assert!(!self.end_asked, "granted while it is being ended");
                assert!(!self.login_needed, "granted while the host asks for a person");
                self.answer(waiter);
                self.permits.push((number, hold));
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
                assert!(self.waiting.is_empty(), "stranded beside a ready engine");
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
            self.tell(Event::Life(event));
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Acquire(inference) => {
                let hold = if *inference { Hold::Inference } else { Hold::Helper };
                // One more than the bound may stand at the door for the moment of its refusal.
                let waiter = self.newcomer();
                let bound = self.policy.max_waiting;
                let before = self.waiting.len();
                let (state, effects) = self.state.clone().step(Event::Acquire(waiter, hold), self.now, &self.policy);
                self.state = state;
                assert!(before <= bound || !effects.is_empty(), "over the bound and not refused");
                for effect in effects {
                    self.carry_out(effect);
                }
                self.check();
            }
            Op::TryAcquire => {
                let waiter = self.newcomer();
                let (state, effects) =
                    self.state.clone().step(Event::TryAcquire(waiter, Hold::Helper), self.now, &self.policy);
                self.state = state;
                assert_eq!(effects.len(), 1, "answered at once");
                for effect in effects {
                    self.carry_out(effect);
                }
            }
            Op::Abandon(at) => {
                if let Some(waiter) = self.waiting.iter().copied().nth(at % self.waiting.len().max(1)) {
                    self.waiting.remove(&waiter);
                    self.tell(Event::Abandon(waiter));
                }
            }
            Op::Release(at) => {
                if !self.permits.is_empty() {
                    let (life, hold) = self.permits.swap_remove(at % self.permits.len());
                    self.tell(Event::Release(life, hold));
                }
            }
            Op::Nudge => self.tell(Event::Nudge),
            Op::Start => {
                self.tell(Event::Start);
                assert!(self.life.is_some() || self.closed, "a person's start starts");
            }
            // Only ever as the first that happens.
            Op::Resume(left_behind) => {
                if self.next == 0 && self.life.is_none() && !self.closed {
                    self.tell(Event::Resume(*left_behind));
                    assert!(self.life.is_some(), "it is looked for");
                    assert_eq!(self.end_asked, *left_behind != LeftBehind::GoesOn);
                }
            }
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
            Op::Queued => {
                let event = LifeEvent::Queued { job: None, reason: None, expected_start: None };
                self.life_moves(Stage::Queued, event);
            }
            Op::Starting => self.life_moves(Stage::Starting, LifeEvent::Starting { job: None, node: "n".into() }),
            Op::Ready => self.life_moves(Stage::Ready, LifeEvent::Ready),
            Op::Ended => self.life_moves(Stage::Ended, LifeEvent::Ended(diagnosis())),
            Op::Gone => {
                if self.life.is_some_and(|(_, stage)| self.end_asked || stage == Stage::Ended) {
                    (self.life, self.login_needed) = (None, false);
                    self.tell(Event::Life(LifeEvent::Gone));
                }
            }
            Op::Busy(busy) => {
                if std::mem::take(&mut self.busy_asked) {
                    self.tell(Event::Busy(*busy));
                }
            }
            Op::Stop => self.tell(Event::Stop),
            Op::Close => {
                self.closed = true;
                self.tell(Event::Close);
            }
            Op::Hurry => self.tell(Event::Hurry),
            Op::Advance(milliseconds) => {
                self.now += Duration::from_millis(*milliseconds);
                self.tell(Event::Tick);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn every_waiter_is_answered_once_and_never_two_lives(ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        // The end: whatever stood there comes down, and nobody is left waiting.
        world.apply(&Op::Close);
        prop_assert!(world.waiting.is_empty());
        while !world.permits.is_empty() {
            world.apply(&Op::Release(0));
        }
        world.apply(&Op::Gone);
        prop_assert!(world.state.is_down(), "{:?}", world.state);
    }

    #[test]
    fn a_life_left_alone_idles_out_and_is_gone(inferences in 0..5_usize) {
        let mut world = World::new();
        world.apply(&Op::Acquire(true));
        world.apply(&Op::Starting);
        world.apply(&Op::Ready);
        (0..inferences).for_each(|_| world.apply(&Op::Acquire(true)));
        world.apply(&Op::Advance(4_000_000));
        prop_assert!(matches!(world.state.life(), Life::Ready { .. }), "permits are out");
        while !world.permits.is_empty() {
            world.apply(&Op::Release(0));
        }
        world.apply(&Op::Advance(29 * 60 * 1000));
        prop_assert!(!world.busy_asked, "the clock starts when the last inference ended");
        world.apply(&Op::Advance(60 * 1000));
        prop_assert!(world.busy_asked);
        world.apply(&Op::Busy(true));
        prop_assert!(matches!(world.state.life(), Life::Ready { .. }), "the engine works on something");
        world.apply(&Op::Advance(10_000));
        world.apply(&Op::Busy(false));
        world.apply(&Op::Gone);
        prop_assert_eq!(world.state.life(), &Life::Stopped);
    }
}

fn acquire(world: &mut World) {
    world.apply(&Op::Acquire(true));
}

#[test]
fn a_hundred_requests_start_one_life() {
    let mut world = World::new();
    world.policy.max_waiting = 100;
    (0..100).for_each(|_| acquire(&mut world));
    assert_eq!(world.life, Some((1, Stage::Submitted)));
    assert_eq!(world.waiting.len(), 100);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    assert_eq!(world.permits.len(), 100);
}

#[test]
fn a_failure_is_told_to_all_and_the_next_start_waits_a_little() {
    let mut world = World::new();
    acquire(&mut world);
    acquire(&mut world);
    world.apply(&Op::Ended);
    assert_eq!(world.answered.len(), 2);
    acquire(&mut world);
    assert!(world.waiting.is_empty(), "refused while the remains are being ended");
    world.apply(&Op::Gone);
    acquire(&mut world);
    assert!(world.waiting.is_empty(), "refused before the time");
    world.apply(&Op::Advance(5_000));
    acquire(&mut world);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}

#[test]
fn a_request_while_stopping_starts_the_next_life() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Release(0));
    world.apply(&Op::Stop);
    acquire(&mut world);
    assert_eq!(world.waiting.len(), 1);
    world.apply(&Op::Gone);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}

#[test]
fn what_was_left_behind_and_ended_meanwhile_is_no_failure() {
    for left_behind in [LeftBehind::GoesOn, LeftBehind::WasEnding, LeftBehind::OtherPlan] {
        let mut world = World::new();
        world.apply(&Op::Resume(left_behind));
        acquire(&mut world);
        world.apply(&Op::Starting);
        world.apply(&Op::Ended);
        assert_eq!(world.waiting.len(), 1, "it is not refused");
        world.apply(&Op::Gone);
        assert_eq!(world.life, Some((2, Stage::Submitted)), "and gets an engine of its own");
    }
}

#[test]
fn what_was_left_behind_and_nobody_wants_is_withdrawn_from_the_queue() {
    let mut world = World::new();
    world.apply(&Op::Resume(LeftBehind::GoesOn));
    world.apply(&Op::Advance(600_000));
    assert!(!world.end_asked, "not before it is found: it may be running");
    world.apply(&Op::Queued);
    world.apply(&Op::Advance(120_000));
    assert!(world.end_asked);
}

#[test]
fn a_queued_start_that_nobody_waits_for_is_withdrawn_after_two_minutes() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Queued);
    world.apply(&Op::Abandon(0));
    world.apply(&Op::Advance(119_000));
    assert!(!world.end_asked, "an SDK that tries again keeps its place");
    acquire(&mut world);
    world.apply(&Op::Advance(3_600_000));
    assert!(!world.end_asked, "somebody waits again");
    world.apply(&Op::Abandon(0));
    world.apply(&Op::Advance(120_000));
    assert!(world.end_asked);
}

#[test]
fn a_look_at_the_models_does_not_follow_a_life_that_served_nothing() {
    let mut world = World::new();
    world.apply(&Op::Nudge);
    assert!(world.life.is_some(), "the first look starts the engine");
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Stop);
    world.apply(&Op::Gone);
    world.apply(&Op::Nudge);
    assert!(world.life.is_none(), "a poller must not hold a GPU");
    acquire(&mut world);
    assert!(world.life.is_some(), "a request does start it");
}

#[test]
fn a_person_starts_what_failed_and_what_nobody_waits_for() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Ended);
    world.apply(&Op::Start);
    assert_eq!(world.life, Some((1, Stage::Ended)), "what is left is verified gone first");
    world.apply(&Op::Gone);
    assert_eq!(world.life, Some((2, Stage::Submitted)), "and no back-off is waited for");
    world.apply(&Op::Queued);
    acquire(&mut world);
    world.apply(&Op::Abandon(0));
    world.apply(&Op::Advance(3_600_000));
    assert!(!world.end_asked, "a person wanted it");
    world.apply(&Op::Stop);
    world.apply(&Op::Gone);
    assert!(world.life.is_none(), "until a person does not");
}

#[test]
fn a_persons_stop_is_told_to_those_who_wait_and_no_life_follows() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Queued);
    world.apply(&Op::Stop);
    assert_eq!(world.answered.len(), 1);
    world.apply(&Op::Gone);
    assert_eq!(world.state.life(), &Life::Stopped);
}

#[test]
fn while_a_person_is_needed_all_are_told_and_afterwards_requests_flow_at_once() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Login(true));
    assert_eq!(world.answered.len(), 1, "who waits is told");
    world.apply(&Op::Ready);
    acquire(&mut world);
    assert_eq!((world.answered.len(), world.permits.len()), (2, 0), "who comes is told");
    world.apply(&Op::Login(false));
    acquire(&mut world);
    assert_eq!(world.permits.len(), 1);
}

#[test]
fn what_failed_for_want_of_a_person_starts_at_once_after_the_login() {
    for gone_first in [true, false] {
        let mut world = World::new();
        acquire(&mut world);
        world.apply(&Op::Ended);
        let order = if gone_first { [Op::Gone, Op::Reset] } else { [Op::Reset, Op::Gone] };
        for op in &order {
            world.apply(op);
        }
        acquire(&mut world);
        assert_eq!(world.life, Some((2, Stage::Submitted)));
    }
}

#[test]
fn queue_time_and_load_time_have_their_own_limits() {
    let mut world = World::new();
    world.policy.queue_timeout = Duration::from_secs(10);
    world.policy.startup_timeout = Duration::from_secs(100);
    acquire(&mut world);
    world.apply(&Op::Advance(9_000));
    world.apply(&Op::Starting);
    world.apply(&Op::Advance(99_000));
    assert!(!world.end_asked);
    world.apply(&Op::Advance(1_000));
    assert!(world.end_asked);
    let Life::Stopping { failure: Some(diagnosis), .. } = world.state.life() else { panic!("{:?}", world.state) };
    assert_eq!(diagnosis.code, "startup_timeout");
}

#[test]
fn nobody_waits_for_ever_for_an_end_that_cannot_be_verified() {
    let mut world = World::new();
    acquire(&mut world);
    world.apply(&Op::Starting);
    world.apply(&Op::Ready);
    world.apply(&Op::Release(0));
    world.apply(&Op::Stop);
    acquire(&mut world);
    assert_eq!(world.waiting.len(), 1);
    world.apply(&Op::Advance(5 * 60 * 1000));
    assert!(world.waiting.is_empty(), "told that it cannot be verified");
    acquire(&mut world);
    assert!(world.waiting.is_empty(), "told at once");
    world.apply(&Op::Gone);
    acquire(&mut world);
    assert_eq!(world.life, Some((2, Stage::Submitted)));
}
