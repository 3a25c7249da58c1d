//! Words of a server that a person is to read: more than one line, and made safe for a terminal.

/// How much of a server's words is shown, in characters and in lines: enough for a site's whole rules of use.
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
            unsafe_one if unsafe_one.is_control() || turns_around(unsafe_one) => text.push(' '),
            plain => text.push(plain),
        }
    }
    text
}

/// The same as a paragraph of its own.
pub(super) fn paragraph(words: &str) -> String {
    readable(words).trim_end().to_owned()
}

/// Unicode's marks for the direction of text, and invisible ones: they can make a prompt look like another.
fn turns_around(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
