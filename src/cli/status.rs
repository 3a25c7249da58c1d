//! `status`: where the instances stand.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Report, instances, output, status_words};
use crate::api::Status;
use crate::control::ClientError;

/// The arguments of `status`.
#[derive(Args)]
pub struct StatusArgs {
    /// The instance [default: all that run or ran here]
    pub name: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Listing {
    instances: Vec<Status>,
}

/// Runs `status`.
pub(super) fn run(args: &StatusArgs) -> Result<ExitCode, Report> {
    let listing = Listing { instances: instances::run(statuses(args.name.as_deref()))? };
    if args.json {
        output::print_json(&listing)?;
    } else if listing.instances.is_empty() {
        return Err(instances::nothing_runs());
    } else {
        for status in &listing.instances {
            output::print(&status_words::block(status))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn statuses(name: Option<&str>) -> Result<Vec<Status>, Report> {
    let chosen = match name {
        None => instances::all()?,
        Some(name) => vec![instances::named(name)?],
    };
    let mut statuses = Vec::new();
    for instance in chosen {
        match instances::status(&instance).await {
            Ok(status) => statuses.push(status),
            Err(ClientError::NotRunning(_)) if instance.has_folder() => statuses.push(instance.not_running()),
            Err(error) => {
                let report = Report::failure(format!("{}: {error}", instance.name));
                return Err(report.hinted("`llm-proxy status` lists those that are known"));
            }
        }
    }
    Ok(statuses)
}
