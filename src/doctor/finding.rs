//! What a check found.

use serde::Serialize;

use super::Mend;
use super::line::Typed;
use crate::marks::disguises;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    Ok,
    /// It works, and could be better.
    Warn,
    /// It must be mended.
    Fail,
    /// It was not looked at: what it rests on failed.
    Skipped,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// How it came out.
    pub level: Level,
    /// What was seen; for a check that was skipped, why.
    pub seen: String,
    /// What to do about it, in words.
    pub advice: Option<String>,
    /// A line for a shell on this machine that does it.
    pub remedy: Option<String>,
    /// What the doctor can do about it itself.
    #[serde(skip)]
    pub mend: Option<Mend>,
}

/// Whether a line can be pasted as it is shown: words of a host's may be in it, in quotes that only hold if nothing is taken
/// out when it is shown.
fn is_plain(line: &str) -> bool {
    !line.chars().any(|c| c.is_control() || disguises(c))
}

impl Finding {
    fn new(check: &'static str, level: Level, seen: impl Into<String>) -> Self {
        Self { check, level, seen: seen.into(), advice: None, remedy: None, mend: None }
    }

    /// All is well.
    pub fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, seen)
    }

    /// It works, and could be better.
    pub fn warn(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Level::Warn, seen)
    }

    /// It must be mended.
    pub fn fail(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Level::Fail, seen)
    }

    /// It was not looked at, for this reason.
    pub fn skipped(check: &'static str, reason: impl Into<String>) -> Self {
        Self::new(check, Level::Skipped, reason)
    }

    /// Adds what to do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Adds what to do, if there is something.
    #[must_use]
    pub fn maybe_advice(mut self, advice: Option<String>) -> Self {
        self.advice = advice;
        self
    }

    /// Adds the line that does it.
    #[must_use]
    pub fn remedy(mut self, line: impl Into<String>) -> Self {
        self.remedy = Some(line.into()).filter(|line| is_plain(line));
        self
    }

    /// Adds the doctor's own line with better arguments.
    pub(super) fn again(mut self, better: &Typed) -> Self {
        self.remedy = better.line().filter(|line| is_plain(line));
        self
    }

    /// Adds what the doctor can do itself.
    #[must_use]
    pub fn mend(self, mend: Mend) -> Self {
        self.maybe_mend(Some(mend))
    }

    /// Adds what the doctor can do itself, if there is something.
    #[must_use]
    pub(super) fn maybe_mend(mut self, mend: Option<Mend>) -> Self {
        self.mend = mend;
        self
    }
}
