//! What happened when, out of what was seen of the instance: measured, and nothing filled in.

use std::fmt;

use tokio::time::Instant;

use super::ask::{self, Told};
use crate::instance::{Phase, Snapshot};

/// What was seen so far.
#[derive(Debug)]
pub struct TimeLine {
    last: Snapshot,
    entries: Vec<(Instant, String)>,
    start: Instant,
}

impl TimeLine {
    /// Begins now.
    #[must_use]
    pub fn begin(snapshot: Snapshot) -> Self {
        Self { last: snapshot, entries: Vec::new(), start: Instant::now() }
    }

    /// Takes in how the instance stands now.
    pub fn saw(&mut self, snapshot: &Snapshot) {
        if let Some(words) = words(snapshot, &self.last) {
            self.entries.push((Instant::now(), words));
        }
        self.last = snapshot.clone();
    }

    /// Takes in when the login host let us in.
    pub fn logged_in(&mut self, at: Instant) {
        let words = "connected to the login host by SSH; its host key was verified".to_owned();
        self.entries.push((at, words));
    }

    /// Takes in the answer.
    pub fn told(&mut self, told: &Told) {
        self.start = told.asked;
        self.entries.push((told.asked, format!("a request came: POST {}, streamed", ask::PATH)));
        self.entries.push((told.first_token, "first token".to_owned()));
        self.entries.push((told.done, format!("done: {} tokens", told.tokens)));
        // Stable, so that what was seen first of two at the same moment stays first.
        self.entries.sort_by_key(|(at, _)| *at);
    }
}

impl fmt::Display for TimeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "time line")?;
        for (at, words) in &self.entries {
            writeln!(f, "{:9.3} s  {words}", at.saturating_duration_since(self.start).as_secs_f64())?;
        }
        Ok(())
    }
}

fn words(now: &Snapshot, before: &Snapshot) -> Option<String> {
    if (&now.phase, now.job, &now.node) == (&before.phase, before.job, &before.node) {
        return None;
    }
    let job = now.job.map_or_else(|| "the job".to_owned(), |job| format!("job {job}"));
    match &now.phase {
        Phase::Queued { reason, .. } => {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            Some(format!("{job}, asked for by srun, waits in the queue{reason}"))
        }
        Phase::Starting => {
            Some(format!("{job} runs on {}: the engine loads", now.node.as_deref().unwrap_or("its node")))
        }
        Phase::Ready => Some("the engine is ready".to_owned()),
        Phase::Recovering
        | Phase::Submitting
        | Phase::Stopped
        | Phase::Unreachable(_)
        | Phase::Draining
        | Phase::Stopping(_)
        | Phase::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::JobId;

    #[tokio::test(start_paused = true)]
    async fn it_tells_what_was_seen_and_nothing_else() {
        let pass = |millis| tokio::time::advance(Duration::from_millis(millis));
        let mut line = TimeLine::begin(Snapshot::default());
        let asked = Instant::now();
        pass(120).await;
        let login = Instant::now();
        let queued = Phase::Queued { reason: Some("Resources".to_owned()), expected_start: None };
        let mut snapshot = Snapshot { phase: queued, job: Some(JobId(1)), ..Snapshot::default() };
        pass(30).await;
        line.saw(&snapshot);
        snapshot.waiting = 1;
        line.saw(&snapshot);
        pass(1850).await;
        // Nobody saw it start.
        snapshot.phase = Phase::Ready;
        line.saw(&snapshot);
        line.logged_in(login);
        let first_token = Instant::now();
        pass(500).await;
        line.told(&Told { asked, first_token, done: Instant::now(), tokens: 24 });
        assert_eq!(
            line.to_string(),
            "time line\n    \
              0.000 s  a request came: POST /v1/chat/completions, streamed\n    \
              0.120 s  connected to the login host by SSH; its host key was verified\n    \
              0.150 s  job 1, asked for by srun, waits in the queue (Resources)\n    \
              2.000 s  the engine is ready\n    \
              2.000 s  first token\n    \
              2.500 s  done: 24 tokens\n"
        );
    }
}
