//! What is looked at.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NewFile;
use super::line::Typed;
use crate::host::{Address, Shell};
use crate::launch::{Plan, RouteMemory};
use crate::ssh::SshOptions;

/// What is looked at: what `serve` would run with the same arguments.
pub struct Subject {
    /// The login host; none: this machine.
    pub login: Option<SshOptions>,
    /// Which shell reads our scripts there.
    pub shell: Shell,
    /// What would be run. Where no command was given, its command means nothing.
    pub plan: Plan,
    /// Which route led to an engine the last time: that one `serve` tries first.
    pub routes: RouteMemory,
    /// Whether a command was given.
    pub has_command: bool,
    /// What is already known of the arguments.
    pub warnings: Vec<String>,
    /// The arguments as they were typed.
    pub typed: Typed,
    /// A configuration file that would say the same, or why there is none; nothing where one is not to be offered.
    pub file: Option<Result<NewFile, String>>,
    /// What a short job is asked for, where one may be run.
    pub deep: Option<Deep>,
    /// Cancelled when the user has had enough: what is under way is then ended, and nothing more begun.
    pub stop: CancellationToken,
    /// Counts every task.
    pub tasks: TaskTracker,
}

/// What a short job is asked for.
#[derive(Clone, Debug)]
pub struct Deep {
    /// Where models and packages come from, which the node may reach or not.
    pub hubs: Vec<Address>,
    /// How long it may wait in the queue.
    pub patience: Duration,
}
