//! `profile`: profiles a running engine, and brings the traces here.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::{Exit, Report, instances, progress};
use crate::api::Ask;
use crate::config::parse_duration;

/// The arguments of `profile`.
#[derive(Args)]
pub struct ProfileArgs {
    /// The instance [default: the only one that runs]
    pub name: Option<String>,

    /// Profile this long
    #[arg(long = "for", default_value = "30s", value_name = "DURATION", value_parser = parse_duration)]
    pub length: Duration,

    /// Bring the traces into this folder, which must not be there yet, or be empty
    #[arg(long, short, default_value = "trace", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,

    /// Print a JSON object for each step
    #[arg(long)]
    pub json: bool,
}

/// Runs `profile`.
pub(super) fn run(args: &ProfileArgs) -> Result<ExitCode, Report> {
    let into = std::path::absolute(&args.output).map_err(Report::failure)?;
    let length_ms = u64::try_from(args.length.as_millis()).unwrap_or(u64::MAX);
    instances::run(async {
        let instance = instances::choose(args.name.as_deref(), "profile").await?;
        let mut client = instances::ask(&instance, Ask::Profile { length_ms, into }).await?;
        tokio::select! {
            followed = progress::follow(&instance.name, &mut client, args.json) => followed.map(|()| ExitCode::SUCCESS),
            // The proxy sees us leave, and ends the profile.
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(Report::failure)?;
                super::announce::say(&format!("{}: the profile is ended, and nothing of it is kept here", instance.name));
                Ok(ExitCode::from(Exit::Interrupted))
            }
        }
    })
}
