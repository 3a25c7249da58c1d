//! A life that the machine which was reached does not know: another one behind the host's name may have its folder, or it
//! was never started. What may live, or may come to live yet, is never started a second time.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::life::{Life, Stage};
use super::presence::{self, Presence};
use super::{Order, causes};
use crate::backend::Diagnosis;

/// A launch whose answer was lost happens within this time, or never: Linux forgets what a closed connection still had to
/// send after some 100 s, and `srun` is with the scheduler a moment after it was started.
pub(super) const SUBMISSION_BOUND: Duration = Duration::from_mins(2);

/// A scheduler that did not answer us may not have answered `srun` either, which then tries again: after 15 s at most, and
/// 10 s for a try.
const SRUN_RETRIES_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// What is known of a life whose folder is not on this machine.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is known from here, from there and of our own orders are facts of their own"
)]
struct Known {
    /// Whether it was ever heard that it exists.
    launched: bool,
    /// Whether this is the machine that was asked for it.
    same_machine: bool,
    /// Whether what was not seen until now will not come any more.
    settled: bool,
    /// Whether its end is ordered.
    ordered: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Look again: for the folder, and from outside.
    LookAgain,
    /// End what is there and can never be followed, and look again.
    End,
    /// It never was, and never will be: start it.
    Launch,
    /// It is over, or is to be ended.
    Over,
}

impl Known {
    fn next(self, seen: &Presence) -> Next {
        match seen {
            // Who sees it gone waits for a word as well, and knows more ways to end it.
            Presence::Unknown | Presence::NoScheduler if self.launched && self.ordered => Next::Over,
            Presence::Unknown => Next::LookAgain,
            Presence::Elsewhere => Next::Over,
            Presence::Job(_) | Presence::Processes => self.it_lives(),
            // Once there was a scheduler, and its word is waited for.
            Presence::NoScheduler if self.launched => Next::LookAgain,
            Presence::Nothing if self.launched => Next::Over,
            // On one machine the folder itself lets nobody start the life twice, however late the first one comes.
            Presence::Nothing if self.same_machine && !self.ordered => Next::Launch,
            Presence::Nothing | Presence::NoScheduler => self.it_was_not_seen(),
        }
    }

    fn it_lives(self) -> Next {
        // A home folder that is not mounted just now does not end a job.
        let may_be_followed_yet = !self.settled || self.launched && self.same_machine;
        if self.ordered {
            Next::Over
        } else if may_be_followed_yet {
            Next::LookAgain
        } else if self.launched {
            Next::Over
        } else {
            Next::End
        }
    }

    fn it_was_not_seen(self) -> Next {
        match (self.settled, self.ordered) {
            (false, _) => Next::LookAgain,
            (true, false) => Next::Launch,
            (true, true) => Next::Over,
        }
    }
}

impl Life {
    /// Notes that this machine is now asked to start it, before it is.
    pub(super) fn asked_of(&mut self, machine: String) {
        self.reach(Stage::Asked);
        let now = Instant::now();
        self.settles_at = Some(now + SUBMISSION_BOUND);
        self.renewed = now;
        self.record.machine = Some(machine);
        self.save();
    }

    /// Whether a launch whose answer was lost may yet happen.
    pub(super) fn may_yet_come(&self) -> bool {
        self.stage < Stage::Launched && self.settles_at.is_some_and(|at| Instant::now() < at)
    }

    /// The scheduler did not answer: what was asked of it may come later for that.
    pub(super) fn not_answered(&mut self) {
        let later = Instant::now() + SRUN_RETRIES_WITHIN;
        self.settles_at = self.settles_at.map(|at| at.max(later));
    }

