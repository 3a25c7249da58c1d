//! The command of an engine that a configuration describes: its own or the usual one of its kind, with its arguments behind.

use super::arguments::{ArgumentError, ArgumentLayer, ArgumentSource, ArgumentWarning, CallerLeave, merge_arguments};
use super::kind::Backend;
use super::launch_command::{LaunchCommand, LaunchCommandError, name_words};
use super::program::shell_string;
use crate::config::{BackendName, Instance, WrittenArg};

/// What is run. Without a `Debug`: a word may be a key.
#[derive(Clone)]
pub struct DescribedCommand {
    /// Its words.
    pub words: Vec<String>,
    /// What the operator should know of its arguments.
    pub warnings: Vec<ArgumentWarning>,
}

/// What is described cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum DescribedError {
    /// Its arguments: all that is wrong with them, a line each.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n       "))]
    Arguments(Vec<ArgumentError>),
    /// Its command.
    #[error(transparent)]
    Command(#[from] LaunchCommandError),
}

impl From<BackendName> for Backend {
    fn from(name: BackendName) -> Self {
        match name {
            BackendName::Vllm => Self::Vllm,
            BackendName::Sglang => Self::Sglang,
            BackendName::Custom => Self::Custom,
        }
    }
}

impl DescribedCommand {
    /// Of this instance.
    ///
    /// # Errors
    /// See [`DescribedError`].
    pub fn of(instance: &Instance) -> Result<Self, DescribedError> {
        Self::of_caller(instance, &[], &CallerLeave::default())
    }

    /// Of this instance, with what a caller of the API says besides, as far as the operator lets him.
    ///
    /// # Errors
    /// See [`DescribedError`].
    pub fn of_caller(
        instance: &Instance,
        arguments: &[WrittenArg],
        leave: &CallerLeave,
    ) -> Result<Self, DescribedError> {
        let server = &instance.server;
        let backend = Backend::from(server.backend_name());
        let layers = instance.arguments.iter();
        let layers = layers.map(|arguments| ArgumentLayer { source: ArgumentSource::Operator, arguments });
        let caller = ArgumentLayer { source: ArgumentSource::Caller, arguments };
        let layers: Vec<ArgumentLayer<'_>> = layers.chain([caller]).collect();
        let merged = merge_arguments(backend, &layers, leave);
        if !merged.errors.is_empty() {
            return Err(DescribedError::Arguments(merged.errors));
        }
        let names = names(backend, instance);
        let words = match &server.command {
            Some(command) => with_names(backend, [command.value.as_slice(), &merged.words].concat(), &names),
            None => usual(backend, server.model.as_ref().map_or("", |model| &model.value), &names, &merged.words)?,
        };
        Ok(Self { words, warnings: merged.warnings })
    }
}

/// What the engine is to call its model, where it has further names and can be told them: its name in the file is one.
fn names(backend: Backend, instance: &Instance) -> Vec<String> {
    let Some(model) = instance.server.model.as_ref().filter(|_| backend.takes_several_names()) else {
        return Vec::new();
    };
    let aliases = instance.server.aliases.iter().flat_map(|aliases| &aliases.value);
    let mut names = vec![model.value.clone()];
    for alias in instance.name.iter().chain(aliases) {
        if !names.contains(alias) {
            names.push(alias.clone());
        }
    }
    if names.len() > 1 { names } else { Vec::new() }
}

/// A shell's string is the user's own.
fn with_names(backend: Backend, mut words: Vec<String>, names: &[String]) -> Vec<String> {
    if shell_string(&words).is_none() {
        words.extend(name_words(backend, names, &words));
    }
    words
}

fn usual(
    backend: Backend,
    model: &str,
    names: &[String],
    arguments: &[String],
) -> Result<Vec<String>, LaunchCommandError> {
    let as_module = backend.profile().commands.first().is_some_and(|command| command.contains(&"-m"));
    let (wrapper, program, on_socket) = (&[], None, false);
    LaunchCommand { backend, model, names, wrapper, as_module, program, arguments, on_socket }.words()
}
