//! What is run, and how: the same for each life of an instance.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, HubModel, Profiling};
use crate::host::quote::Word;
use crate::host::{Bind, Host, Shell};
use crate::id::InstanceName;
use crate::keeper::Chdir;
use crate::launch::{KeptLog, Needs, Record, RecordFile, RouteMemory};
use crate::route;
use crate::secret::Key;
use crate::slurm::{self, JobName, SrunArgError, SrunArgs};
use crate::ssh::SshOptions;

/// What an instance's launcher needs to know. Without a `Debug`: its command and its prelude may name secrets.
#[derive(Clone)]
pub struct Plan {
    /// Whose plan.
    pub instance: InstanceName,
    /// Who starts the keeper.
    pub starter: Starter,
    /// The engine's kind.
    pub backend: Backend,
    /// The engine's command; its port may be one that the keeper chooses.
    pub argv: Vec<Word>,
    /// What the engine listens on.
    pub bind: Bind,
    /// What it listens on instead, where the host may open no channel to it.
    pub if_prohibited: Option<Binding>,
    /// How bytes may reach the engine.
    pub route: route::Wish,
    /// Where a tunnel from the job ends, where the user says so.
    pub loopback: Loopback,
    /// Where the command runs.
    pub chdir: Chdir,
    /// A shell line before it.
    pub prelude: Option<String>,
    /// Whether it runs in a login shell.
    pub login_shell: bool,
    /// How it is profiled, if it is.
    pub profiling: Option<Profiling>,
    /// Variables of the engine.
    pub env: Vec<(String, SecretString)>,
    /// Whose key opens the engine.
    pub engine_key: EngineKey,
    /// How long the engine goes on without hearing from us.
    pub lease: Duration,
    /// From asked to end to killed.
    pub stop_timeout: Duration,
    /// The model that it may have to download.
    pub model: Option<HubModel>,
    /// What it wants of the machine it runs on, where that is this one.
    pub needs: Needs,
}

impl Plan {
    /// As much as is needed to see the life of this record to its end.
    #[must_use]
    pub fn of_record(record: &Record) -> Self {
        Self {
            instance: record.instance.clone(),
            starter: record.starter.clone(),
            backend: Backend::Custom,
            argv: Vec::new(),
            bind: Bind::Socket,
            if_prohibited: None,
            route: route::Wish::Auto,
            loopback: Loopback::default(),
            chdir: Chdir::Home,
            prelude: None,
            login_shell: false,
            profiling: None,
            env: Vec::new(),
            engine_key: EngineKey::OfClient,
            lease: Duration::from_secs(record.lease_s),
            stop_timeout: Duration::from_secs(record.stop_s),
            model: None,
            needs: Needs::default(),
        }
    }
}

/// Where a tunnel from the job ends, as far as the user says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Loopback {
    /// Who the job's `ssh` logs in as.
    pub user: Option<String>,
    /// Where.
    pub host: Option<String>,
}

/// What the engine listens on, and its command with that.
#[derive(Clone)]
pub struct Binding {
    /// What it listens on.
    pub bind: Bind,
    /// The engine's command.
    pub argv: Vec<Word>,
}

/// Where lives are: the host, and the file that remembers them here.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where commands run.
    pub host: Host,
    /// What the user calls the host; none: this machine.
    pub host_name: Option<String>,
    /// How it is reached; none: this machine.
    pub login: Option<SshOptions>,
    /// Which shell reads our scripts there.
    pub shell: Shell,
    /// Where the current life is recorded.
    pub record: RecordFile,
    /// Where the engine's log is kept.
    pub log: KeptLog,
    /// Which route led to an engine there the last time.
    pub routes: RouteMemory,
}

/// Who starts the keeper on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Starter {
    /// The host's own shell.
    Process,
    /// Slurm.
    Slurm {
        /// By which of its commands.
        asked_by: AskedBy,
        /// The user's arguments of `srun`, or of `sbatch`.
        args: SrunArgs,
        /// The name of the job: the same for each life, and no other instance's.
        job_name: JobName,
    },
}

/// The command of Slurm's that asks for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskedBy {
    /// `srun`, which stays on the host for as long as the job is there.
    Srun,
    /// `sbatch`, which leaves nothing there.
    Sbatch,
}

impl Starter {
    /// Slurm, with the arguments that were given, if they are good ones.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn slurm(
        batch: bool,
        given: Result<SrunArgs, Vec<SrunArgError>>,
        job_name: JobName,
    ) -> Result<Self, Vec<SrunArgError>> {
        let (asked_by, args) =
            if batch { (AskedBy::Sbatch, given.and_then(SrunArgs::for_sbatch)?) } else { (AskedBy::Srun, given?) };
        Ok(Self::Slurm { asked_by, args, job_name })
    }

    /// What the host runs to start the keeper, in front of the words that become it; or to have it started.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Process => Vec::new(),
            Self::Slurm { asked_by: AskedBy::Srun, args, job_name } => slurm::srun_argv(args, job_name),
            Self::Slurm { asked_by: AskedBy::Sbatch, args, job_name } => slurm::sbatch_argv(args, job_name),
        }
    }

    /// Whether the life is a job by itself, of which nothing stays on the host.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        matches!(self, Self::Slurm { asked_by: AskedBy::Sbatch, .. })
    }
}

/// Whose key opens the engine.
#[derive(Clone, Debug)]
pub enum EngineKey {
    /// A new one for each life, given in these variables.
    PerLife {
        /// The names that the backend reads it from.
        variables: &'static [&'static str],
    },
    /// The command's own, where we guard the front with ours.
    OfCommand(Key),
    /// The command's own, which our clients know; or none.
    OfClient,
}
