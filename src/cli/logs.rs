//! `logs`: the engine's own log.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Report, instances, output};
use crate::api::{Ask, LogLine, LogStream, Reply};
use crate::control::{Client, ClientError, Known};
use crate::fleet;
use crate::launch::LogReader;

/// The arguments of `logs`.
#[derive(Args)]
pub struct LogsArgs {
    /// The instance, also one that does not run [default: the only one that runs]
    pub name: Option<String>,

    /// Go on as the log grows, over restarts of the engine, until the proxy ends
    #[arg(long, short)]
    pub follow: bool,

    /// Begin with the last N lines [default: all that is kept]
    #[arg(long, short = 'n', value_name = "N")]
    pub tail: Option<usize>,

    /// Show only what the engine wrote to this stream [default: both, in their order]
    #[arg(long, value_enum, value_name = "STREAM")]
    pub stream: Option<StreamName>,

    /// Print a JSON object for each line, with its stream
    #[arg(long)]
    pub json: bool,
}

/// One of the engine's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl From<StreamName> for LogStream {
    fn from(name: StreamName) -> Self {
        match name {
            StreamName::Stdout => Self::Stdout,
            StreamName::Stderr => Self::Stderr,
        }
    }
}

/// Runs `logs`.
pub(super) fn run(args: &LogsArgs) -> Result<ExitCode, Report> {
    instances::run(async {
        let instance = instances::choose(args.name.as_deref(), "logs").await?;
        let ask = Ask::Logs { follow: args.follow, tail: args.tail, stream: args.stream.map(LogStream::from) };
        match Client::ask(&instance, ask.clone()).await {
            Ok(client) => from_proxy(args, client).await?,
            Err(ClientError::NotRunning(_)) if instance.has_folder() && !args.follow => from_disk(args, &instance)?,
            Err(_) => drop(instances::ask(&instance, ask).await?),
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn from_proxy(args: &LogsArgs, mut client: Client) -> Result<(), Report> {
    loop {
        match client.next().await.map_err(Report::failure)? {
            Reply::Log(line) => print(args, line)?,
            Reply::Done(_) => return Ok(()),
            Reply::Failed(failure) => return Err(failure.into()),
            Reply::Status(_) | Reply::Progress(_) | Reply::Question(_) => {}
        }
    }
}

/// What an earlier proxy kept.
fn from_disk(args: &LogsArgs, instance: &Known) -> Result<(), Report> {
    let reader = LogReader::of_file(&fleet::engine_log(&instance.folder));
    let mut reader = reader.only(args.stream.map(LogStream::from));
    if let Some(lines) = args.tail {
        reader.skip_to_last(lines).map_err(Report::failure)?;
    }
    while let Some(line) = reader.next_line().map_err(Report::failure)? {
        print(args, LogLine::of_kept(&line))?;
    }
    Ok(())
}

fn print(args: &LogsArgs, line: LogLine) -> Result<(), Report> {
    if args.json { output::print_json(&line) } else { output::print(&(line.line + "\n")) }
}
