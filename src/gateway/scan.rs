//! Finds `model`, `stream`, `encoding_format` and how the prompt begins, in a JSON body that passes by in pieces, wherever in it
//! they stand.

use super::beginning::Beginning;

/// The longest `model` that is kept, in bytes as written: a longer one is no model's name.
const VALUE_LIMIT: usize = 4096;
/// The longest key that is looked at, in bytes as written: `"encoding_format"` with each letter escaped has 92.
const KEY_LIMIT: usize = 96;

/// What was found at the top level of a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The text of `model`; nothing where it is absent, or no text, or longer than any name.
    pub model: Option<String>,
    /// The value of `stream`; nothing where it is absent or neither true nor false.
    pub stream: Option<bool>,
    /// The text of `encoding_format`, which says what an embedding is answered with.
    pub encoding_format: Option<String>,
    /// A hash of how its prompt begins; nothing where it has none.
    pub beginning: Option<u64>,
}

/// Reads a body piece by piece, in bounded memory. It looks for a few values and judges nothing: that a body is valid
/// JSON is for the engine to say. As in every common parser, the last of several equal keys counts.
#[derive(Debug, Default)]
pub struct Scanner {
    place: Place,
    depth: u64,
    text: Option<Escape>,
    /// Bytes of the key or value being read, where it matters.
    kept: Kept,
    beginning: Beginning,
    wanted: Option<Wanted>,
    found: Found,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the first brace.
    #[default]
    Before,
    /// In the top object, where a key is next.
    Key,
    /// After a key, up to its colon.
    Colon,
    /// In the value of a key of the top object.
    Value,
    /// After the last brace.
    After,
    /// No JSON object.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    No,
    Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Model,
    Stream,
    EncodingFormat,
    Beginning,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// How many more may come; nothing where no more are kept.
    room: Option<usize>,
}

impl Kept {
    fn start(&mut self, room: usize) {
        self.bytes.clear();
        self.room = Some(room);
    }

    fn stop(&mut self) {
        self.bytes.clear();
        self.room = None;
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room {
            match room.checked_sub(bytes.len()) {
                Some(left) => {
                    self.bytes.extend_from_slice(bytes);
                    self.room = Some(left);
                }
                None => self.stop(),
            }
        }
    }
}

impl Scanner {
    /// Reads the next piece.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while let Some((&byte, rest)) = piece.split_first() {
            match (self.place, self.text) {
                (Place::Lost, _) => return,
                (_, Some(Escape::No)) => piece = self.in_text(piece),
                (_, Some(Escape::Next)) => {
                    self.keep(&[byte]);
                    self.text = Some(Escape::No);
                    piece = rest;
                }
                (_, None) => {
                    self.outside_text(byte);
                    piece = rest;
                }
            }
        }
    }

    /// What was found, if the body was one JSON object and is complete.
    #[must_use]
    pub fn finish(self) -> Option<Found> {
        (self.place == Place::After).then_some(self.found)
    }

    /// Passes over text up to its end or its next escape: most of a long body is the text of messages and images.
    fn in_text<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let Some(at) = piece.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            self.keep(piece);
            return &[];
        };
        let (text, rest) = piece.split_at_checked(at + 1).unwrap_or((piece, &[]));
        self.keep(text);
        if text.last() == Some(&b'\\') {
            self.text = Some(Escape::Next);
        } else {
            self.text = None;
            if self.place == Place::Key {
                self.end_key();
            }
        }
        rest
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.push(bytes);
        self.beginning.push(bytes);
    }

    fn end_key(&mut self) {
        self.wanted = match serde_json::from_slice::<String>(&self.kept.bytes).as_deref() {
            Ok("model") => Some(Wanted::Model),
            Ok("stream") => Some(Wanted::Stream),
            Ok("encoding_format") => Some(Wanted::EncodingFormat),
            Ok("messages" | "prompt" | "input") => Some(Wanted::Beginning),
            Ok(_) | Err(_) => None,
        };
        self.kept.stop();
        self.place = Place::Colon;
    }

    fn outside_text(&mut self, byte: u8) {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return;
        }
        match self.place {
            Place::Before if byte == b'{' => self.place = Place::Key,
            Place::Key if byte == b'"' => {
                self.kept.start(KEY_LIMIT);
                self.kept.push(b"\"");
                self.text = Some(Escape::No);
            }
            // After a comma too: a comma too many is the engine's to refuse.
            Place::Key if byte == b'}' => self.place = Place::After,
            Place::Colon if byte == b':' => {
                self.kept.stop();
                match self.wanted {
                    Some(Wanted::Model | Wanted::Stream | Wanted::EncodingFormat) => self.kept.start(VALUE_LIMIT),
                    Some(Wanted::Beginning) => self.beginning.start(),
                    None => {}
                }
                self.place = Place::Value;
            }
            Place::Value => self.in_value(byte),
            Place::Before | Place::Key | Place::Colon | Place::After | Place::Lost => self.place = Place::Lost,
        }
    }

    fn in_value(&mut self, byte: u8) {
        match byte {
            b',' if self.depth == 0 => {
                self.end_value();
                self.place = Place::Key;
            }
            b'}' if self.depth == 0 => {
                self.end_value();
                self.place = Place::After;
            }
            b'"' => {
                self.keep(b"\"");
                self.text = Some(Escape::No);
            }
            b'{' | b'[' => {
                // None that is kept whole is an object or a list.
                self.kept.stop();
                self.beginning.push(&[byte]);
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.beginning.push(&[byte]);
                self.depth = self.depth.saturating_sub(1);
            }
            _ => self.keep(&[byte]),
        }
    }

    fn end_value(&mut self) {
        match self.wanted.take() {
            Some(Wanted::Model) => self.found.model = serde_json::from_slice(&self.kept.bytes).ok(),
            Some(Wanted::Stream) => self.found.stream = serde_json::from_slice(&self.kept.bytes).ok(),
            Some(Wanted::EncodingFormat) => {
                self.found.encoding_format = serde_json::from_slice(&self.kept.bytes).ok();
            }
            Some(Wanted::Beginning) => self.found.beginning = Some(self.beginning.finish()),
            None => {}
        }
        self.kept.stop();
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
