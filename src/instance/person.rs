//! What a person does to an instance: starts it, stops it, and mends what only a person can.

use tokio::time::Instant;

use super::policy;
use super::{Effect, Life, Policy, Refusal, State};
use crate::backend::Diagnosis;

impl State {
    /// A person's start neither honours the back-off nor is withdrawn because nobody waits for it.
    pub(super) fn start(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.closing {
            return;
        }
        match &mut self.life {
            Life::Stopped | Life::Failed { .. } => {
                self.next_asked = true;
                self.launch(now, effects);
            }
            Life::Recovering { .. } | Life::Submitting { .. } | Life::Queued { .. } | Life::Starting { .. } => {
                self.asked = true;
                self.unwaited_since = None;
            }
            Life::Draining { .. } => self.next_asked = true,
            Life::Stopping { failure, .. } => {
                *failure = None;
                self.next_asked = true;
            }
            Life::Ready { .. } => {}
        }
    }

    /// What failed was another engine: the next one need not wait.
    pub(super) fn replace(&mut self, now: Instant, policy: &Policy, effects: &mut Vec<Effect>) {
        self.reset();
        self.stop(now, policy, effects);
    }

    /// Forgets failures and the pause after them, and that a person was needed. What is left of a life is still verified
    /// gone first.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
        self.login = None;
        match &mut self.life {
            Life::Failed { .. } => self.life = Life::Stopped,
            Life::Stopping { failure, .. } => *failure = None,
            Life::Stopped
            | Life::Recovering { .. }
            | Life::Submitting { .. }
            | Life::Queued { .. }
            | Life::Starting { .. }
            | Life::Ready { .. }
            | Life::Draining { .. } => {}
        }
    }

    /// The life goes on where it runs; but whoever waits for it would wait for a person, and is told so.
    pub(super) fn login_moved(&mut self, needed: Option<Diagnosis>, effects: &mut Vec<Effect>) {
        self.login = needed.filter(|_| !self.is_down());
        if let Some(diagnosis) = &self.login {
            let refusal = Refusal::Failed { diagnosis: diagnosis.clone(), retry_after: policy::ASK_AGAIN };
            self.refuse_all(&refusal, effects);
        }
    }
}
