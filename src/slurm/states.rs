//! Slurm's job states, and what each means to us.

use std::fmt;

/// A job's state in Slurm's extended form (`%T` of `squeue`, which shows a flag such as COMPLETING before a base
/// state). From the manuals of 22.05 and the sources of later versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JobState {
    word: String,
    meaning: Meaning,
}

/// What a state means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// No process of ours has started, and the job may yet start.
    Waiting,
    /// The job has its nodes and runs.
    Running,
    /// The job keeps its nodes or its place, but its processes stand still.
    Paused,
    /// The job is over, and some of its processes may still be there.
    Ending,
    /// The job is over and gone.
    Ended(Outcome),
    /// Slurm is in the middle of something, or says a word that we do not know: that counts as alive.
    Unclear,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its command ended with exit code 0.
    Completed,
    /// Its command ended with another exit code, or could not be started.
    Failed,
    /// It was cancelled, by its user, by us or by an operator.
    Cancelled,
    /// Its time limit was reached.
    TimeLimit,
    /// It had to make room for another job.
    Preempted,
    /// A node failed or could not be started.
    NodeFailed,
    /// It used more memory than it asked for.
    OutOfMemory,
    /// It could not have ended before its deadline.
    Deadline,
}

const STATES: [(&str, &str, Meaning); 30] = [
    ("BF", "BOOT_FAIL", Meaning::Ended(Outcome::NodeFailed)),
    ("CA", "CANCELLED", Meaning::Ended(Outcome::Cancelled)),
    ("CD", "COMPLETED", Meaning::Ended(Outcome::Completed)),
    // Nodes are allocated and being booted, which can take as long as a queue; nothing of ours runs.
    ("CF", "CONFIGURING", Meaning::Waiting),
    ("CG", "COMPLETING", Meaning::Ending),
    ("DL", "DEADLINE", Meaning::Ended(Outcome::Deadline)),
    ("EX", "EXPEDITING", Meaning::Waiting),
    ("F", "FAILED", Meaning::Ended(Outcome::Failed)),
    // The node would not launch it: Slurm then requeues, holds or ends it, and the next look tells which.
    ("LF", "LAUNCH_FAILED", Meaning::Unclear),
    ("NF", "NODE_FAIL", Meaning::Ended(Outcome::NodeFailed)),
    ("OOM", "OUT_OF_MEMORY", Meaning::Ended(Outcome::OutOfMemory)),
    ("PD", "PENDING", Meaning::Waiting),
    ("PO", "POWER_UP_NODE", Meaning::Waiting),
    ("PR", "PREEMPTED", Meaning::Ended(Outcome::Preempted)),
    ("R", "RUNNING", Meaning::Running),
    ("RC", "RECONFIG_FAIL", Meaning::Unclear),
    ("RD", "RESV_DEL_HOLD", Meaning::Waiting),
    ("RF", "REQUEUE_FED", Meaning::Waiting),
    ("RH", "REQUEUE_HOLD", Meaning::Waiting),
    ("RQ", "REQUEUED", Meaning::Waiting),
    ("RS", "RESIZING", Meaning::Running),
    // In a federation the job goes on in another cluster.
    ("RV", "REVOKED", Meaning::Unclear),
    ("S", "SUSPENDED", Meaning::Paused),
    ("SE", "SPECIAL_EXIT", Meaning::Waiting),
    ("SI", "SIGNALING", Meaning::Running),
    ("SO", "STAGE_OUT", Meaning::Ending),
    ("ST", "STOPPED", Meaning::Paused),
    ("TO", "TIMEOUT", Meaning::Ended(Outcome::TimeLimit)),
    ("UD", "UPDATE_DB", Meaning::Unclear),
    // What squeue itself prints for a number that it does not know.
    ("?", "?", Meaning::Unclear),
];

impl JobState {
    /// Reads a state, in extended or compact form. A word that we do not know is kept, and counts as alive.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        let known = STATES.iter().find(|(short, long, _)| word.eq_ignore_ascii_case(long) || word == *short);
        match known {
            Some((_, long, meaning)) => Self { word: (*long).to_owned(), meaning: *meaning },
            None => Self { word: word.to_owned(), meaning: Meaning::Unclear },
        }
    }

    /// What it means to us.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        self.meaning
    }

    /// Slurm's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.word
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use test_case::test_case;

    use super::*;

    #[test_case("PENDING", "PENDING", Meaning::Waiting)]
    #[test_case("PD", "PENDING", Meaning::Waiting; "compact")]
    #[test_case("COMPLETING", "COMPLETING", Meaning::Ending)]
    #[test_case("TIMEOUT", "TIMEOUT", Meaning::Ended(Outcome::TimeLimit))]
    #[test_case("CANCELLED", "CANCELLED", Meaning::Ended(Outcome::Cancelled))]
    #[test_case("REVOKED", "REVOKED", Meaning::Unclear)]
    #[test_case("NOVEL", "NOVEL", Meaning::Unclear; "of a later version")]
    #[test_case("", "", Meaning::Unclear; "nothing")]
    fn each_state_means_something(word: &str, whole: &str, meaning: Meaning) {
        let state = JobState::parse(word);
        assert_eq!((state.as_str(), state.meaning()), (whole, meaning));
    }

    #[test]
    fn no_state_is_listed_twice() {
        let short: HashSet<_> = STATES.iter().map(|(short, _, _)| short).collect();
        let long: HashSet<_> = STATES.iter().map(|(_, long, _)| long).collect();
        assert_eq!((short.len(), long.len()), (STATES.len(), STATES.len()));
    }
}
