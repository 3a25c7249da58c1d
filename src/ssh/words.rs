//! Words of a server, made safe for a terminal, and lists, made fit for an error's one line.

use std::path::Path;

use crate::marks::disguises;

/// The longest line of a server that we repeat, in characters.
const LONGEST_LINE: usize = 300;

/// How much of a server's words is shown to a person, in characters and in lines: enough for a site's whole rules of use.
const MOST_CHARACTERS: usize = 8192;
const MOST_LINES: usize = 100;

/// A server's words with their line breaks, bounded, and without what could command a terminal or turn the text around.
/// Spaces at the end of the last line stay: a prompt ends with one.
pub(super) fn readable(words: &str) -> String {
    let words = words.replace("\r\n", "\n");
    let mut text = String::new();
    let mut lines = 1;
    for character in words.trim_start_matches(['\n', '\r']).chars().take(MOST_CHARACTERS) {
        match character {
            '\n' if lines == MOST_LINES => break,
            '\n' => {
                lines += 1;
                text.push('\n');
            }
            '\t' => text.push_str("    "),
            unsafe_one if unsafe_one.is_control() || disguises(unsafe_one) => text.push(' '),
            plain => text.push(plain),
        }
    }
    text
}

/// The same as a paragraph of its own.
pub(super) fn paragraph(words: &str) -> String {
    readable(words).trim_end().to_owned()
}

/// The same in one short line, for an error.
pub(super) fn printable(words: &str) -> String {
    let start: String = words.chars().take(LONGEST_LINE).collect();
    readable(&start).split_whitespace().collect::<Vec<_>>().join(" ")
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
        assert_eq!(printable(&"x".repeat(1000)).len(), LONGEST_LINE);
    }

    #[test]
    fn neither_words_nor_lines_turn_the_text_around() {
        let marks = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        for mark in marks.chain(['\u{200e}', '\u{200f}', '\u{61c}', '\u{80}', '\u{9b}', '\u{9f}', '\u{7f}']) {
            let words = format!("pass{mark}word");
            assert_eq!(
                (readable(&words), printable(&words)),
                ("pass word".to_owned(), "pass word".to_owned()),
                "{words:?}"
            );
        }
    }

    #[test]
    fn a_servers_words_keep_their_lines_and_lose_their_commands() {
        let words =
            "Duo two-factor login\r\n\r\n 1. Push to XXX\x1b[2J\n\tand\rso\u{9b}31m on\n\nPasscode or option (1-1): ";
        assert_eq!(
            readable(words),
            "Duo two-factor login\n\n 1. Push to XXX [2J\n    and so 31m on\n\nPasscode or option (1-1): "
        );
        assert_eq!(paragraph("\n\nwelcome\n \n"), "welcome");
        assert_eq!(readable("pass\u{202e}word"), "pass word");
    }

    #[test]
    fn they_are_bounded() {
        assert_eq!(readable(&"x".repeat(100_000)).len(), MOST_CHARACTERS);
        assert_eq!(readable(&"x\n".repeat(1000)).lines().count(), MOST_LINES);
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
