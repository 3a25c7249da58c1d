//! What an instance does next, decided by one pure function: no clock, no I/O, no lock.
//!
//! ```text
//! Recovering ─ found ─► Queued, Starting, Ready, or Stopping
//!
//! Stopped ─ wanted ─► Submitting ─► Queued ─► Starting ─► Ready ─ idle ─► Stopping ─ gone ─► Stopped
//!                         │            │          │         │                ▲  │
//!                         │            │          │         └─ Draining ─────┘  └─ gone, after a failure ─► Failed
//!                         └────────────┴──────────┴── failed, timed out, withdrawn, closed ─► Stopping
//! ```
//!
//! [`State::step`] is told what happened and answers with what is to be done. `Failed` is reached only from `Stopping`, once
//! the life is verified gone, so that a second engine never stands beside the remains of the first.

use tokio::time::Instant;

use super::policy::{self, Policy};
use super::{Effect, Event, LifeEvent, Line, Refusal, Walltime};
use crate::backend::{Diagnosis, KILLED};
use crate::id::JobId;
use crate::launch::{self, LeftBehind};

/// Where the current life stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Life {
    /// There is none.
    Stopped,
    /// An earlier process left one behind, and it is looked for.
    Recovering {
        /// Since when.
        since: Instant,
    },
    /// The host or Slurm is being asked.
    Submitting {
        /// Since when.
        since: Instant,
    },
    /// The job waits.
    Queued {
        /// Since it was submitted.
        since: Instant,
        /// Slurm's reason.
        reason: Option<String>,
        /// When Slurm expects to start it.
        expected_start: Option<String>,
    },
    /// The engine is starting.
    Starting {
        /// Since the machine was allocated.
        since: Instant,
    },
    /// The engine answers.
    Ready {
        /// When the last inference ended, or when it became ready.
        idle_since: Instant,
        /// What is known of work that the engine itself still counts.
        check: Check,
    },
    /// No more is granted; what is in flight is finished.
    Draining {
        /// When that ends at the latest.
        until: Instant,
    },
    /// It is being ended.
    Stopping {
        /// Why, if it failed.
        failure: Option<Diagnosis>,
        /// Until when a request may wait for the end of it.
        until: Instant,
    },
    /// The last life failed and is gone.
    Failed {
        /// Why.
        diagnosis: Diagnosis,
        /// When the next one may start.
        retry_at: Instant,
    },
}

/// The question whether an engine that we gave nothing to do works on something, such as a background response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Not asked.
    None,
    /// Asked, no answer yet.
    Asked,
    /// It was busy: ask again then.
    Again(Instant),
}

/// All that decides.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what was wanted and what was seen are facts of their own, beside the life"
)]
pub struct State {
    pub(super) life: Life,
    pub(super) number: u64,
    pub(super) job: Option<JobId>,
    pub(super) node: Option<String>,
    pub(super) waiting: Line,
    pub(super) inference: usize,
    pub(super) helpers: usize,
    pub(super) closing: bool,
    /// Since when a start goes on that nobody waits for.
    pub(super) unwaited_since: Option<Instant>,
    /// Whether the current life saw inference.
    pub(super) served: bool,
    /// When Slurm ends the current life, where it does.
    pub(super) walltime: Option<Walltime>,
    /// Since when Slurm lets the current life's job stand still.
    pub(super) paused_since: Option<Instant>,
    /// Since when the current life answers.
    pub(super) ready_since: Option<Instant>,
    /// Whether a mere look at the models may start a life: not after one that saw no inference, or a poller would hold
    /// a GPU all weekend.
    pub(super) nudges: bool,
    /// Whether the current life is an earlier process's, and was not seen to answer yet: that it ended meanwhile is no
    /// failure of ours.
    pub(super) recovered: bool,
    /// Failed starts in a row.
    pub(super) failures: u32,
    /// Whether a person asked for the current life: it goes on though nobody waits for it.
    pub(super) asked: bool,
    /// Whether a person asked for the life after the one that is being ended.
    pub(super) next_asked: bool,
    /// Whether the current life is to end as soon as its engine says that it works on nothing: others want what it has.
    pub(super) yields: bool,
    /// Why only a person can bring the link to the current life's host back, if so.
    pub(super) login: Option<Diagnosis>,
    /// Why no way leads to the current life's engine any more, if so; one is looked for.
    pub(super) unreachable: Option<Diagnosis>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            life: Life::Stopped,
            number: 0,
            job: None,
            node: None,
            waiting: Line::default(),
            inference: 0,
            helpers: 0,
            closing: false,
            unwaited_since: None,
            served: false,
            walltime: None,
            paused_since: None,
            ready_since: None,
            nudges: true,
            recovered: false,
            failures: 0,
            asked: false,
            next_asked: false,
            yields: false,
            login: None,
            unreachable: None,
        }
    }
}

