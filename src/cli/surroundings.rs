//! What is read from around the program: keys, folders, who and where we are.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::Report;
use crate::config;
use crate::secret::Key;

/// The access key: `found` in a variable, or in the place that was named. It never comes from an argument, which everybody here can read.
pub(super) fn access_key(source: Option<&str>, found: Option<&SecretString>) -> Result<Option<Key>, Report> {
    let text = match (source, found) {
        (None, None) => return Ok(None),
        // A variable wins over what only a file names.
        (_, Some(found)) => found.expose_secret().to_owned(),
        (Some(source), None) => match source.split_once(':') {
            // Variables of ours are taken out of the engine's environment; another could be handed on to it.
            Some(("env", name)) if !config::is_ours(name) => {
                return Err(Report::usage(format!("--access-key env:{name}: the engine would inherit that variable"))
                    .hinted("give it a name that starts with LLM_PROXY_, such as LLM_PROXY_ACCESS_KEY"));
            }
            Some(("env", name)) => std::env::var(name)
                .map_err(|_| Report::usage(format!("--access-key env:{name}: that variable is not set")))?,
            Some(("file", path)) => read_key(Path::new(path))?,
            _ => {
                return Err(Report::usage("--access-key takes the place of a key, not the key itself").hinted(
                    "give env:NAME or file:PATH; a key in an argument could be read by every user of this machine",
                ));
            }
        },
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Report::usage("the access key is empty").hinted("put a key there, or ask for none"));
    }
    Ok(Some(Key::new(text)))
}

fn read_key(path: &Path) -> Result<String, Report> {
    std::fs::read_to_string(path)
        .map_err(|error| Report::usage(format!("the access key in {} cannot be read: {error}", path.display())))
}

/// Where state folders are: `$XDG_STATE_HOME/llm-proxy`, by default `~/.local/state/llm-proxy`.
pub(super) fn state_root() -> Result<PathBuf, Report> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|root| root.join("llm-proxy"))
        .ok_or_else(|| Report::failure("there is no home folder to keep state in").hinted("set HOME or XDG_STATE_HOME"))
}
