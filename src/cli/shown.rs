//! The command line as people are shown it: for completions and man pages.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The name under which the program is installed.
pub(super) const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// The whole command line but for the verbs that are not for people: clap's generators would offer those, too.
pub(super) fn shown() -> Command {
    let whole = Cli::command();
    let verbs = whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    Command::new(PROGRAM)
        .bin_name(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about(whole.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .subcommands(verbs)
}
