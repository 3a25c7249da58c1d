//! Where an instance stands, in a few words for those who wait for it.

use super::{Phase, Snapshot};
use crate::api::State;
use crate::backend::Diagnosis;
use crate::launch::{LOGIN_REQUIRED, LinkState};
use crate::slurm;

/// How it is told that Slurm lets a job stand still.
pub const PAUSED: &str = "paused by Slurm";

impl Phase {
    /// The coarse state, as the outside world knows it.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Stopped => State::Stopped,
            Self::Recovering | Self::Submitting | Self::Queued { .. } | Self::Starting | Self::Unreachable(_) => {
                State::Bootstrapping
            }
            Self::Ready => State::Ready,
            Self::Draining | Self::Stopping(_) => State::Stopping,
            Self::Failed(_) => State::Failed,
        }
    }

    /// The fine word for it, in `/health` and in what programs read.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Recovering => "recovering",
            Self::Submitting => "submitting",
            Self::Queued { .. } => "queued",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unreachable(_) => "unreachable",
            Self::Draining => "draining",
            Self::Stopping(_) => "stopping",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether there is no life: nothing is asked for, nothing runs.
    #[must_use]
    pub fn is_down(&self) -> bool {
        match self {
            Self::Stopped | Self::Failed(_) => true,
            Self::Recovering
            | Self::Submitting
            | Self::Queued { .. }
            | Self::Starting
            | Self::Ready
            | Self::Unreachable(_)
            | Self::Draining
            | Self::Stopping(_) => false,
        }
    }

    /// Why the engine failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Diagnosis> {
        match self {
            Self::Failed(diagnosis) | Self::Stopping(Some(diagnosis)) => Some(diagnosis),
            Self::Stopped
            | Self::Recovering
            | Self::Submitting
            | Self::Queued { .. }
            | Self::Starting
            | Self::Ready
            | Self::Unreachable(_)
            | Self::Draining
            | Self::Stopping(None) => None,
        }
    }

    /// What is wrong, if something is: why it failed, or why an engine that lives cannot be had.
    #[must_use]
    pub fn problem(&self) -> Option<&Diagnosis> {
        if let Self::Unreachable(diagnosis) = self { Some(diagnosis) } else { self.failure() }
    }
}

impl Snapshot {
    /// Why nothing goes on, in Slurm's words or in ours of what Slurm does.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &self.phase {
            Phase::Queued { reason, .. } => reason.clone(),
            Phase::Stopped
            | Phase::Recovering
            | Phase::Submitting
            | Phase::Starting
            | Phase::Ready
            | Phase::Unreachable(_)
            | Phase::Draining
            | Phase::Stopping(_)
            | Phase::Failed(_) => self.paused.then(|| PAUSED.to_owned()),
        }
    }

    /// What the host asks a person for, and what to do, if that is why there is no engine, or no way to it.
    #[must_use]
    pub fn login_needed(&self) -> Option<&Diagnosis> {
        match &self.link {
            LinkState::NeedsLogin { why, .. } => Some(why),
            LinkState::Connected | LinkState::Reconnecting { .. } => {
                self.phase.failure().filter(|diagnosis| diagnosis.code == LOGIN_REQUIRED)
            }
        }
    }

    /// A few words without a line break, such as `queued (Priority), start expected 14:05`.
    #[must_use]
    pub fn progress(&self) -> String {
        match &self.link {
            LinkState::Connected => {}
            LinkState::Reconnecting { .. } => {
                return "reconnecting to the host; what was started there goes on".to_owned();
            }
            LinkState::NeedsLogin { .. } => {
                return "the host asks for a login; what was started there goes on".to_owned();
            }
        }
        if self.paused {
            return format!("{PAUSED}; the engine goes on as soon as Slurm resumes its job");
        }
        match &self.phase {
            Phase::Recovering => "looking for the engine that an earlier run left behind".to_owned(),
            Phase::Stopped | Phase::Submitting => "asking for the engine".to_owned(),
            Phase::Queued { reason, expected_start } => {
                let reason = reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                let start = expected_start.as_deref().map(|at| slurm::short_start(at, slurm::today()));
                let start = start.map(|at| format!(", start expected {at}")).unwrap_or_default();
                format!("queued{reason}{start}")
            }
            Phase::Starting => {
                let node = self.node.as_deref().map(|node| format!(" on {node}")).unwrap_or_default();
                let loading = self.loading.as_ref().map_or_else(|| "starting".to_owned(), ToString::to_string);
                format!("the engine{node}: {loading}")
            }
            Phase::Ready if self.waiting > 0 => {
                format!("the engine is ready and has all it may; waiting for a turn, {} in all", self.waiting)
            }
            Phase::Ready => "the engine is ready".to_owned(),
            Phase::Unreachable(_) => "the engine runs, and a way to it is looked for".to_owned(),
            Phase::Draining | Phase::Stopping(_) => "the engine before is being ended".to_owned(),
            Phase::Failed(_) => "the engine failed".to_owned(),
        }
    }
}
