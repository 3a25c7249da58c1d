//! What can be wrong with arguments. No value is ever shown: it may be a key.

use std::fmt;

/// Where something stands: a line, if it is known.
type Line = Option<usize>;

/// Arguments that cannot be given to an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// The same flag twice, with different values.
    #[error("{flag} is given twice with different values{}; keep one of them", places(*.first, *.second))]
    Differs {
        /// The flag, as the second one is spelled.
        flag: String,
        /// Where the first one stands.
        first: Line,
        /// Where the second one stands.
        second: Line,
    },
    /// What should be a flag is none.
    #[error("'{key}'{} is not the name of a flag", place(*.line))]
    NoFlag {
        /// What it is.
        key: String,
        /// Where it stands.
        line: Line,
    },
    /// An item of a list of words is no word.
    #[error("a list of arguments has {what}{}; its items are words, as on a command line", place(*.line))]
    NoWord {
        /// What it has.
        what: &'static str,
        /// Where it stands.
        line: Line,
    },
    /// A value in a list would be read as a flag.
    #[error("a value of {flag}{} begins with a dash, and would be read as a flag", place(*.line))]
    DashInList {
        /// Whose value.
        flag: String,
        /// Where it stands.
        line: Line,
    },
    /// A caller may not set it.
    #[error("a request may not set {flag}: {why}")]
    Held {
        /// The flag.
        flag: String,
        /// Why.
        why: HeldBack,
    },
}

/// Why a caller's argument is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// The operator lets requests set nothing, or not this.
    NotAllowed,
    /// It could run code, reach files, or open the engine to others.
    Dangerous,
    /// It is a word or a value that belongs to no flag.
    NoFlag,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllowed => "the operator has not allowed it; ask for it to be added to what requests may set",
            Self::Dangerous => {
                "it could run code, reach files or open the engine to others, so the operator must allow it by name, or \
                 set it in the configuration"
            }
            Self::NoFlag => "it belongs to no flag",
        })
    }
}

/// What an operator should know of arguments that can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentWarning {
    /// The same flag twice, with the same value.
    Twice {
        /// The flag, as the second one is spelled.
        flag: String,
        /// Where the first one stands.
        first: Line,
        /// Where the second one stands.
        second: Line,
    },
}

impl fmt::Display for ArgumentWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice { flag, first, second } => {
                write!(f, "{flag} is given twice with the same value{}; once is enough", places(*first, *second))
            }
        }
    }
}

fn place(line: Line) -> String {
    line.map(|line| format!(" on line {line}")).unwrap_or_default()
}

fn places(first: Line, second: Line) -> String {
    match (first, second) {
        (Some(first), Some(second)) if first == second => place(Some(first)),
        (Some(first), Some(second)) => format!(", on lines {first} and {second}"),
        (first, second) => place(first.or(second)),
    }
}
