//! Where a value comes from.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An option on the command line.
    Flag(&'static str),
    /// A variable of this program's environment.
    Environment(&'static str),
    /// A variable in `.env`.
    DotEnv(&'static str),
    /// A file.
    File {
        /// Which.
        path: Arc<PathBuf>,
        /// Where in it, from 1.
        line: usize,
    },
    /// Nobody: it is the default.
    Default,
}

impl Source {
    /// The line, where it is one of a file.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            Self::Flag(_) | Self::Environment(_) | Self::DotEnv(_) | Self::Default => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(option) => f.write_str(option),
            Self::Environment(name) => write!(f, "{name} in the environment"),
            Self::DotEnv(name) => write!(f, "{name} in .env"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and where it comes from.
#[derive(Clone, Debug)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who said it.
    pub source: Source,
}

/// Where a value stands does not count: a line above it may be taken out, and nothing is another.
impl<T: PartialEq> PartialEq for Sourced<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Sourced<T> {
    /// A value from there.
    pub fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }
}

/// In a file, only the value is written.
impl<T: JsonSchema> JsonSchema for Sourced<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
