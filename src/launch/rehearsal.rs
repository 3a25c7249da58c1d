//! What a plan would run, as text: everything but the secrets.

use std::fmt::Write as _;

use secrecy::SecretString;

use super::scripts::Scripts;
use super::{EngineKey, Plan, Starter};
use crate::backend;
use crate::host::quote;
use crate::id::LifeId;
use crate::keeper::{Nonce, ScriptError};

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// The addresses, the launcher's line and the scripts of a life by this plan, with the secrets hidden.
///
/// # Errors
/// The command cannot be given to a shell.
pub fn rehearse(plan: &Plan, host: Option<&str>, shell: &str) -> Result<String, ScriptError> {
    let mut plan = plan.clone();
    for (_, value) in &mut plan.env {
        *value = SecretString::from(HIDDEN.to_owned());
    }
    if let EngineKey::PerLife { variables } = plan.engine_key {
        plan.env.extend(variables.iter().map(|name| ((*name).to_owned(), SecretString::from(HIDDEN.to_owned()))));
    }
    let (id, nonce) = (LifeId::example(), Nonce::example());
    let scripts = Scripts::new(&plan, &id, &nonce, None)?;
    let host = host.unwrap_or("this machine");
    let port = plan.port.map_or_else(|| "a free port, chosen where it runs".to_owned(), |port| port.to_string());
    let (bound, launcher) = (&plan.bind_host, quote::quote(&plan.starter.argv())?);
    let folder = scripts.runner.folder.as_str();
    let launcher = if plan.starter.is_batch() {
        let dir = format!("DIR=${{XDG_STATE_HOME:-~/.local/state}}/llm-proxy/lives/{folder}");
        format!("{dir}\n{launcher} --output=$DIR/log\n# with a script that becomes $DIR/script, and so the keeper.")
    } else {
        [&launcher, "/bin/sh -s"].join(" ").trim().to_owned()
    };
    let dialled = match plan.starter {
        Starter::Process => format!("from {host}, on the address that it binds"),
        Starter::Slurm { .. } => format!("from {host}, on the node that Slurm chooses"),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# The engine binds {bound}, {port}. It is dialled {dialled}.");
    if let Some(instead) = &plan.if_prohibited {
        let _ = writeln!(text, "# If {host} turns out to open no channels, it binds {} instead.", instead.host);
    }
    let _ = writeln!(text, "# The keeper is started on {host} by:\n{launcher}");
    let _ = writeln!(text, "# In the end the engine's own shell runs:\n{}", scripts.engine.expose());
    let _ = writeln!(text, "# The keeper, whole, as it comes on standard input:\n{}", scripts.keeper.expose());
    let _ = writeln!(text, "# What `{shell}` on {host} is given on its standard input, the keeper inside:");
    let _ = writeln!(text, "{}", scripts.launch.expose());
    // The command and the prelude are the user's own, and may hold keys too.
    Ok(text.lines().map(|line| backend::redact(line) + "\n").collect())
}
