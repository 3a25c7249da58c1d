//! What happened when, as it is told where something went wrong.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// As many lines as are kept: some minutes.
const KEPT: usize = 60_000;

/// Lines with their times, of one cluster.
pub(crate) struct History {
    began: Instant,
    lines: Mutex<VecDeque<(Duration, String)>>,
    violations: Mutex<Vec<String>>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), lines: Mutex::default(), violations: Mutex::default() }
    }

    /// Time since the cluster's beginning.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn note(&self, who: &str, what: &str) {
        let mut lines = self.lines.lock().expect("no one panics with it");
        lines.push_back((self.began.elapsed(), format!("{who:<9} {what}")));
        if lines.len() > KEPT {
            lines.pop_front();
        }
    }

    /// A promise is broken.
    pub(crate) fn violation(&self, what: &str) {
        self.note("VIOLATION", what);
        self.violations.lock().expect("no one panics with it").push(what.to_owned());
    }

    /// The violations since the last call.
    pub(crate) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.violations.lock().expect("no one panics with it"))
    }

    /// All that happened from `since` on.
    pub(crate) fn told(&self, since: Duration) -> String {
        let lines = self.lines.lock().expect("no one panics with it");
        let mut told = String::new();
        for (at, line) in lines.iter().filter(|(at, _)| *at >= since) {
            let _ = writeln!(told, "{:9.3} {line}", at.as_secs_f64());
        }
        told
    }
}
