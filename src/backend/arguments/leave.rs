//! Which arguments a caller of the API may set. What stands in the operator's file or environment needs no leave.
//!
//! What is not allowed is held back, and not the other way round: each version of an engine has new flags, Python's parsers
//! take abbreviations of them, and nobody can list all that could run code.

use super::problem::HeldBack;
use super::written::Given;
use crate::backend::flags::{Flags, base, dashed};

/// What requests may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerLeave {
    /// Whether they may set sizes and choices that are known to be harmless. Of a command of the user's own none are known.
    pub harmless: bool,
    /// What they may set besides, with or without dashes: the operator's leave, also for a flag that could run code.
    pub also: Vec<String>,
}

impl Default for CallerLeave {
    fn default() -> Self {
        Self { harmless: true, also: Vec::new() }
    }
}

impl CallerLeave {
    /// Why a caller may not set this; nothing where he may.
    pub(super) fn held_back(&self, given: &Given, flags: &Flags) -> Option<HeldBack> {
        if given.key.is_empty()
            || (given.listed && given.values.len() > 1 && !flags.several.contains(&given.key.as_str()))
        {
            return Some(HeldBack::NoFlag);
        }
        let flag = base(&given.key);
        let harmless = self.harmless && flags.harmless.contains(&flag);
        if harmless || self.names(flag, flags) || self.names(&given.key, flags) {
            None
        } else if flags.is_dangerous(flag) {
            Some(HeldBack::Dangerous)
        } else {
            Some(HeldBack::NotAllowed)
        }
    }

    fn names(&self, flag: &str, flags: &Flags) -> bool {
        let spelled = |name: &String| {
            let name = dashed(name);
            if name.starts_with('-') { name } else { format!("--{name}") }
        };
        self.also.iter().any(|name| flags.canonical(&spelled(name)) == flag)
    }
}
