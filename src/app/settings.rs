//! All that is decided before anything runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::api::Wanted;
use crate::gateway;
use crate::host::Shell;
use crate::id::InstanceName;
use crate::instance::{Policy, Questions};
use crate::launch::Plan;
use crate::ssh::SshOptions;

/// What all instances have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where state folders are.
    pub state_root: PathBuf,
    /// How many engines may run on this machine at once; none: as many as its GPUs allow.
    pub most_running: Option<usize>,
    /// What the gateway is told.
    pub gateway: gateway::Settings,
}

/// One instance.
pub struct InstanceSettings {
    /// Its name.
    pub name: InstanceName,
    /// Where its engine's log is kept, in a folder of its name; none: in its state folder.
    pub logs: Option<PathBuf>,
    /// The login host; none: this machine.
    pub login: Option<SshOptions>,
    /// Which shell reads our scripts on the host.
    pub shell: Shell,
    /// What is run.
    pub plan: Plan,
    /// Its limits.
    pub policy: Policy,
    /// What its engine is asked.
    pub questions: Questions,
    /// The names under which its model is known to be served. None: only the engine knows.
    pub models: Vec<String>,
}

/// Makes an instance of what a caller wants; or says why it cannot be.
pub type Describe = Box<dyn Fn(&Wanted) -> Result<InstanceSettings, String> + Send + Sync>;

/// What callers of the API may create.
pub struct Callers {
    /// Whose callers: what they asked for is asked for again at the next start of the same.
    pub of: String,
    /// How many instances there may be in all.
    pub most: Option<usize>,
    /// Makes an instance of what one of them wants; or says why it cannot be.
    pub describe: Describe,
}

/// Which instances there are at first.
pub enum Instances {
    /// One, which gets every request.
    One(Box<InstanceSettings>),
    /// Several, among which a request's model decides.
    Many {
        /// Each of them, under a name of its own.
        all: Vec<InstanceSettings>,
        /// Who gets the requests that name no model.
        default: Option<InstanceName>,
        /// What callers of the API may create besides; none: nothing.
        callers: Option<Callers>,
    },
}
