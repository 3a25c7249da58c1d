//! `stop`: ends an instance's engine, and with `--serve` the proxy, too.

use std::process::ExitCode;

use clap::Args;

use super::announce::say;
use super::signals::Signals;
use super::{Exit, Report, instances, orphans, progress};
use crate::api::Ask;

/// The arguments of `stop`.
#[derive(Args)]
pub struct StopArgs {
    /// The instance [default: the only one that runs]
    pub name: Option<String>,

    /// End the proxy itself, too
    #[arg(long)]
    pub serve: bool,

    /// End what earlier runs left behind and no proxy looks after [default: of all instances]
    #[arg(long, conflicts_with_all = ["serve", "json"])]
    pub orphans: bool,

    /// Print a JSON object for each step
    #[arg(long)]
    pub json: bool,
}

/// Runs `stop`.
pub(super) fn run(args: &StopArgs) -> Result<ExitCode, Report> {
    if args.orphans {
        let name = args.name.as_deref().map(instances::named).transpose()?.map(|known| known.name);
        return instances::run(orphans::end(name.as_ref()));
    }
    instances::run(stop(args))
}

async fn stop(args: &StopArgs) -> Result<ExitCode, Report> {
    let mut signals = Signals::listen().map_err(Report::failure)?;
    let instance = instances::choose(args.name.as_deref(), "stop").await?;
    let ask = |hurry| Ask::Stop { hurry, serve: args.serve };
    let mut client = instances::ask(&instance, ask(false)).await?;
    let mut hurried = None; // Kept to the end: a conversation that is left open costs nothing.
    let following = progress::follow(&instance.name, &mut client, args.json);
    tokio::pin!(following);
    loop {
        tokio::select! {
            followed = &mut following => break followed?,
            () = signals.next() => {
                if hurried.is_some() {
                    say("left: the engine is still being ended");
                    return Ok(Exit::Interrupted.into());
                }
                say("hurrying: ending the engine by force; once more to leave it to that");
                hurried = Some(instances::ask(&instance, ask(true)).await?);
            }
        }
    }
    if args.serve {
        // It may still end what else it serves.
        tokio::select! {
            () = instance.ended() => {}
            () = signals.next() => {
                say("left: the proxy is still ending what else it serves");
                return Ok(Exit::Interrupted.into());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
