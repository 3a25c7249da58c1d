//! The arguments of `config`.

use clap::{Args, Subcommand};

use super::doctor_args::OptionalCommand;

/// The arguments of `config`. Without a `Debug`: they may hold secrets.
#[derive(Args)]
pub struct ConfigArgs {
    /// What is asked.
    #[command(subcommand)]
    pub(super) verb: ConfigVerb,
}

/// What is asked of a configuration.
#[derive(Subcommand)]
pub(super) enum ConfigVerb {
    /// Look for everything that is wrong with a file, and with the options of `serve` that stand beside it
    Check(Box<Described>),
    /// Print what would be used, each value with its source: an option, the environment, .env, the file, or the default
    Show(Box<Described>),
    /// Print the JSON Schema of the file, for an editor
    Schema,
    /// List the environment variables that are read
    Env {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `serve` would be told: a FILE, or the same options.
#[derive(Args)]
pub(super) struct Described {
    /// Print it as JSON
    #[arg(long)]
    pub(super) json: bool,

    /// Those of `serve`.
    #[command(flatten)]
    pub(super) serve: OptionalCommand,
}
