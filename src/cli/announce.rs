//! What the person at the terminal reads: a plain line whenever the instance moves on.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::backend::Diagnosis;
use crate::config::format_duration;
use crate::instance::{Phase, Snapshot};
use crate::slurm;

/// Prints a line.
#[expect(clippy::print_stderr, reason = "what a person at the terminal reads")]
pub(super) fn say(line: &str) {
    eprintln!("llm-proxy: {line}");
}

/// Prints each step of the instance until it is given up.
pub(super) async fn follow(mut snapshots: watch::Receiver<Snapshot>, idle_timeout: Option<Duration>) {
    let mut said = snapshots.borrow_and_update().clone();
    let mut started = Instant::now();
    while snapshots.changed().await.is_ok() {
        let now = snapshots.borrow_and_update().clone();
        if now.phase == Phase::Submitting {
            started = Instant::now();
        }
        // A failure may come and go between two looks; its cause is told all the same.
        if let Phase::Failed(diagnosis) = &now.phase
            && said.phase != now.phase
            && said.phase != Phase::Stopping(Some(diagnosis.clone()))
        {
            say(&failure(diagnosis));
        }
        if (&now.phase, now.job, &now.node) != (&said.phase, said.job, &said.node) {
            say(&line(&now, started.elapsed(), idle_timeout));
        }
        if now.reconnecting && !said.reconnecting {
            say("lost the connection to the host; the engine runs on; reconnecting");
        } else if said.reconnecting && !now.reconnecting {
            say("connected again");
        }
        said = now;
    }
}

fn failure(diagnosis: &Diagnosis) -> String {
    format!("the engine failed: {}\n  hint: {}", diagnosis.summary, diagnosis.remedy)
}

fn line(snapshot: &Snapshot, took: Duration, idle_timeout: Option<Duration>) -> String {
    let job = snapshot.job.map(|job| format!("job {job} ")).unwrap_or_default();
    match &snapshot.phase {
        Phase::Stopped => "the engine is gone; the next request starts it again".to_owned(),
        Phase::Submitting => "a request came: starting the engine".to_owned(),
        Phase::Queued { reason, expected_start } => {
            let reason_word = reason.as_deref();
            let reason = reason_word.map(|reason| format!(" ({reason})")).unwrap_or_default();
            let advice = reason_word.and_then(slurm::held_because);
            let advice = advice.map(|advice| format!("\n  hint: {advice}")).unwrap_or_default();
            let start = expected_start.as_deref().map(|at| format!(", start expected {at}")).unwrap_or_default();
            format!("{job}queued{reason}{start}{advice}")
        }
        Phase::Starting => {
            let node = snapshot.node.as_deref().unwrap_or("the host");
            format!("{job}runs on {node}: the engine is loading")
        }
        Phase::Ready => {
            let idle =
                idle_timeout.map(|limit| format!("; stops after {} idle", format_duration(limit))).unwrap_or_default();
            format!("ready in {:.1} s{idle}", took.as_secs_f64())
        }
        Phase::Draining => "finishing what is in flight".to_owned(),
        Phase::Stopping(None) => "ending the engine, and verifying that it is gone".to_owned(),
        Phase::Stopping(Some(diagnosis)) => failure(diagnosis),
        Phase::Failed(_) => "nothing of it is left; a later request starts it afresh".to_owned(),
    }
}
