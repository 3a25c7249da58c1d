//! A job that Slurm lets stand still: its engine says nothing, and is not to blame for it.

use tokio::time::Instant;

use super::policy::{self, Policy};
use super::{Life, State};
use crate::backend::Diagnosis;

impl State {
    /// Whether Slurm lets the current life stand still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let lives = matches!(self.life, Life::Starting { .. } | Life::Ready { .. } | Life::Draining { .. });
        lives && self.paused_since.is_some()
    }

    /// Slurm was seen to let the job stand still, or to let it go on.
    pub(super) fn paused_is(&mut self, paused: bool, now: Instant) {
        match (paused, self.paused_since) {
            (true, None) => {
                self.paused_since = Some(now);
                // Its end moves away for as long; Slurm says where to, once the job runs.
                self.walltime = None;
            }
            (false, Some(paused_since)) => {
                self.paused_since = None;
                if let Life::Starting { since } = &mut self.life {
                    *since += now.saturating_duration_since(paused_since.max(*since));
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Until when an engine that starts must be ready. One that stands still waits as if it were in the queue.
    pub(super) fn last_start(&self, since: Instant, policy: &Policy) -> Instant {
        self.paused_since.map_or(since + policy.startup_timeout, |paused_since| paused_since + policy.queue_timeout)
    }

    pub(super) fn why_not_started(&self, policy: &Policy) -> Diagnosis {
        match self.paused_since {
            Some(_) => policy::paused_too_long(policy.queue_timeout),
            None => policy::startup_timed_out(policy.startup_timeout),
        }
    }
}
