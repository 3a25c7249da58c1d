//! A life that is a job by itself, asked for by `sbatch`: nobody on the host waits for it. Where it was killed it cannot tell
//! that it ended, so that is seen from outside, and told in its place.

use super::causes;
use super::life::{Left, Life, Stage};
use super::presence;
use crate::backend::Diagnosis;
use crate::id::JobId;
use crate::keeper::{Script, ScriptError};
use crate::slurm::JobView;

/// Looks in a row that see no job that Slurm once took, where Slurm does not say how it ended, until that is believed.
const LOOKS_WITHOUT_JOB: u32 = 2;

/// How Slurm says that a node could not open the job's output, which is a file of the life's folder: version 22.05 by the
/// first, and by the signal that its code 4021 looks like where only that is kept.
const NO_OUTPUT: [&str; 2] = ["JobLaunchFailure", "RaisedSignal:53"];

/// What is known of how a life was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submission {
    /// Nothing; a launcher on the host speaks for it.
    NotTold,
    /// Slurm took it as a job.
    Taken,
    /// Slurm took it, and has it no more.
    SeenOver,
}

impl Life {
    /// Whether nobody on the host waits for its end.
    pub(super) fn is_submitted(&self) -> bool {
        self.submission != Submission::NotTold
    }

    /// Slurm took it as a job.
    pub(super) fn submitted(&mut self, job: Option<JobId>) {
        if !self.is_submitted() {
            self.submission = Submission::Taken;
        }
        if job.is_some() && self.record.job != job {
            self.record.job = job;
            self.save();
        }
    }

    /// Slurm has no such job. If that is its end, its files tell more, or the runner tells in their place.
    pub(super) async fn seen_without_job(&mut self) -> Option<Left> {
        if self.submission == Submission::SeenOver {
            // Whoever was to say so cannot write it, as on a disk that is full.
            self.ended(causes::vanished()).await;
            return Some(Left::Over);
        }
        self.odd_looks += 1;
        let told = presence::how_it_ended(&self.place, &self.plan, self.record.job).await.is_some();
        if !told && self.odd_looks < LOOKS_WITHOUT_JOB {
            return None;
        }
        self.odd_looks = 0;
        self.submission = Submission::SeenOver;
        Some(Left::Reattach)
    }

    /// What the host is given to find it again.
    pub(super) fn attaching(&self) -> Result<Script, ScriptError> {
        match self.submission {
            Submission::NotTold | Submission::Taken => self.runner.attach(self.log.offset),
            Submission::SeenOver => self.runner.attach_to_ended(self.log.offset),
        }
    }

    /// Why a job that its node could not begin did not start, where this is the cause.
    pub(super) fn not_begun(&self, job: &JobView) -> Option<Diagnosis> {
        let reason = job.reason.as_deref().unwrap_or_default();
        let no_output = NO_OUTPUT.iter().any(|begin| reason.starts_with(begin));
        let begun = self.stage >= Stage::KeeperRuns || !self.is_submitted();
        (no_output && !begun).then(|| causes::folder_not_on_node(job.node.as_deref().unwrap_or("its node")))
    }
}
