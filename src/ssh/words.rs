//! Words of a server, and lists, made fit for an error's one line.

use std::path::Path;

/// The longest text of a server that we repeat, in characters.
const LONGEST_WORDS: usize = 300;

/// A server's words, fit to be shown: one line, bounded, and without control characters, which could command a terminal.
pub(super) fn printable(words: &str) -> String {
    let one_line: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_WORDS).collect();
    one_line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A word as a shell must be given it, in quotes whatever it is.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A word as a shell must be given it, in quotes only where it needs them.
pub(super) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { quoted(word) }
}

/// `: words`, or nothing.
pub(super) fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// Which keys were offered.
pub(super) fn tried_words(tried: &[String]) -> String {
    if tried.is_empty() { "nothing was offered".to_owned() } else { format!("tried {}", tried.join(", ")) }
}

/// What was refused before, in brackets.
pub(super) fn besides_words(tried: &[String]) -> String {
    if tried.is_empty() { String::new() } else { format!(" (it refused {})", tried.join(", ")) }
}

/// A line of a file, counted from 1; the file alone where there is no such line.
pub(super) fn place_words(file: &Path, line: usize) -> String {
    if line == 0 { file.display().to_string() } else { format!("{}:{line}", file.display()) }
}

/// The items, or what to say when there are none.
pub(super) fn list_or(items: &[String], empty: &str) -> String {
    if items.is_empty() { empty.to_owned() } else { items.join(", ") }
}

/// What else is to be known, in brackets.
pub(super) fn notes_words(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::SshError;

    #[test]
    fn words_of_a_server_cannot_command_a_terminal() {
        assert_eq!(printable("not\x1b[31m allowed\r\n at\tthis time\n"), "not [31m allowed at this time");
        assert_eq!(printable(&"x".repeat(1000)).len(), LONGEST_WORDS);
    }

    #[test]
    fn a_failure_names_what_was_tried_and_what_is_left() {
        let error = SshError::AuthenticationFailed {
            user: "me".to_owned(),
            host: "login".to_owned(),
            tried: vec!["/k (ED25519 SHA256:abc)".to_owned()],
            offers: vec!["publickey".to_owned(), "password".to_owned()],
            notes: vec!["the agent at /s cannot be reached".to_owned()],
        };
        assert_eq!(
            error.to_string(),
            "me@login could not be authenticated: tried /k (ED25519 SHA256:abc); the server offers: publickey, password \
             (the agent at /s cannot be reached)"
        );
        assert!(error.is_authentication() && !error.is_host_key() && !error.is_transient());
    }
}
