//! `man`: the manual pages.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_mangen::Man;

use super::{Report, output, shown};

/// The arguments of `man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The page of this verb [default: that of the program]
    #[arg(value_name = "VERB")]
    pub verb: Option<String>,

    /// Write all pages into this folder instead, which is made where it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub dir: Option<PathBuf>,
}

/// Runs `man`.
pub(super) fn run(args: &ManArgs) -> Result<ExitCode, Report> {
    match &args.dir {
        Some(dir) => write_all(dir)?,
        None => output::write(&page(args.verb.as_deref())?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_all(dir: &Path) -> Result<(), Report> {
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(shown::shown(), dir))
        .map_err(|error| Report::failure(format!("the pages cannot be written into {}: {error}", dir.display())))
}

fn page(verb: Option<&str>) -> Result<String, Report> {
    let mut command = shown::shown();
    // Gives each verb its whole name, `llm-proxy-serve`.
    command.build();
    if let Some(name) = verb {
        let named = command.find_subcommand(name).cloned();
        command = named.ok_or_else(|| {
            let verbs: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
            Report::usage(format!("there is no verb {name:?}")).hinted(format!("take one of {}", verbs.join(", ")))
        })?;
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(Report::failure)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
