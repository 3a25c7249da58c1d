//! Characters that make a line look like another one.

/// Unicode's marks for the direction of text: what stands beside them is shown elsewhere.
#[must_use]
pub fn turns_around(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Those, and what is not seen at all: either can make a word look like another. Some of the unseen have their use: they
/// join letters and emoji.
#[must_use]
pub fn disguises(character: char) -> bool {
    let unseen = matches!(
        character,
        '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    unseen || turns_around(character)
}
