//! What requests do to an instance: they come, wait, hold it, leave.

use tokio::time::Instant;

use super::policy::{self, Policy};
use super::{Check, Effect, Hold, Life, Refusal, State, Waiter};
use crate::backend::Diagnosis;

impl State {
    pub(super) fn acquire(
        &mut self,
        waiter: Waiter,
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
                Life::Ready { .. } => return self.grant(waiter, hold, effects),
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
                | Life::Draining { .. }
                | Life::Stopping { failure: None, .. }
                | Life::Failed { .. } => {
                    if self.waiting.len() < policy.max_waiting {
                        self.waiting.insert(waiter, hold);
                        self.unwaited_since = None;
                        if self.is_down() {
                            self.launch(now, effects);
                        }
                        return;
                    }
                    Refusal::TooManyWaiting { limit: policy.max_waiting }
                }
            }
        };
        effects.push(Effect::Refuse(waiter, refusal));
    }

    /// Why a ready engine cannot be had, if so. One that starts is waited for, and so is the way to it.
    fn out_of_reach(&self) -> Option<&Diagnosis> {
        self.unreachable.as_ref().filter(|_| matches!(self.life, Life::Ready { .. }))
    }

    pub(super) fn try_acquire(&mut self, waiter: Waiter, hold: Hold, now: Instant, effects: &mut Vec<Effect>) {
        self.leave_in_time(now, effects);
        if matches!(self.life, Life::Ready { .. })
            && !self.closing
            && self.login.is_none()
            && self.unreachable.is_none()
        {
            self.grant(waiter, hold, effects);
        } else {
            effects.push(Effect::Decline(waiter));
        }
    }

    pub(super) fn grant(&mut self, waiter: Waiter, hold: Hold, effects: &mut Vec<Effect>) {
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
        if self.waiting.remove(&waiter).is_some() && self.waiting.is_empty() && !self.asked {
            self.unwaited_since = Some(now);
        }
    }

    pub(super) fn release(&mut self, number: u64, hold: Hold, now: Instant, effects: &mut Vec<Effect>) {
        if number != self.number {
            return; // Of an earlier life, which is gone.
        }
        match hold {
            Hold::Inference => {
                self.inference = self.inference.saturating_sub(1);
                if let Life::Ready { idle_since, check } = &mut self.life
                    && self.inference == 0
                {
                    *idle_since = now;
                    *check = Check::None;
                }
            }
            Hold::Helper => self.helpers = self.helpers.saturating_sub(1),
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
