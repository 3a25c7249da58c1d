//! An engine's arguments as they are written, before anybody knows what they mean.

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgValue {
    /// Nothing: the flag is left out.
    Null,
    /// Whether the flag is given.
    Bool(bool),
    /// A number, in the digits in which it was written.
    Number(String),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<ArgValue>),
    /// A nested mapping, in the order in which it was written.
    Map(Vec<(String, ArgValue)>),
}

/// One argument as it is written: an item of a list, or a pair of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenArg {
    /// The flag, with or without its dashes; none in a list, whose items are words.
    pub key: Option<String>,
    /// Its value, or the word.
    pub value: ArgValue,
    /// The line where it stands, counted from 1.
    pub line: Option<usize>,
}
