//! What is read from around the program: keys, folders, who and where we are.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::Report;
use crate::config;
use crate::secret::Key;

/// The access key: `found` in a variable, or in the place that was named.
pub(super) fn access_key(place: Option<&str>, found: Option<&SecretString>) -> Result<Option<Key>, Report> {
    let key = match (place, found) {
        (None, None) => return Ok(None),
        // A variable wins over what only a file names.
        (_, Some(found)) => config::some_key(found.expose_secret()),
        (Some(place), None) => config::read_key(place),
    };
    let key = key.map_err(|error| match error.hint() {
        Some(hint) => Report::usage(&error).hinted(hint),
        None => Report::usage(&error),
    })?;
    Ok(Some(Key::new(key.expose_secret())))
}

/// Where state folders are: `$XDG_STATE_HOME/llm-proxy`, by default `~/.local/state/llm-proxy`.
pub(super) fn state_root() -> Result<PathBuf, Report> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|root| root.join("llm-proxy"))
        .ok_or_else(|| Report::failure("there is no home folder to keep state in").hinted("set HOME or XDG_STATE_HOME"))
}
