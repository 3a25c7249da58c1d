//! The end that Slurm sets: before it comes, nobody is let in who would be cut off.

use std::time::Duration;

use tokio::time::Instant;

use super::{Effect, Life, State};

/// The longest time before the end in which nobody is let in any more.
const LONGEST_MARGIN: Duration = Duration::from_mins(5);

/// Of a short walltime, this part of it.
const MARGIN_PART: u32 = 10;

/// Of that time, this part is left to the engine for an end in order.
const STOP_PART: u32 = 10;

/// When Slurm ends a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walltime {
    /// The end.
    pub end: Instant,
    /// For how long before it nobody is let in.
    pub margin: Duration,
}

impl Walltime {
    pub(super) fn new(now: Instant, left: Duration, limit: Duration) -> Self {
        Self { end: now + left, margin: (limit / MARGIN_PART).min(LONGEST_MARGIN) }
    }

    fn last_entry(&self) -> Instant {
        self.end.checked_sub(self.margin).unwrap_or(self.end)
    }
}

impl State {
    /// When the last request is let in, where Slurm ends the life.
    pub(super) fn last_entry(&self) -> Option<Instant> {
        self.walltime.as_ref().map(Walltime::last_entry)
    }

    /// Lets nobody in any more; what is in flight goes on for as long as it can. Who comes now waits for the next life, and
    /// if nobody comes there is none.
    pub(super) fn leave_in_time(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(Walltime { end, margin }) = self.walltime else { return };
        if self.in_flight() == 0 {
            return self.end(None, now, effects);
        }
        self.life = Life::Draining { until: end.checked_sub(margin / STOP_PART).unwrap_or(end).max(now) };
    }
}
