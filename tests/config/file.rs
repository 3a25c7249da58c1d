//! Files out of texts.

use std::path::Path;

use llm_proxy::backend::DescribedCommand;
use llm_proxy::config::{Config, File, Instance, Layers, parse_file};

/// Reads a text as `f.yaml`; its problems as they are told.
pub(crate) fn read(text: &str) -> Result<File, String> {
    parse_file(Path::new("f.yaml"), text).map_err(|error| error.to_string())
}

/// What a text alone says.
pub(crate) fn resolved(text: &str) -> Config {
    let file = read(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    Layers { file: Some(file), ..Layers::default() }.resolve()
}

/// What the engine is run by.
pub(crate) fn command(instance: &Instance) -> String {
    DescribedCommand::of(instance).unwrap_or_else(|error| panic!("{error}")).words.join(" ")
}
