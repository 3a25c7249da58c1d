//! Which options were typed, and which hold by default.

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

/// The options that stand on the command line, by the names of their fields, with their values.
///
/// It takes no option for itself. As the first field of its struct it sees all of them: clap takes each value out of what it
/// matched.
#[derive(Clone, Default)]
pub struct TypedOptions(BTreeMap<String, Vec<String>>);

impl TypedOptions {
    /// Whether this option was typed, by the name of its field.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }

    /// The words that say the same again, but for these options and without the command.
    pub(super) fn again_without(&self, options: &Command, left_out: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        for option in options.get_arguments() {
            let Some(values) = self.0.get(option.get_id().as_str()) else { continue };
            let Some(name) = option.get_long().filter(|_| !left_out.contains(&option.get_id().as_str())) else {
                continue;
            };
            if option.get_action().takes_values() {
                words.extend(values.iter().flat_map(|value| match value.strip_prefix('-') {
                    Some(_) => vec![format!("--{name}={value}")],
                    None => vec![format!("--{name}"), value.clone()],
                }));
            } else {
                words.push(format!("--{name}"));
            }
        }
        words
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
        let values = |name: &str| {
            let raw = matches.get_raw(name).into_iter().flatten();
            raw.map(|value| value.to_string_lossy().into_owned()).collect()
        };
        Ok(Self(typed.map(|name| (name.to_owned(), values(name))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
