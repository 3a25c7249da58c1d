//! What a plan would run, as text: everything but the secrets.

use std::fmt::Write as _;

use secrecy::SecretString;

use super::scripts::Scripts;
use super::{Binding, EngineKey, Plan, Starter};
use crate::backend;
use crate::host::{Bind, quote};
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
    let launcher = quote::quote(&plan.starter.argv())?;
    let folder = scripts.runner.folder.as_str();
    let launcher = if plan.starter.is_batch() {
        let dir = format!("DIR=${{XDG_STATE_HOME:-~/.local/state}}/llm-proxy/lives/{folder}");
        format!("{dir}\n{launcher} --output=$DIR/log\n# with a script that becomes $DIR/script, and so the keeper.")
    } else {
        [&launcher, "/bin/sh -s"].join(" ").trim().to_owned()
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# {}", listens(&plan, host));
    if let Some(Binding { bind: Bind::Port { host: instead, .. }, .. }) = &plan.if_prohibited {
        let _ = writeln!(text, "# If {host} turns out to open no channels, it binds {instead} instead.");
    }
    let _ = writeln!(text, "# The keeper is started on {host} by:\n{launcher}");
    let _ = writeln!(text, "# In the end the engine's own shell runs:\n{}", scripts.engine.expose());
    let _ = writeln!(text, "# The keeper, whole, as it comes on standard input:\n{}", scripts.keeper.expose());
    let _ = writeln!(text, "# What `{shell}` on {host} is given on its standard input, the keeper inside:");
    let _ = writeln!(text, "{}", scripts.launch.expose());
    // The command and the prelude are the user's own, and may hold keys too.
    Ok(text.lines().map(|line| backend::redact(line) + "\n").collect())
}

/// What the engine listens on, and from where it is reached.
fn listens(plan: &Plan, host: &str) -> String {
    let Bind::Port { host: bound, port } = &plan.bind else {
        return "The engine listens on a Unix socket, in a folder of its own under /tmp, made where it runs."
            .to_owned();
    };
    let port = port.map_or_else(|| "a free port, chosen where it runs".to_owned(), |port| port.to_string());
    let dialled = match plan.starter {
        Starter::Process => "on the address that it binds",
        Starter::Slurm { .. } => "on the node that Slurm chooses",
    };
    format!("The engine binds {bound}, {port}. It is dialled from {host}, {dialled}.")
}