impl State {
    /// Takes in what happened, and says what to do.
    #[must_use]
    pub fn step(mut self, event: Event, now: Instant, policy: &Policy) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        match event {
            Event::Acquire(waiter, party, hold) => self.acquire(waiter, party, hold, now, policy, &mut effects),
            Event::TryAcquire(waiter, hold) => self.try_acquire(waiter, hold, now, policy, &mut effects),
            Event::Abandon(waiter) => self.abandon(waiter, now),
            Event::Held(held) => self.held(held, now, &mut effects),
            Event::Yield { life, drain } => self.yield_to_others(life, drain, now, policy, &mut effects),
            Event::Nudge => self.nudge(now, &mut effects),
            Event::Start => self.start(now, &mut effects),
            Event::Resume(left_behind) => self.resume(left_behind, now, &mut effects),
            Event::Reset => self.reset(),
            Event::Login(needed) => self.login_moved(needed, &mut effects),
            Event::Unreachable(why) => self.way_moved(why, &mut effects),
            Event::Life(event) => self.life_moved(event, now, &mut effects),
            Event::Busy(busy) => self.busy(busy, now, policy, &mut effects),
            Event::Stop => self.stop_for(&Refusal::Stopped, now, policy, &mut effects),
            Event::Replace => self.replace(now, policy, &mut effects),
            Event::Close => self.close(now, policy, &mut effects),
            Event::Hurry => self.hurry(now, &mut effects),
            Event::Tick => self.tick(now, policy, &mut effects),
        }
        self.give_turns(now, policy, &mut effects);
        (self, effects)
    }

    /// Where the current life stands.
    #[must_use]
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// Whether there is nothing left to look after.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self.life, Life::Stopped | Life::Failed { .. })
    }

    /// When [`Event::Tick`] is wanted next, if nothing else happens.
    #[must_use]
    pub fn deadline(&self, policy: &Policy) -> Option<Instant> {
        match &self.life {
            Life::Recovering { since } => Some(*since + policy.queue_timeout),
            Life::Submitting { since } | Life::Queued { since, .. } => {
                let withdrawn = self.unwaited_since.map(|since| since + policy.withdraw_after);
                [Some(*since + policy.queue_timeout), withdrawn].into_iter().flatten().min()
            }
            Life::Starting { since } => {
                [Some(self.last_start(*since, policy)), self.last_entry()].into_iter().flatten().min()
            }
            Life::Ready { .. } => [self.idle_check(policy), self.last_entry()].into_iter().flatten().min(),
            Life::Draining { until } => Some(*until),
            Life::Stopping { until, .. } if !self.waiting.is_empty() => Some(*until),
            Life::Stopped | Life::Stopping { .. } | Life::Failed { .. } => None,
        }
    }

    /// When it is looked whether a ready engine has nothing to do.
    fn idle_check(&self, policy: &Policy) -> Option<Instant> {
        match &self.life {
            Life::Ready { idle_since, check } if self.in_flight() == 0 => match check {
                Check::None => policy.idle_timeout.map(|timeout| *idle_since + timeout),
                Check::Asked => None,
                Check::Again(at) => Some(*at),
            },
            _ => None,
        }
    }

    /// When the engine is ended for idleness, if nobody asks for anything until then.
    #[must_use]
    pub fn idle_stop(&self, policy: &Policy) -> Option<Instant> {
        self.idle_check(policy)
    }

    /// Permits of the current life that are out.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inference + self.helpers
    }

    pub(super) fn launch(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.number += 1;
        self.job = None;
        self.node = None;
        self.inference = 0;
        self.helpers = 0;
        self.served = false;
        self.walltime = None;
        self.paused_since = None;
        self.ready_since = None;
        self.asked = std::mem::take(&mut self.next_asked);
        self.login = None;
        self.unreachable = None;
        self.recovered = false;
        self.yields = false;
        self.life = Life::Submitting { since: now };
        effects.push(Effect::Launch(self.number));
    }

    fn resume(&mut self, left_behind: LeftBehind, now: Instant, effects: &mut Vec<Effect>) {
        if self.life != Life::Stopped || self.closing {
            return;
        }
        self.launch(now, effects);
        match left_behind {
            LeftBehind::GoesOn => {
                self.life = Life::Recovering { since: now };
                self.recovered = true;
                self.unwaited_since = Some(now);
            }
            LeftBehind::WasEnding | LeftBehind::OtherPlan => self.end(now, effects),
        }
    }

    fn life_moved(&mut self, event: LifeEvent, now: Instant, effects: &mut Vec<Effect>) {
        match (event, &mut self.life) {
            (
                LifeEvent::Queued { job, reason, expected_start },
                Life::Recovering { since } | Life::Submitting { since } | Life::Queued { since, .. },
            ) => {
                self.job = job.or(self.job);
                self.life = Life::Queued { since: *since, reason, expected_start };
            }
            (
                LifeEvent::Starting { job, node },
                Life::Recovering { .. } | Life::Submitting { .. } | Life::Queued { .. },
            ) => {
                self.job = job.or(self.job);
                self.node = Some(node);
                self.life = Life::Starting { since: now };
            }
            (
                LifeEvent::Ready,
                Life::Recovering { .. } | Life::Submitting { .. } | Life::Queued { .. } | Life::Starting { .. },
            ) => {
                self.ready(now, effects);
            }
            (LifeEvent::Walltime(allowance), _) => self.walltime_is(allowance, now),
            (LifeEvent::Paused(paused), _) => self.paused_is(paused, now),
            // By whom it was killed comes a moment later.
            (LifeEvent::Ended(better), Life::Stopping { failure: Some(told), .. }) if told.code == KILLED => {
                *told = policy::as_often(better, self.failures);
            }
            (LifeEvent::Ended(diagnosis), life) => {
                let over = matches!(life, Life::Stopped | Life::Failed { .. } | Life::Stopping { .. });
                // One that was to end, or that was not known to live, has not failed us. What it said last may still be on
                // its way.
                let no_failure = self.recovered || matches!(life, Life::Draining { .. });
                match (over, no_failure) {
                    (true, _) => {}
                    (false, true) => self.see_off(None, now, effects),
                    (false, false) => self.fail(diagnosis, now, effects),
                }
            }
            (LifeEvent::Gone, _) => self.gone(now, effects),
            // News of a start that we are already ending, or that is older than what we know.
            (LifeEvent::Queued { .. } | LifeEvent::Starting { .. } | LifeEvent::Ready, _) => {}
        }
    }

    fn ready(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.give_up_in_time(now, effects) {
            return;
        }
        self.recovered = false;
        self.unreachable = None;
        self.unwaited_since = None;
        self.ready_since = Some(now);
        self.life = Life::Ready { idle_since: now, check: Check::None };
    }

    fn gone(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.nudges = self.served;
        self.login = None;
        self.unreachable = None;
        (self.inference, self.helpers) = (0, 0);
        match std::mem::replace(&mut self.life, Life::Stopped) {
            Life::Stopping { failure: Some(diagnosis), .. } => {
                self.life = Life::Failed { diagnosis, retry_at: now + policy::back_off(self.failures) };
            }
            Life::Stopping { failure: None, .. } => {
                if self.ready_since.is_some() {
                    self.failures = 0;
                }
                self.launch_if_waited_for(now, effects);
            }
            down @ (Life::Stopped | Life::Failed { .. }) => self.life = down,
            _ if self.recovered => self.launch_if_waited_for(now, effects),
            Life::Recovering { .. }
            | Life::Submitting { .. }
            | Life::Queued { .. }
            | Life::Starting { .. }
            | Life::Ready { .. }
            | Life::Draining { .. } => {
                let diagnosis = self.count_failure_and_tell(launch::vanished(), now, effects);
                self.life = Life::Failed { diagnosis, retry_at: now + policy::back_off(self.failures) };
            }
        }
        if self.next_asked && self.is_down() {
            self.launch(now, effects);
        }
    }

    fn launch_if_waited_for(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.waiting.is_empty() {
            self.launch(now, effects);
        }
    }

    fn busy(&mut self, busy: bool, now: Instant, policy: &Policy, effects: &mut Vec<Effect>) {
        let nothing_out = self.in_flight() == 0;
        let Life::Ready { idle_since, check } = &mut self.life else { return };
        let overdue = self.yields || policy.idle_timeout.is_some_and(|timeout| now >= *idle_since + timeout);
        if *check != Check::Asked {
            return; // An inference began and ended since we asked.
        }
        if busy {
            *check = Check::Again(now + policy.busy_recheck);
        } else if overdue && nothing_out {
            self.end(now, effects);
        } else {
            *check = Check::None;
        }
    }

    pub(super) fn stop(&mut self, now: Instant, policy: &Policy, effects: &mut Vec<Effect>) {
        match &self.life {
            Life::Ready { .. } if self.in_flight() > 0 => {
                self.life = Life::Draining { until: self.at_the_latest(now + policy.drain_timeout) };
            }
            Life::Recovering { .. }
            | Life::Submitting { .. }
            | Life::Queued { .. }
            | Life::Starting { .. }
            | Life::Ready { .. } => {
                self.end(now, effects);
            }
            Life::Stopped | Life::Draining { .. } | Life::Stopping { .. } | Life::Failed { .. } => {}
        }
    }

    fn close(&mut self, now: Instant, policy: &Policy, effects: &mut Vec<Effect>) {
        self.closing = true;
        self.stop_for(&Refusal::ShuttingDown, now, policy, effects);
    }

    fn stop_for(&mut self, refusal: &Refusal, now: Instant, policy: &Policy, effects: &mut Vec<Effect>) {
        self.next_asked = false;
        self.refuse_all(refusal, effects);
        self.stop(now, policy, effects);
    }

    fn hurry(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.life, Life::Draining { .. }) {
            self.end(now, effects);
        }
        if matches!(self.life, Life::Stopping { .. }) {
            effects.push(Effect::Kill);
        }
    }

    fn tick(&mut self, now: Instant, policy: &Policy, effects: &mut Vec<Effect>) {
        if self.deadline(policy).is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.leave_in_time(now, effects) {
            return;
        }
        match &mut self.life {
            Life::Recovering { since } | Life::Submitting { since } | Life::Queued { since, .. } => {
                if now >= *since + policy.queue_timeout {
                    self.fail(self.why_not_begun(policy), now, effects);
                } else {
                    self.end(now, effects); // Withdrawn: nobody waited for it.
                }
            }
            Life::Starting { .. } => {
                if !self.give_up_in_time(now, effects) {
                    self.fail(self.why_not_started(policy), now, effects);
                }
            }
            Life::Ready { check, .. } => {
                *check = Check::Asked;
                effects.push(Effect::AskBusy);
            }
            Life::Draining { .. } => self.end(now, effects),
            Life::Stopping { .. } => {
                let refusal = Refusal::Failed { diagnosis: policy::not_gone(), retry_after: policy::ASK_AGAIN };
                self.refuse_all(&refusal, effects);
            }
            Life::Stopped | Life::Failed { .. } => {}
        }
    }

    pub(super) fn fail(&mut self, diagnosis: Diagnosis, now: Instant, effects: &mut Vec<Effect>) {
        let diagnosis = self.count_failure_and_tell(diagnosis, now, effects);
        self.see_off(Some(diagnosis), now, effects);
    }

    fn count_failure_and_tell(&mut self, diagnosis: Diagnosis, now: Instant, effects: &mut Vec<Effect>) -> Diagnosis {
        if self.ready_since.is_some_and(|since| now >= since + policy::STEADY) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let diagnosis = policy::as_often(diagnosis, self.failures);
        let retry_after = policy::back_off(self.failures);
        self.refuse_all(&Refusal::Failed { diagnosis: diagnosis.clone(), retry_after }, effects);
        diagnosis
    }

    pub(super) fn refuse_all(&mut self, refusal: &Refusal, effects: &mut Vec<Effect>) {
        while let Some((waiter, _)) = self.waiting.next_turn() {
            effects.push(Effect::Refuse(waiter, refusal.clone()));
        }
    }

    /// Ends a life that may be well: none of its answers may seem whole from now on.
    pub(super) fn end(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        effects.push(Effect::HangUp);
        self.see_off(None, now, effects);
    }

    fn see_off(&mut self, failure: Option<Diagnosis>, now: Instant, effects: &mut Vec<Effect>) {
        self.unwaited_since = None;
        self.life = Life::Stopping { failure, until: now + policy::GONE_WITHIN };
        effects.push(Effect::End);
    }
}
