//! How an engine is given up for another that is waited for.

use tokio::time::Instant;

use super::policy::{self, Policy};
use super::{Check, Effect, Life, State};
use crate::backend::Diagnosis;
use crate::launch;

impl State {
    /// Whether nothing holds a ready engine, and since when: since its last inference ended, or longer if it had none.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        match &self.life {
            Life::Ready { idle_since, .. } if self.in_flight() == 0 => Some(*idle_since),
            Life::Ready { .. }
            | Life::Stopped
            | Life::Recovering { .. }
            | Life::Submitting { .. }
            | Life::Queued { .. }
            | Life::Starting { .. }
            | Life::Draining { .. }
            | Life::Stopping { .. }
            | Life::Failed { .. } => None,
        }
    }

    /// Why it waited in vain, when it may wait no longer.
    pub(super) fn why_not_begun(&self, policy: &Policy) -> Diagnosis {
        match &self.life {
            Life::Queued { reason: Some(reason), .. } if reason.starts_with(launch::WAITS_FOR) => {
                policy::waited_in_vain(reason, policy.queue_timeout)
            }
            Life::Queued { .. }
            | Life::Stopped
            | Life::Recovering { .. }
            | Life::Submitting { .. }
            | Life::Starting { .. }
            | Life::Ready { .. }
            | Life::Draining { .. }
            | Life::Stopping { .. }
            | Life::Failed { .. } => policy::queue_timed_out(policy.queue_timeout),
        }
    }

    /// An idle engine is asked whether it works on something of its own, as before any end for idleness; but not once it had its
    /// turn, for that work may never end. A busy one has as long as a job may wait in a queue: longer than anybody waits for it.
    pub(super) fn yield_to_others(
        &mut self,
        life: u64,
        drain: bool,
        now: Instant,
        policy: &Policy,
        effects: &mut Vec<Effect>,
    ) {
        let idle = self.in_flight() == 0;
        let Life::Ready { check, .. } = &mut self.life else { return };
        if life != self.number {
            return;
        }
        match (drain, idle) {
            (true, true) => self.end(now, effects),
            (true, false) => self.life = Life::Draining { until: self.at_the_latest(now + policy.queue_timeout) },
            (false, true) if !self.yields => {
                self.yields = true;
                if *check != Check::Asked {
                    *check = Check::Asked;
                    effects.push(Effect::AskBusy);
                }
            }
            (false, _) => {}
        }
    }
}
