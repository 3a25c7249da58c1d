//! Arguments of an engine as somebody wrote them: a list, a mapping, or both; in order, with their lines.

use std::fmt;

use super::yaml::{Node, Value};

/// A value as it was written. Without its content in a `Debug`: it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub enum ArgValue {
    /// `null`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, letter for letter.
    Number(String),
    /// Any other word, and each that stands in quotes.
    Text(String),
    /// A list.
    List(Vec<ArgValue>),
    /// A mapping, in its order.
    Map(Vec<(String, ArgValue)>),
}

/// One argument as it was written.
#[derive(Clone)]
pub struct WrittenArg {
    /// Its key in a mapping; none: a word of a list.
    pub key: Option<String>,
    /// Its value, or that word.
    pub value: ArgValue,
    /// Where in its file, from 1.
    pub line: Option<usize>,
}

/// Where it stands does not count.
impl PartialEq for WrittenArg {
    fn eq(&self, other: &Self) -> bool {
        (&self.key, &self.value) == (&other.key, &other.value)
    }
}

impl Eq for WrittenArg {}

impl fmt::Debug for ArgValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool(…)",
            Self::Number(_) => "Number(…)",
            Self::Text(_) => "Text(…)",
            Self::List(_) => "List(…)",
            Self::Map(_) => "Map(…)",
        })
    }
}

impl fmt::Debug for WrittenArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.key.as_deref().unwrap_or("-"), self.value)
    }
}

impl WrittenArg {
    /// An argument that stands in no file.
    #[must_use]
    pub fn new(key: &str, value: ArgValue) -> Self {
        Self { key: Some(key.to_owned()), value, line: None }
    }
}

/// Reads a list, a mapping, or a list with mappings in it.
pub(super) fn read_arguments(node: &Node) -> Result<Vec<WrittenArg>, String> {
    match &node.value {
        Value::Map(_) => Ok(of_map(node)),
        Value::List(nodes) => Ok(nodes.iter().flat_map(of_item).collect()),
        Value::Null => Ok(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
            Err(format!("must be a list of arguments or a mapping of them, and is {}", node.kind()))
        }
    }
}

/// A mapping in a list stands for its keys and values; all else is one word.
fn of_item(node: &Node) -> Vec<WrittenArg> {
    match &node.value {
        Value::Map(_) => of_map(node),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            vec![WrittenArg { key: None, value: value_of(node), line: Some(node.line) }]
        }
    }
}

fn of_map(node: &Node) -> Vec<WrittenArg> {
    let Value::Map(entries) = &node.value else { return Vec::new() };
    let one = |entry: &super::yaml::Entry| WrittenArg {
        key: Some(entry.key.clone()),
        value: value_of(&entry.value),
        line: Some(entry.line),
    };
    entries.iter().map(one).collect()
}

fn value_of(node: &Node) -> ArgValue {
    match &node.value {
        Value::Null => ArgValue::Null,
        Value::Bool(known) => ArgValue::Bool(*known),
        Value::Number(text) => ArgValue::Number(text.clone()),
        Value::Text(text) => ArgValue::Text(text.clone()),
        Value::List(nodes) => ArgValue::List(nodes.iter().map(value_of).collect()),
        Value::Map(entries) => {
            ArgValue::Map(entries.iter().map(|entry| (entry.key.clone(), value_of(&entry.value))).collect())
        }
    }
}