    /// Looks for what this machine does not know, and decides; says if the life is over.
    pub(super) async fn missing(&mut self, orders: &mut mpsc::Receiver<Order>) -> bool {
        let settles_at = *self.settles_at.get_or_insert_with(|| Instant::now() + SUBMISSION_BOUND);
        let seen = presence::look(&self.subject()).await;
        let known = Known {
            launched: self.stage >= Stage::Launched,
            same_machine: self.here.is_some() && self.here == self.record.machine,
            settled: Instant::now() >= settles_at,
            ordered: self.ordered.is_some(),
        };
        let next = known.next(&seen);
        debug!(?known, ?seen, ?next, "this machine does not know the life");
        match next {
            Next::Over => {
                if matches!(seen, Presence::Job(_) | Presence::Processes) {
                    self.settles_at = None; // It came, and does not come again.
                }
                self.ended(self.why_missing()).await;
                return true;
            }
            // Whoever wanted it went with its process.
            Next::Launch if self.launch.is_none() => return true,
            Next::Launch => {
                self.launch_again = true;
                return false;
            }
            Next::End => presence::end_from_outside(&self.subject()).await,
            Next::LookAgain if seen == Presence::Unknown => self.not_answered(),
            Next::LookAgain => self.tell_queued(seen).await,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            Some(order) = orders.recv() => self.ordered(order),
        }
        false
    }

    fn why_missing(&self) -> Diagnosis {
        match (&self.record.machine, &self.here) {
            (Some(machine), Some(here)) if machine != here => causes::on_another_machine(machine, here),
            (_, _) => causes::vanished(),
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const ASKED: Known = Known { launched: false, same_machine: false, settled: false, ordered: false };
    const LAUNCHED: Known = Known { launched: true, ..ASKED };

    fn settled(known: Known) -> Known {
        Known { settled: true, ..known }
    }

    fn here(known: Known) -> Known {
        Known { same_machine: true, ..known }
    }

    fn ordered(known: Known) -> Known {
        Known { ordered: true, ..known }
    }

    #[test_case(ASKED, &Presence::Nothing, Next::LookAgain; "the first may be on its way")]
    #[test_case(ASKED, &Presence::NoScheduler, Next::LookAgain; "nobody to ask")]
    #[test_case(settled(ASKED), &Presence::Nothing, Next::Launch; "the first never came")]
    #[test_case(here(ASKED), &Presence::Nothing, Next::Launch; "the folder is the guard")]
    #[test_case(ASKED, &Presence::Processes, Next::LookAgain; "it came, and its folder may be seen yet")]
    #[test_case(settled(ASKED), &Presence::Processes, Next::End; "it came and cannot be followed")]
    #[test_case(ordered(ASKED), &Presence::Processes, Next::Over; "it came and is to be ended")]
    #[test_case(ordered(here(ASKED)), &Presence::Nothing, Next::LookAgain; "it may come and is to be ended")]
    #[test_case(ordered(settled(ASKED)), &Presence::Nothing, Next::Over; "it never came and is to be ended")]
    #[test_case(LAUNCHED, &Presence::Nothing, Next::Over; "it ended")]
    #[test_case(LAUNCHED, &Presence::Processes, Next::LookAgain; "it lives, and its folder may be seen yet")]
    #[test_case(settled(LAUNCHED), &Presence::Processes, Next::Over; "it lives and cannot be followed")]
    #[test_case(here(settled(LAUNCHED)), &Presence::Processes, Next::LookAgain; "a home folder that is away")]
    #[test_case(ordered(LAUNCHED), &Presence::Unknown, Next::Over; "nobody says whether it lives, and it is to be ended")]
    #[test_case(ordered(LAUNCHED), &Presence::NoScheduler, Next::Over; "nobody to ask, and it is to be ended")]
    #[test_case(LAUNCHED, &Presence::Elsewhere, Next::Over; "on the other machine itself")]
    fn one_life_at_a_time(known: Known, seen: &Presence, next: Next) {
        assert_eq!(known.next(seen), next);
    }

    #[test]
    fn unknown_counts_as_there() {
        for known in [ASKED, LAUNCHED, settled(here(ASKED)), ordered(settled(ASKED)), settled(LAUNCHED)] {
            assert_eq!(known.next(&Presence::Unknown), Next::LookAgain, "{known:?}");
        }
    }
}
