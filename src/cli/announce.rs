//! What the person at the terminal reads while the program runs.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::milestones::{Milestones, REMINDER};
use super::{status_line, terminal};
use crate::app::Opened;
use crate::id::InstanceName;
use crate::instance::{Phase, Snapshot};
use crate::slurm;

/// How often a line is renewed in which seconds count.
const RENEWAL: Duration = Duration::from_secs(1);

/// How often the line that changes is drawn at most: many requests a second must not become as many lines. Nor is it looked
/// more often at what changed, while nothing does but requests that come and go.
const DRAWING: Duration = Duration::from_millis(50);

/// How long the last words may take once there is nothing more to tell.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Prints a line that stays.
pub(super) fn say(line: &str) {
    terminal::print(&format!("llm-proxy: {line}"));
}

/// Those that tell of instances, each until its own is given up.
#[derive(Default)]
pub(super) struct Tasks(TaskTracker);

impl Tasks {
    /// Tells of one more.
    pub(super) fn follow(&self, instance: &Opened, alone: bool) {
        let following = follow(instance.watch(), instance.name().clone(), instance.idle_timeout(), alone);
        drop(self.0.spawn(following));
    }

    /// Returns when all that there is to tell was told.
    pub(super) async fn wait(&self) {
        self.0.close();
        drop(tokio::time::timeout(LAST_WORDS, self.0.wait()).await);
    }
}

/// Tells each step of the instance until it is given up. Where it is not `alone`, only lines that stay, and
/// with its name.
pub(super) async fn follow(
    mut snapshots: watch::Receiver<Snapshot>,
    name: InstanceName,
    idle_timeout: Option<Duration>,
    alone: bool,
) {
    // The line that changes can only be one instance's.
    let live = alone && terminal::is_live();
    let mut seen = snapshots.borrow_and_update().clone();
    let mut milestones = Milestones::new(&name, seen.clone(), Instant::now(), idle_timeout, live);
    let mut drawn: Option<Instant> = None;
    let mut rest_until: Option<Instant> = None;
    let mut resized = signal(SignalKind::window_change()).ok().filter(|_| live);
    loop {
        let (now, today) = (Instant::now(), slurm::today());
        for line in milestones.lines(&seen, now, today) {
            if alone {
                say(&line);
            } else {
                say(&format!("{name}: {line}"));
            }
        }
        let too_soon = drawn.map(|drawn| DRAWING.saturating_sub(now - drawn)).filter(|rest| !rest.is_zero());
        if live && too_soon.is_none() {
            terminal::show(format!("llm-proxy: {}", status_line::line(&name, &seen, now, today, width())));
            drawn = Some(now);
        }
        let rest = rest_until.map(|until| until.saturating_duration_since(now)).filter(|rest| !rest.is_zero());
        let pause = too_soon.or(rest).or_else(|| renewal(&seen, live));
        tokio::select! {
            changed = snapshots.changed(), if rest.is_none() => {
                if changed.is_err() {
                    break;
                }
                let before = std::mem::replace(&mut seen, snapshots.borrow_and_update().clone());
                rest_until = seen.is_but_for_requests(&before).then(|| Instant::now() + DRAWING);
            }
            () = async { sleep(pause.unwrap_or_default()).await }, if pause.is_some() => {}
            () = next(resized.as_mut()) => {}
        }
    }
    if live {
        terminal::clear();
    }
}

/// Returns when the signal comes; never, where there is none.
async fn next(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn width() -> usize {
    terminal::width().saturating_sub("llm-proxy: ".len())
}

/// When there is something new to tell though nothing happened.
fn renewal(seen: &Snapshot, live: bool) -> Option<Duration> {
    match &seen.phase {
        Phase::Queued { .. } if !live => Some(REMINDER),
        Phase::Recovering
        | Phase::Submitting
        | Phase::Queued { .. }
        | Phase::Starting
        | Phase::Unreachable(_)
        | Phase::Draining
        | Phase::Stopping(_)
            if live =>
        {
            Some(RENEWAL)
        }
        Phase::Ready if live && seen.idle_stop.is_some() => Some(RENEWAL),
        Phase::Stopped
        | Phase::Recovering
        | Phase::Submitting
        | Phase::Queued { .. }
        | Phase::Starting
        | Phase::Ready
        | Phase::Unreachable(_)
        | Phase::Draining
        | Phase::Stopping(_)
        | Phase::Failed(_) => None,
    }
}
