//! Errors in words: one line that says what failed, one that says what to do, and an exit code.

use std::fmt::Display;
use std::process::ExitCode;

use super::terminal;
use crate::api::{Failure, FailureKind};

/// The program's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All was done.
    Success = 0,
    /// Something failed.
    Failure = 1,
    /// The command line does not say what to do.
    Usage = 2,
    /// The doctor found something that must be mended.
    Fault = 3,
    /// The host does not let us in, or not without a person.
    Authentication = 4,
    /// The host's key is not known, or not the one that is known.
    HostKey = 5,
    /// Interrupted before it was done: at a question, or by one more signal than an end in order takes.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What failed, what to do, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// What failed.
    pub what: String,
    /// What to do about it, where there is something to say.
    pub hint: Option<String>,
    /// How the program ends.
    pub exit: Exit,
}

impl Report {
    /// Something failed.
    pub fn failure(what: impl Display) -> Self {
        Self { what: what.to_string(), hint: None, exit: Exit::Failure }
    }

    /// Nobody is left to be told.
    pub(super) fn silent() -> Self {
        Self { what: String::new(), hint: None, exit: Exit::Success }
    }

    /// The command line is at fault.
    pub fn usage(what: impl Display) -> Self {
        Self { what: what.to_string(), hint: None, exit: Exit::Usage }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hinted(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Prints it on standard error; the exit code is to be returned.
    #[must_use]
    pub fn print(self) -> ExitCode {
        if self.what.is_empty() {
            return self.exit.into();
        }
        terminal::print(&format!("error: {}", self.what));
        if let Some(hint) = self.hint {
            terminal::print(&format!("hint: {hint}"));
        }
        self.exit.into()
    }
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        let exit = match failure.kind {
            FailureKind::Failure => Exit::Failure,
            FailureKind::Usage => Exit::Usage,
            FailureKind::Authentication => Exit::Authentication,
            FailureKind::HostKey => Exit::HostKey,
        };
        Self { what: failure.what, hint: failure.hint, exit }
    }
}
