//! One source's arguments, read: a list of words, a mapping, or both, as flags with their values.

use super::json::json;
use super::problem::ArgumentError;
use crate::backend::flags::{Flags, dashed};
use crate::config::{ArgValue, WrittenArg};

/// A flag and its values. Without a `Debug`: a value may be a key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Given {
    /// The flag as it is compared; empty for words before the first flag.
    pub(super) key: String,
    /// The flag as it is spelled.
    pub(super) spelled: String,
    /// What it is given; for a list of words as it stands there.
    pub(super) values: Vec<String>,
    /// The words that the engine is given; none: the flag is left out.
    pub(super) words: Vec<String>,
    /// Where it stands.
    pub(super) line: Option<usize>,
    /// Whether it stands in a list of words.
    pub(super) listed: bool,
}

impl Given {
    /// Whether two say the same.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let opposite = |given: &Self| given.spelled.starts_with("--no-") || given.spelled.starts_with("--no_");
        let left_out = |given: &Self| given.words.is_empty();
        self.values == other.values && opposite(self) == opposite(other) && left_out(self) == left_out(other)
    }
}

/// Reads them. What is wrong is left out, and told.
pub(super) fn read(written: &[WrittenArg], flags: &Flags, errors: &mut Vec<ArgumentError>) -> Vec<Given> {
    let mut reader = Reader { flags, given: Vec::new(), open: false, errors };
    for argument in written {
        match &argument.key {
            Some(key) => reader.pair(key, &argument.value, argument.line),
            None => reader.item(&argument.value, argument.line),
        }
    }
    reader.given
}

struct Reader<'a> {
    flags: &'a Flags,
    given: Vec<Given>,
    /// Whether the last flag stands in the list that is read, so that the next word may be a value of it.
    open: bool,
    errors: &'a mut Vec<ArgumentError>,
}

impl Reader<'_> {
    fn item(&mut self, value: &ArgValue, line: Option<usize>) {
        match value {
            ArgValue::Number(word) | ArgValue::Text(word) => self.word(word, line),
            ArgValue::Map(pairs) => pairs.iter().for_each(|(key, value)| self.pair(key, value, line)),
            ArgValue::Null => self.errors.push(ArgumentError::NoWord { what: "an empty item", line }),
            ArgValue::Bool(_) => self.errors.push(ArgumentError::NoWord { what: "a bare true or false", line }),
            ArgValue::List(_) => self.errors.push(ArgumentError::NoWord { what: "another list in it", line }),
        }
    }

    /// A word of a list, which stays as it is.
    fn word(&mut self, word: &str, line: Option<usize>) {
        if word == "--" {
            self.errors.push(ArgumentError::NoFlag { key: word.to_owned(), line });
        } else if word.starts_with('-') && word != "-" && !is_negative_number(word) {
            let (spelled, attached) = match word.split_once('=') {
                Some((spelled, value)) => (spelled, Some(value.to_owned())),
                None => (word, None),
            };
            let key = self.flags.canonical(spelled);
            let values = attached.into_iter().collect();
            let words = vec![word.to_owned()];
            self.given.push(Given { key, spelled: spelled.to_owned(), values, words, line, listed: true });
            self.open = true;
        } else if let Some(last) = self.given.last_mut().filter(|_| self.open) {
            last.values.push(word.to_owned());
            last.words.push(word.to_owned());
        } else {
            let values = vec![word.to_owned()];
            let (key, spelled) = (String::new(), String::new());
            self.given.push(Given { key, spelled, words: values.clone(), values, line, listed: true });
            self.open = true;
        }
    }

    /// A pair of a mapping.
    fn pair(&mut self, key: &str, value: &ArgValue, line: Option<usize>) {
        self.open = false;
        let named = key.trim_start_matches('-');
        let is_flag = !named.is_empty() && !key.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control());
        if !is_flag {
            return self.errors.push(ArgumentError::NoFlag { key: key.to_owned(), line });
        }
        // A single dash is meant: `-tp`. Else two are.
        let single = key.starts_with('-') && !key.starts_with("--");
        let spelled = if single { key.to_owned() } else { dashed(&format!("--{named}")) };
        let key = self.flags.canonical(&spelled);
        let given = match self.values(&key, value) {
            None => Given { key, spelled, values: vec![], words: vec![], line, listed: false },
            Some(values) => match self.words(&key, &spelled, &values, value) {
                Some(words) => Given { key, spelled, values, words, line, listed: false },
                None => return self.errors.push(ArgumentError::DashInList { flag: spelled, line }),
            },
        };
        self.given.push(given);
    }

    /// The values of a flag; none at all where it is left out.
    fn values(&self, key: &str, value: &ArgValue) -> Option<Vec<String>> {
        match value {
            ArgValue::Null | ArgValue::Bool(false) => None,
            ArgValue::Bool(true) => Some(vec![]),
            ArgValue::Number(text) | ArgValue::Text(text) => Some(vec![text.clone()]),
            ArgValue::Map(_) => Some(vec![json(value)]),
            ArgValue::List(_) if self.flags.json_lists.contains(&key) => Some(vec![json(value)]),
            ArgValue::List(items) if items.is_empty() => None,
            ArgValue::List(items) => Some(items.iter().map(plain).collect()),
        }
    }

    /// The words for these values; none where a value would be read as a flag.
    fn words(&self, key: &str, spelled: &str, values: &[String], value: &ArgValue) -> Option<Vec<String>> {
        if values.is_empty() {
            return Some(vec![spelled.to_owned()]);
        }
        if matches!(value, ArgValue::List(_)) && values.len() > 1 && self.flags.several.contains(&key) {
            let readable = values.iter().all(|value| !value.starts_with('-') || is_negative_number(value));
            return readable.then(|| std::iter::once(spelled.to_owned()).chain(values.iter().cloned()).collect());
        }
        let one = |value: &String| {
            if value.starts_with('-') && !is_negative_number(value) {
                vec![format!("{spelled}={value}")]
            } else {
                vec![spelled.to_owned(), value.clone()]
            }
        };
        Some(values.iter().flat_map(one).collect())
    }
}

/// An item of a list as a value by itself.
fn plain(item: &ArgValue) -> String {
    match item {
        ArgValue::Number(text) | ArgValue::Text(text) => text.clone(),
        ArgValue::Null | ArgValue::Bool(_) | ArgValue::List(_) | ArgValue::Map(_) => json(item),
    }
}

/// Whether Python's argparse takes it for a number, and so for no flag.
fn is_negative_number(word: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = word.strip_prefix('-').filter(|number| !number.is_empty()) else { return false };
    match number.split_once('.') {
        None => digits(number),
        Some((whole, part)) => digits(whole) && digits(part) && !part.is_empty(),
    }
}
