//! What is told of an instance in lines that stay: its milestones, and where no line can change, its progress in bounds.

use std::time::Duration;

use jiff::civil::Date;
use tokio::time::Instant;

use super::status_line;
use crate::backend::{Diagnosis, Loading};
use crate::config::format_duration;
use crate::id::{InstanceName, JobId};
use crate::instance::{PAUSED, Phase, Snapshot};
use crate::launch::LinkState;
use crate::slurm;

/// How often a line says that a job still waits.
pub(super) const REMINDER: Duration = Duration::from_mins(1);

/// What was told so far.
#[derive(Debug)]
pub(super) struct Milestones {
    name: InstanceName,
    said: Snapshot,
    started: Instant,
    idle_timeout: Option<Duration>,
    /// Where no line can change: what was last told of the progress, and when.
    plain: Option<(Progress, Instant)>,
}

/// What of the progress is worth a line: where only the rest differs, nothing is said.
#[derive(Clone, Debug, PartialEq)]
enum Progress {
    None,
    Queued(Option<JobId>, Option<String>),
    /// The node, the step, and the quarter of it.
    Starting(Option<String>, Option<(&'static str, Option<u8>)>),
}

impl Milestones {
    /// Nothing was told. `live` says whether a line that changes tells the progress.
    pub(super) fn new(
        name: &InstanceName,
        first: Snapshot,
        now: Instant,
        idle_timeout: Option<Duration>,
        live: bool,
    ) -> Self {
        Self {
            name: name.clone(),
            said: first,
            started: now,
            idle_timeout,
            plain: (!live).then_some((Progress::None, now)),
        }
    }

    /// The lines for what is new.
    pub(super) fn lines(&mut self, seen: &Snapshot, now: Instant, today: Date) -> Vec<String> {
        let begins = |phase: &Phase| matches!(phase, Phase::Recovering | Phase::Submitting);
        if begins(&seen.phase) && !begins(&self.said.phase) {
            self.started = now;
        }
        let mut lines: Vec<String> = self.milestone(seen, now).into_iter().collect();
        lines.extend(self.progress(seen, now, today));
        if let Some(advice) = hint(seen).filter(|advice| hint(&self.said) != Some(*advice)) {
            lines.push(format!("hint: {advice}"));
        }
        if !seen.link.tells_the_same(&self.said.link) {
            lines.push(match &seen.link {
                LinkState::Connected => "connected again".to_owned(),
                LinkState::Reconnecting { .. } => {
                    "lost the connection to the host; what was started there goes on; reconnecting".to_owned()
                }
                LinkState::NeedsLogin { why, .. } => format!("{}\n  hint: {}", why.summary, why.remedy),
            });
        }
        if seen.paused != self.said.paused && matches!(seen.phase, Phase::Starting | Phase::Ready | Phase::Draining) {
            lines.push(if seen.paused {
                format!("{PAUSED}; the engine goes on as soon as Slurm resumes its job")
            } else {
                "resumed by Slurm".to_owned()
            });
        }
        self.said = seen.clone();
        lines
    }

    fn milestone(&self, seen: &Snapshot, now: Instant) -> Option<String> {
        if seen.phase == self.said.phase {
            return None;
        }
        let plain = |text: &str| self.plain.is_some().then(|| text.to_owned());
        match &seen.phase {
            Phase::Stopped => Some("the engine is gone; the next request starts it again".to_owned()),
            Phase::Recovering => plain("an earlier run left an engine behind: looking for it"),
            Phase::Submitting => plain("a request came: starting the engine"),
            Phase::Queued { .. } | Phase::Starting => None,
            Phase::Ready if matches!(self.said.phase, Phase::Unreachable(_)) => {
                let route = seen.route.as_ref().map(|taken| format!(", by the route {}", taken.route));
                Some(format!("the engine can be reached again{}", route.unwrap_or_default()))
            }
            Phase::Ready => {
                let idle = self.idle_timeout.map(|limit| format!("; stops after {} idle", format_duration(limit)));
                let took = status_line::short(now.saturating_duration_since(self.started));
                Some(format!("ready in {took}{}", idle.unwrap_or_default()))
            }
            Phase::Unreachable(diagnosis) => Some(format!("{}\n  hint: {}", diagnosis.summary, diagnosis.remedy)),
            Phase::Draining => plain("finishing what is in flight"),
            Phase::Stopping(None) => plain("ending the engine, and verifying that it is gone"),
            Phase::Stopping(Some(diagnosis)) => Some(failure(diagnosis)),
            // A failure may come and go between two looks; its cause is told all the same.
            Phase::Failed(diagnosis) if self.said.phase != Phase::Stopping(Some(diagnosis.clone())) => {
                Some(failure(diagnosis))
            }
            Phase::Failed(_) => plain("nothing of it is left; a later request starts it afresh"),
        }
    }

    fn progress(&mut self, seen: &Snapshot, now: Instant, today: Date) -> Option<String> {
        let (told, at) = self.plain.as_mut()?;
        let progress = progress(seen);
        let waits_on = matches!(progress, Progress::Queued(..)) && now.saturating_duration_since(*at) >= REMINDER;
        if progress == *told && !waits_on {
            return None;
        }
        (*told, *at) = (progress, now);
        let worth = *told != Progress::None;
        // The line says of a lost link what a line of its own says already.
        let seen = Snapshot { link: LinkState::Connected, ..seen.clone() };
        worth.then(|| status_line::line(&self.name, &seen, now, today, usize::MAX))
    }
}

fn progress(seen: &Snapshot) -> Progress {
    match &seen.phase {
        Phase::Queued { reason, .. } => Progress::Queued(seen.job, reason.clone()),
        Phase::Starting => Progress::Starting(seen.node.clone(), seen.loading.as_ref().map(quarter)),
        Phase::Stopped
        | Phase::Recovering
        | Phase::Submitting
        | Phase::Ready
        | Phase::Unreachable(_)
        | Phase::Draining
        | Phase::Stopping(_)
        | Phase::Failed(_) => Progress::None,
    }
}

fn quarter(loading: &Loading) -> (&'static str, Option<u8>) {
    (loading.step, loading.percent.map(|percent| percent / 25))
}

/// What to do about a job that waits for nothing that comes by itself.
fn hint(seen: &Snapshot) -> Option<&'static str> {
    let Phase::Queued { reason, .. } = &seen.phase else { return None };
    reason.as_deref().and_then(slurm::held_because)
}

fn failure(diagnosis: &Diagnosis) -> String {
    format!("the engine failed: {}\n  hint: {}", diagnosis.summary, diagnosis.remedy)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use jiff::civil::date;

    use super::*;

    /// One who reads what is told second by second.
    struct Reader {
        milestones: Milestones,
        seen: Snapshot,
        now: Instant,
    }

    impl Reader {
        fn new(live: bool) -> Self {
            let seen = Snapshot { job: Some(JobId(8)), ..Snapshot::default() };
            let now = seen.since;
            let name = InstanceName::from_text("m").unwrap();
            Self {
                milestones: Milestones::new(&name, seen.clone(), now, Some(Duration::from_mins(15)), live),
                seen,
                now,
            }
        }

        /// What is told after so many seconds of what was changed now.
        fn after(&mut self, seconds: u64, change: impl FnOnce(&mut Snapshot)) -> Vec<String> {
            let before = self.seen.phase.clone();
            change(&mut self.seen);
            if std::mem::discriminant(&before) != std::mem::discriminant(&self.seen.phase) {
                self.seen.since = self.now;
            }
            self.now += Duration::from_secs(seconds);
            self.milestones.lines(&self.seen, self.now, date(2026, 11, 21))
        }

        fn load(&mut self, step: &'static str, percent: u8) -> Vec<String> {
            self.after(1, |seen| seen.loading = Some(Loading { step, percent: Some(percent), bytes: None }))
        }
    }

    fn queued(reason: &str, start: &str) -> Phase {
        Phase::Queued { reason: Some(reason.to_owned()), expected_start: Some(format!("2026-11-21T{start}:00")) }
    }

    #[test]
    fn without_a_line_that_changes_progress_is_told_in_bounds() {
        let mut reader = Reader::new(false);
        assert_eq!(reader.after(0, |seen| seen.phase = Phase::Submitting), ["a request came: starting the engine"]);
        let first = reader.after(1, |seen| seen.phase = queued("Priority", "14:05"));
        assert_eq!(first, ["job 8 queued (Priority) for 1 s, start expected 14:05"]);
        assert!(reader.after(29, |seen| seen.phase = queued("Priority", "14:06")).is_empty(), "half a minute");
        let minute = reader.after(31, |_| ());
        assert_eq!(minute, ["job 8 queued (Priority) for 61 s, start expected 14:06"]);
        let reason = reader.after(1, |seen| seen.phase = queued("Resources", "14:06"));
        assert_eq!(reason, ["job 8 queued (Resources) for 62 s, start expected 14:06"]);
        let node = Some("node1".to_owned());
        let starting = reader.after(1, |seen| (seen.phase, seen.node) = (Phase::Starting, node));
        assert_eq!(starting, ["job 8 on node1: starting · 1 s"]);
        let told: Vec<String> = (0..=100).flat_map(|percent| reader.load("loading weights", percent)).collect();
        let steps: Vec<&str> = told.iter().filter_map(|line| line.split(['·', ':']).nth(1)).map(str::trim).collect();
        assert_eq!(steps, ["0", "25", "50", "75", "100"].map(|percent| format!("loading weights {percent} %")));
        assert_eq!(reader.after(1, |seen| seen.phase = Phase::Ready), ["ready in 2 min; stops after 15m idle"]);
    }

    #[test]
    fn beside_a_line_that_changes_only_milestones_are_told() {
        let mut reader = Reader::new(true);
        assert!(reader.after(0, |seen| seen.phase = Phase::Submitting).is_empty());
        assert!(reader.after(99, |seen| seen.phase = queued("Priority", "14:05")).is_empty());
        assert!(reader.after(1, |seen| seen.phase = Phase::Starting).is_empty());
        assert!(reader.load("loading weights", 42).is_empty());
        assert_eq!(reader.after(1, |seen| seen.phase = Phase::Ready), ["ready in 102 s; stops after 15m idle"]);
        assert!(reader.after(9, |seen| seen.phase = Phase::Stopping(None)).is_empty());
        let gone = reader.after(1, |seen| seen.phase = Phase::Stopped);
        assert_eq!(gone, ["the engine is gone; the next request starts it again"]);
    }

    #[test]
    fn a_pause_is_told_and_its_end_where_the_engine_goes_on() {
        let mut reader = Reader::new(true);
        reader.after(1, |seen| seen.phase = Phase::Ready);
        let paused = reader.after(1, |seen| seen.paused = true);
        assert_eq!(paused, ["paused by Slurm; the engine goes on as soon as Slurm resumes its job"]);
        assert_eq!(reader.after(1, |seen| seen.paused = false), ["resumed by Slurm"]);
        reader.after(1, |seen| seen.paused = true);
        assert!(reader.after(1, |seen| (seen.paused, seen.phase) = (false, Phase::Stopping(None))).is_empty());
    }

    #[test]
    fn a_failure_is_told_once_and_though_it_was_missed() {
        let diagnosis = Diagnosis { code: "x", summary: "no memory".into(), remedy: "ask for more".into() };
        let told = "the engine failed: no memory\n  hint: ask for more";
        let mut reader = Reader::new(true);
        assert_eq!(reader.after(1, |seen| seen.phase = Phase::Stopping(Some(diagnosis.clone()))), [told]);
        assert!(reader.after(1, |seen| seen.phase = Phase::Failed(diagnosis.clone())).is_empty());
        let mut late = Reader::new(true);
        assert_eq!(late.after(1, |seen| seen.phase = Phase::Failed(diagnosis)), [told]);
    }

    #[test]
    fn a_job_that_waits_in_vain_comes_with_advice() {
        let mut reader = Reader::new(true);
        let hint = reader.after(1, |seen| seen.phase = queued("PartitionDown", "14:05"));
        assert!(hint.first().is_some_and(|line| line.starts_with("hint: ")), "{hint:?}");
        assert!(reader.after(1, |seen| seen.phase = queued("PartitionDown", "14:06")).is_empty());
    }
}
