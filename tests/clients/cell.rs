//! What a client saw, in a word or two, and whether that is what it had to see.

use crate::job::Outcome;

/// One cell of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// For the table.
    pub(crate) words: String,
    /// What is wrong with it, for the test's failure.
    pub(crate) fault: Option<String>,
}

impl Cell {
    /// A cell that is as it must be if `good`.
    fn new(words: impl Into<String>, good: bool, outcome: &Outcome) -> Self {
        Self { words: words.into(), fault: (!good).then(|| format!("{outcome:?}")) }
    }

    /// The same, but only good if this holds as well.
    pub(crate) fn and(mut self, holds: bool, what: &str) -> Self {
        if !holds {
            self.words = format!("{}, but {what}", self.words);
            self.fault.get_or_insert_with(String::new).push_str(what);
        }
        self
    }

    /// The whole text, and nothing raised.
    pub(crate) fn text(outcome: &Outcome, text: &str) -> Self {
        match &outcome.error {
            None if outcome.text == text => Self::new("text", true, outcome),
            None => Self::new("another text", false, outcome),
            Some(error) => Self::new(error.name(), false, outcome),
        }
    }

    /// The text of so many words, whatever they are.
    pub(crate) fn some_text(outcome: &Outcome, words: usize) -> Self {
        let good = outcome.text.split_whitespace().count() == words;
        match &outcome.error {
            None => Self::new(if good { "text" } else { "another text" }, good, outcome),
            Some(error) => Self::new(error.name(), false, outcome),
        }
    }

    /// An exception after `text`, with all of `words` in its message, so that the caller can read what to do.
    pub(crate) fn raised(outcome: &Outcome, text: &str, words: &[&str]) -> Self {
        let Some(error) = &outcome.error else {
            return Self::new(if outcome.text.is_empty() { "nothing" } else { "text" }, false, outcome);
        };
        let missing = words.iter().find(|word| !error.message.contains(**word));
        let good = missing.is_none() && outcome.text == text;
        match missing {
            None if outcome.text.is_empty() => Self::new(error.name(), good, outcome),
            None => Self::new(format!("text so far, {}", error.name()), good, outcome),
            Some(_) => Self::new(format!("{}, without our words", error.name()), good, outcome),
        }
    }

    /// An exception, of the client's own making.
    pub(crate) fn gave_up(outcome: &Outcome) -> Self {
        match &outcome.error {
            Some(error) => Self::new(error.name(), outcome.text.is_empty(), outcome),
            None => Self::new("text", false, outcome),
        }
    }

    /// The client went away, and `noticed` says who saw it.
    pub(crate) fn left(outcome: &Outcome, noticed: bool, words: &str) -> Self {
        let left = outcome.error.as_ref().is_some_and(|error| error.class == "left");
        Self::new(if left { words } else { "stayed" }, left, outcome).and(noticed, "nobody noticed")
    }
}
