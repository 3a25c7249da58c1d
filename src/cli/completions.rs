//! `completions`: what a shell reads to complete our verbs and options.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::{Report, output, shown};

/// The arguments of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// For this shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Runs `completions`.
pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, Report> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown::shown(), shown::PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script);
    // clap_complete 4.6 names a verb's state one way where bash comes to it and another where it looks it up, if the
    // program's name has a hyphen (clap's issue 6421); where that is mended, nothing is found to replace.
    output::write(&script.replace("llm__subcmd__proxy__", "llm__proxy__"))?;
    Ok(ExitCode::SUCCESS)
}
