//! Which options were typed, and which hold by default.

use std::collections::BTreeSet;

use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

/// The names of the options that stand on the command line.
///
/// It takes no option for itself. As the first field of its struct it sees all of them: clap takes each value out of what it
/// matched.
#[derive(Clone, Debug, Default)]
pub struct TypedOptions(BTreeSet<String>);

impl TypedOptions {
    /// Whether this option was typed, by the name of its field.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// Takes back that it was.
    pub(super) fn forget(&mut self, field: &str) {
        self.0.remove(field);
    }
}

impl Args for TypedOptions {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for TypedOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let names = matches.ids().map(clap::Id::as_str);
        let typed = names.filter(|name| matches.value_source(name) == Some(ValueSource::CommandLine));
        Ok(Self(typed.map(str::to_owned).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
