//! A life that an earlier process left behind: found by its record, and followed as if that process had never died.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::life::{Life, Stage};
use super::missing::SUBMISSION_BOUND;
use super::{Fingerprint, LeftBehind, NewsSender, Order, Place, Plan, Record, causes};
use crate::backend::Diagnosis;
use crate::keeper::{Folder, Nonce, Runner, ScriptError};

/// Words of the lease that may have been sent and not written down: a keeper heeds only numbers that grow.
const WORDS_UNWRITTEN: u64 = 1 << 20;

impl Life {
    /// Goes on with it. One that was to end, or that runs something else than what is wanted now, is seen to its end.
    pub(super) fn resume(
        place: Arc<Place>,
        plan: &Plan,
        mut record: Record,
        news: NewsSender,
        tasks: TaskTracker,
    ) -> Result<Self, Diagnosis> {
        let ends = LeftBehind::of(&record, plan) != LeftBehind::GoesOn;
        let plan = Arc::new(Plan {
            starter: record.starter.clone(),
            lease: Duration::from_secs(record.lease_s),
            stop_timeout: Duration::from_secs(record.stop_s),
            ..plan.clone()
        });
        let runner = runner(&record).map_err(|error| causes::command_not_written(&error))?;
        record.lease_word += WORDS_UNWRITTEN;
        let exists = record.job.is_some() || record.node.is_some();
        info!(life = record.life.as_str(), job = ?record.job, "an earlier process left this life behind");
        let mut life = Self::new(place, plan, record, runner, None, news, tasks);
        if exists {
            life.reach(Stage::Launched);
        } else {
            // That process may have died with its word on the way.
            life.reach(Stage::Asked);
            life.settles_at = Some(Instant::now() + SUBMISSION_BOUND);
        }
        if ends {
            life.ordered(Order::End);
        }
        Ok(life)
    }
}

fn runner(record: &Record) -> Result<Runner, ScriptError> {
    Ok(Runner {
        nonce: Nonce::from_text(&record.nonce)?,
        folder: Folder::new(&record.instance, &record.life)?,
        far: record.starter.is_batch(),
    })
}

impl LeftBehind {
    /// What becomes of a life with this record, where this is the plan now.
    #[must_use]
    pub fn of(record: &Record, plan: &Plan) -> Self {
        match (record.ending, record.plan == Fingerprint::of(plan)) {
            (true, _) => Self::WasEnding,
            (false, true) => Self::GoesOn,
            (false, false) => Self::OtherPlan,
        }
    }
}
