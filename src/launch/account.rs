//! The account of a life's end: what was looked at, and what was seen. What is left is told by name.

use tracing::{info, warn};

use super::life::{Life, Stage};
use super::{News, Starter};
use crate::backend;
use crate::keeper::Seen;

/// Bound of what a machine may tell, in lines.
const LONGEST: usize = 256;

/// What the engine's machine told of the end.
#[derive(Debug, Default)]
pub(super) struct Account {
    seen: Vec<Seen>,
}

impl Account {
    /// Takes a line in. Whoever attaches again hears all of them again.
    pub(super) fn take(&mut self, seen: Seen) {
        if self.seen.len() < LONGEST && !self.seen.contains(&seen) {
            self.seen.push(seen);
        }
    }

    /// Takes in what was named from outside.
    pub(super) fn name(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            self.take(seen);
        }
    }

    /// What is left.
    pub(super) fn left(&self) -> Vec<String> {
        self.seen.iter().filter(|seen| seen.is_left()).map(words).collect()
    }

    /// All of it, for people.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.seen.iter().filter(|seen| !seen.is_left()).map(words).collect();
        if !self.seen.iter().any(|seen| matches!(seen, Seen::Process { .. })) {
            lines.insert(lines.len().min(1), "no process of the engine is left".to_owned());
        }
        lines
    }
}

impl Life {
    /// Tells what was seen of the end: all of it in the log, what is left to everybody. `slurm` is Slurm's word.
    pub(super) async fn account_for(&self, slurm: Option<String>) {
        let lines = slurm.into_iter().chain(self.node_lines());
        for line in lines {
            info!(target: "account", "{line}");
            self.place.log.line(&format!("--- end: {line} ---"));
        }
        let left = self.left();
        for line in &left {
            warn!("left behind: {line}");
            self.place.log.line(&format!("--- left behind: {line} ---"));
        }
        if !left.is_empty() {
            self.news.send(News::Left(left)).await;
        }
    }

    fn node_lines(&self) -> Vec<String> {
        match (&self.record.node, &self.plan.starter) {
            (None, _) => vec!["no engine was started".to_owned()],
            (Some(node), _) if self.stage == Stage::KeeperSaysGone => {
                self.account.lines().into_iter().map(|line| format!("{node}: {line}")).collect()
            }
            (Some(node), Starter::Slurm { .. }) => {
                vec![format!(
                    "{node}: not looked at, for the engine's keeper was ended before it could; Slurm ended the job"
                )]
            }
            (Some(node), Starter::Process) => {
                let mut lines = self.account.lines();
                lines.push(
                    "the engine's keeper was ended before it could look at the port and at GPU memory".to_owned(),
                );
                lines.into_iter().map(|line| format!("{node}: {line}")).collect()
            }
        }
    }

    fn left(&self) -> Vec<String> {
        let node = self.record.node.as_deref().unwrap_or("the host");
        self.account.left().into_iter().map(|line| format!("{line}, on {node}")).collect()
    }
}

fn words(seen: &Seen) -> String {
    backend::redact(&backend::visible(&seen.to_string()))
}
