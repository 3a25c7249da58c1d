//! By what the engine of an earlier process is known to be the one that is wanted now.

use std::fmt::Write as _;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{EngineKey, Plan, WantedGpus};
use crate::host::Bind;
use crate::id::fnv1a;
use crate::keeper::Chdir;

/// A digest of what a plan runs, and in which surroundings. How long it may take, and by which route it is reached, is not
/// in it: that can be changed beside a running engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of this plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut whole = String::new();
        let mut add = |what: &str, text: &str| {
            // With its length, so that no two lists of words read the same.
            let _ = writeln!(whole, "{what} {} {text}", text.len());
        };
        for word in plan.starter.argv() {
            add("starter", &word);
        }
        for word in &plan.argv {
            add("argv", &word.fill(0));
        }
        match &plan.bind {
            Bind::Port { port, .. } => add("port", &port.map(|port| port.to_string()).unwrap_or_default()),
            Bind::Socket => add("socket", ""),
        }
        match &plan.chdir {
            Chdir::Home => add("home", ""),
            Chdir::Folder(folder) => add("folder", folder),
        }
        add("prelude", plan.prelude.as_deref().unwrap_or_default());
        add("login shell", if plan.login_shell { "yes" } else { "no" });
        if let Some(profiling) = &plan.profiling {
            add("profiler", profiling.tool.word());
            add("folder of profiles", &profiling.output_dir);
            for word in &profiling.args {
                add("argument of the profiler", word);
            }
        }
        for (name, value) in &plan.env {
            add("name", name);
            add("value", value.expose_secret());
        }
        // Nothing is said of all, as it was before anything was.
        if let WantedGpus::These(gpus) = &plan.needs.gpus {
            add("gpus", &format!("{gpus:?}"));
        }
        match &plan.engine_key {
            EngineKey::PerLife { variables } => add("key", &variables.join(",")),
            EngineKey::OfCommand(_) | EngineKey::OfClient => add("key of the command", ""),
        }
        Self(format!("{:016x}", fnv1a(whole.as_bytes())))
    }
}
