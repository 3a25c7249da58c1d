//! `start`: starts an instance's engine now.

use std::process::ExitCode;

use clap::Args;

use super::{Report, instances, progress};
use crate::api::Ask;

/// The arguments of `start`.
#[derive(Args)]
pub struct StartArgs {
    /// The instance [default: the only one that runs]
    pub name: Option<String>,

    /// Wait until the engine is ready, and show how far it is
    #[arg(long)]
    pub wait: bool,

    /// Print a JSON object for each step
    #[arg(long)]
    pub json: bool,
}

/// Runs `start`.
pub(super) fn run(args: &StartArgs) -> Result<ExitCode, Report> {
    instances::run(async {
        let instance = instances::choose(args.name.as_deref(), "start").await?;
        let mut client = instances::ask(&instance, Ask::Start { wait: args.wait }).await?;
        progress::follow(&instance.name, &mut client, args.json).await?;
        Ok(ExitCode::SUCCESS)
    })
}
