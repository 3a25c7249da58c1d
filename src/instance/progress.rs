//! Where an instance stands, in a few words for those who wait for it.

use super::{Phase, Snapshot};
use crate::slurm;

impl Snapshot {
    /// A few words without a line break, such as `queued (Priority), start expected 14:05`.
    #[must_use]
    pub fn progress(&self) -> String {
        if self.reconnecting {
            return "reconnecting to the host; what was started there goes on".to_owned();
        }
        match &self.phase {
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
            Phase::Ready => "the engine is ready".to_owned(),
            Phase::Draining | Phase::Stopping(_) => "the engine before is being ended".to_owned(),
            Phase::Failed(_) => "the engine failed".to_owned(),
        }
    }
}
