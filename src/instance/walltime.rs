//! The end that Slurm sets: before it comes, nobody is let in who would be cut off.

use std::time::Duration;

use tokio::time::Instant;

use super::{Effect, Life, State, policy};
use crate::launch::Allowance;

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
    fn new(now: Instant, Allowance { left, limit }: Allowance) -> Self {
        Self { end: now + left, margin: (limit / MARGIN_PART).min(LONGEST_MARGIN) }
    }

    fn last_entry(&self) -> Instant {
        self.end.checked_sub(self.margin).unwrap_or(self.end)
    }

    /// Until when what is in flight may go on.
    fn last_exit(&self) -> Instant {
        self.end.checked_sub(self.margin / STOP_PART).unwrap_or(self.end)
    }
}

impl State {
    /// Slurm said when it ends the life, or that it does not. The limit may be moved at any time.
    pub(super) fn walltime_is(&mut self, allowance: Option<Allowance>, now: Instant) {
        self.walltime = allowance.map(|allowance| Walltime::new(now, allowance));
        if let Life::Draining { until } = self.life {
            self.life = Life::Draining { until: self.at_the_latest(until) };
        }
    }

    /// This time, or the earlier one at which the engine must be told to end if it shall end in order.
    pub(super) fn at_the_latest(&self, until: Instant) -> Instant {
        self.walltime.map_or(until, |walltime| walltime.last_exit().min(until))
    }

    /// When the last request is let in, where Slurm ends the life.
    pub(super) fn last_entry(&self) -> Option<Instant> {
        self.walltime.as_ref().map(Walltime::last_entry)
    }

    fn is_too_late(&self, now: Instant) -> bool {
        self.last_entry().is_some_and(|last| now >= last)
    }

    /// Once it is too late, lets nobody in any more; what is in flight goes on for as long as it can. Who comes then waits for
    /// the next life, and if nobody comes there is none.
    pub(super) fn leave_in_time(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let (Life::Ready { .. }, Some(walltime), true) = (&self.life, self.walltime, self.is_too_late(now)) else {
            return false;
        };
        if self.in_flight() == 0 {
            self.end(now, effects);
        } else {
            self.life = Life::Draining { until: walltime.last_exit().max(now) };
        }
        true
    }

    /// Gives up a life that is not ready, or only now, once it is too late: nobody would be let in. Of one that an earlier
    /// process left behind that is no failure; of one of ours it is, since the next would come no further.
    pub(super) fn give_up_in_time(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let too_late = self.is_too_late(now);
        match (too_late, self.recovered) {
            (false, _) => {}
            (true, true) => self.end(now, effects),
            (true, false) => self.fail(policy::walltime_too_short(), now, effects),
        }
        too_late
    }
}
