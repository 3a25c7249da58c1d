//! What requests do to an instance: they come, wait, hold it, leave.

use tokio::time::Instant;

use super::policy::{self, Policy};
use super::{Check, Effect, Held, Hold, Joined, Life, Party, Refusal, State, Waiter};
use crate::backend::Diagnosis;

impl State {
    pub(super) fn acquire(
        &mut self,
        waiter: Waiter,
        party: Party,
        hold: Hold,
        now: Instant,
        policy: &Policy,
        effects: &mut Vec<Effect>,
    ) {
        self.leave_in_time(now, effects);
        let refusal = if self.closing {
            Refusal::ShuttingDown
        } else if let Some(diagnosis) = self.login.as_ref().or_else(|| self.out_of_reach()) {
            Refusal::Failed { diagnosis: diagnosis.clone(), retry_after: policy::ASK_AGAIN }
        } else {
            match &self.life {
                Life::Ready { .. } if self.may_enter(hold, policy) => return self.grant(waiter, hold, effects),
                Life::Failed { diagnosis, retry_at } if now < *retry_at => {
                    Refusal::Failed { diagnosis: diagnosis.clone(), retry_after: *retry_at - now }
                }
                Life::Stopping { failure: Some(diagnosis), .. } => {
                    let retry_after = policy::back_off(self.failures);
                    Refusal::Failed { diagnosis: diagnosis.clone(), retry_after }
                }
                Life::Stopping { failure: None, until } if now >= *until => {
                    Refusal::Failed { diagnosis: policy::not_gone(), retry_after: policy::ASK_AGAIN }
                }
                Life::Stopped
                | Life::Recovering { .. }
                | Life::Submitting { .. }
                | Life::Queued { .. }
                | Life::Starting { .. }
                | Life::Ready { .. }
                | Life::Draining { .. }
                | Life::Stopping { failure: None, .. }
                | Life::Failed { .. } => {
                    let too_many = Refusal::TooManyWaiting { limit: policy.max_waiting };
                    match self.waiting.join(waiter, party, hold, policy.max_waiting) {
                        Joined::No => too_many,
                        joined @ (Joined::Yes | Joined::InsteadOf(_)) => {
                            if let Joined::InsteadOf(other) = joined {
                                effects.push(Effect::Refuse(other, too_many));
                            }
                            self.unwaited_since = None;
                            if self.is_down() {
                                self.launch(now, effects);
                            }
                            return;
                        }
                    }
                }
            }
        };
        effects.push(Effect::Refuse(waiter, refusal));
    }

    /// Who waits for his turn at an engine that no way leads to any more is told so, as those are who come.
    pub(super) fn way_moved(&mut self, why: Option<Diagnosis>, effects: &mut Vec<Effect>) {
        self.unreachable = why.filter(|_| !self.is_down());
        if let Some(diagnosis) = self.out_of_reach() {
            let refusal = Refusal::Failed { diagnosis: diagnosis.clone(), retry_after: policy::ASK_AGAIN };
            self.refuse_all(&refusal, effects);
        }
    }

    /// Why a ready engine cannot be had, if so. One that starts is waited for, and so is the way to it.
    fn out_of_reach(&self) -> Option<&Diagnosis> {
        self.unreachable.as_ref().filter(|_| matches!(self.life, Life::Ready { .. }))
    }

    pub(super) fn try_acquire(
        &mut self,
        waiter: Waiter,
        hold: Hold,
        now: Instant,
        policy: &Policy,
        effects: &mut Vec<Effect>,
    ) {
        self.leave_in_time(now, effects);
        if self.is_open() && self.may_enter(hold, policy) {
            self.grant(waiter, hold, effects);
        } else {
            effects.push(Effect::Decline(waiter));
        }
    }

    /// Whether a ready engine can be had, as far as it is not full.
    fn is_open(&self) -> bool {
        matches!(self.life, Life::Ready { .. }) && !self.closing && self.login.is_none() && self.unreachable.is_none()
    }

    /// Whether there is room for one more at once. What is no inference takes none.
    fn may_enter(&self, hold: Hold, policy: &Policy) -> bool {
        match hold {
            Hold::Inference => policy.requests_in_flight.is_none_or(|limit| self.inference < limit.get()),
            Hold::Helper => true,
        }
    }

    /// Lets in those who wait, as far as there is room: after whatever happened, since room comes in many ways.
    pub(super) fn give_turns(&mut self, now: Instant, policy: &Policy, effects: &mut Vec<Effect>) {
        if self.waiting.is_empty() || !self.is_open() {
            return;
        }
        self.leave_in_time(now, effects);
        while self.is_open() && self.may_enter(Hold::Inference, policy) {
            let Some((waiter, hold)) = self.waiting.next_turn() else { return };
            self.grant(waiter, hold, effects);
        }
    }

    fn grant(&mut self, waiter: Waiter, hold: Hold, effects: &mut Vec<Effect>) {
        self.yields = false;
        match hold {
            Hold::Inference => {
                self.inference += 1;
                self.served = true;
            }
            Hold::Helper => self.helpers += 1,
        }
        effects.push(Effect::Grant(waiter, hold));
    }

    pub(super) fn abandon(&mut self, waiter: Waiter, now: Instant) {
        if self.waiting.leave(waiter) && self.waiting.is_empty() && !self.asked {
            self.unwaited_since = Some(now);
        }
    }

    /// Whether requests may enter by themselves: whatever else happens now, they would be let in.
    #[must_use]
    pub fn lets_in(&self, policy: &Policy) -> bool {
        let asked = matches!(self.life, Life::Ready { check: Check::Asked, .. });
        self.is_open() && !asked && !self.yields && self.waiting.is_empty() && policy.requests_in_flight.is_none()
    }

    pub(super) fn held(&mut self, held: Held, now: Instant, effects: &mut Vec<Effect>) {
        (self.inference, self.helpers) = (held.inference, held.helpers);
        self.served |= held.inference > 0 || held.left.is_some();
        if let (Life::Ready { idle_since, check }, Some(left)) = (&mut self.life, held.left)
            && left > *idle_since
        {
            *idle_since = left;
            *check = Check::None;
        }
        if matches!(self.life, Life::Draining { .. }) && self.in_flight() == 0 {
            self.end(now, effects);
        }
    }

    pub(super) fn nudge(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let may_start = match &self.life {
            Life::Stopped => true,
            Life::Failed { retry_at, .. } => now >= *retry_at,
            Life::Recovering { .. }
            | Life::Submitting { .. }
            | Life::Queued { .. }
            | Life::Starting { .. }
            | Life::Ready { .. }
            | Life::Draining { .. }
            | Life::Stopping { .. } => false,
        };
        if may_start && self.nudges && !self.closing {
            self.launch(now, effects);
            self.unwaited_since = Some(now);
        }
    }
}
