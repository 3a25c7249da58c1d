//! How a user would come to the same host by hand.

use super::destination::Destination;
use crate::ssh::SshOptions;
use crate::ssh::words::shell_word;

/// The words of an `ssh` that reads the same configuration and asks for the same host, for a shell.
pub(super) fn by_hand(options: &SshOptions, destination: &Destination) -> String {
    let mut words = vec!["ssh".to_owned()];
    if let Some(file) = &options.config_file {
        words.extend(["-F".to_owned(), shell_word(&file.display().to_string())]);
    }
    if let Some(jump) = &options.jump {
        words.extend(["-J".to_owned(), shell_word(jump)]);
    }
    for setting in &options.settings {
        words.extend(["-o".to_owned(), shell_word(setting)]);
    }
    words.push(match destination.port {
        // It takes a port in this form alone.
        Some(_) => shell_word(&format!("ssh://{destination}")),
        None => shell_word(&destination.to_string()),
    });
    words.join(" ")
}
