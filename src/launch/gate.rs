//! Who lets a life begin on this machine, where GPUs and ports are for one at a time.

use std::fmt;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{NewsSender, Plan};
use crate::backend::Diagnosis;
use crate::host::Bind;
use crate::id::GpuIndex;

/// How it is told that a life waits for what others of ours have: with these words such a reason begins, and none of Slurm's.
pub const WAITS_FOR: &str = "waiting for ";

/// What a life wants of the machine it runs on, where that is this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The GPUs, for itself alone.
    pub gpus: WantedGpus,
    /// Where its port is to be, if not anywhere.
    pub ports: Option<Ports>,
}

/// The variables by which a user says himself which GPUs his engine sees.
pub const GPU_VARIABLES: [&str; 3] = ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"];

impl Needs {
    /// With the GPUs that a variable among these names, which wins.
    #[must_use]
    pub fn with_variables<'v>(self, mut value_of: impl FnMut(&str) -> Option<&'v str>) -> Self {
        match GPU_VARIABLES.iter().find_map(|name| value_of(name)) {
            Some(value) => Self { gpus: WantedGpus::OfVariable(value.to_owned()), ..self },
            None => self,
        }
    }
}

/// Which GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WantedGpus {
    /// All that there are.
    #[default]
    All,
    /// These; or none.
    These(Vec<GpuIndex>),
    /// Those that the user's own variable names, which the engine is given as it is.
    OfVariable(String),
}

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// The one to be taken if it is free.
    pub rather: Option<u16>,
}

/// What a life has of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The GPUs that are its own.
    pub gpus: Vec<GpuIndex>,
    /// The port that its engine was given, where not by itself.
    pub port: Option<u16>,
}

/// What a life holds until it is verified gone: dropped then, and not before.
#[derive(Default)]
pub struct Held {
    /// What it is.
    pub share: Share,
    /// By which variables the engine is told.
    pub variables: Vec<(&'static str, String)>,
    give_back: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Held {
    /// Of which `give_back` hears when it is dropped.
    #[must_use]
    pub fn new(
        share: Share,
        variables: Vec<(&'static str, String)>,
        give_back: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        Self { share, variables, give_back: Some(Box::new(give_back)) }
    }

    /// The plan, with what is held filled in.
    pub(super) fn fit(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        if let (Bind::Port { port: port @ None, .. }, Some(given)) = (&mut plan.bind, self.share.port) {
            *port = Some(given);
        }
        for (name, value) in &self.variables {
            if !plan.env.iter().any(|(known, _)| known == name) {
                plan.env.push(((*name).to_owned(), SecretString::from(value.clone())));
            }
        }
        plan
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            give_back();
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("share", &self.share).finish_non_exhaustive()
    }
}

/// Lets the lives of one instance begin, each when there is room for it.
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// Returns once there is what `needs` says, and tells `news` what is waited for. Dropping the future ends the wait.
    ///
    /// # Errors
    /// There never will be: why.
    fn enter<'a>(&'a self, needs: &'a Needs, news: &'a NewsSender) -> BoxFuture<'a, Result<Held, Diagnosis>>;
}
