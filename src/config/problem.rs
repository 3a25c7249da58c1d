//! What is wrong with a configuration file: all of it at once, each with its line.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One fault of a file. It never holds a value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, from 1; none: in the file as a whole.
    pub line: Option<usize>,
    /// What is wrong, and what to write instead.
    pub what: String,
}

impl Problem {
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// A configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// More than anybody writes by hand.
    #[error("{} has more than {} bytes; no configuration is that long", path.display(), super::read::MAX_BYTES)]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// What it says cannot be used.
    #[error("{}", listed(path, problems))]
    Problems {
        /// Which file.
        path: PathBuf,
        /// All that is wrong, in the order of the lines; never empty.
        problems: Vec<Problem>,
    },
}

fn listed(path: &std::path::Path, problems: &[Problem]) -> String {
    let one = |problem: &Problem| match problem.line {
        Some(line) => format!("{}:{line}: {}", path.display(), problem.what),
        None => format!("{}: {}", path.display(), problem.what),
    };
    problems.iter().map(one).collect::<Vec<_>>().join("\n       ")
}
