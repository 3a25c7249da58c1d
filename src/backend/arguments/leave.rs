//! Which arguments a caller of the API may set. What stands in the operator's file or environment needs no leave.

use super::problem::HeldBack;
use super::written::Given;
use crate::backend::flags::{Flags, base, dashed};

/// What requests may set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerLeave {
    /// What they may set without being named.
    pub scope: CallerScope,
    /// What they may set besides, with or without dashes. To name a flag here is the leave for one that could run code.
    pub also: Vec<String>,
}

/// How much requests may set without its being named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerScope {
    /// Nothing.
    Nothing,
    /// Sizes and choices that are known to be harmless.
    #[default]
    Harmless,
    /// All that is not known to be dangerous. Of a command of the user's own nothing is known, and nothing may be set.
    NotDangerous,
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
        if self.names(flag, flags) || self.names(&given.key, flags) {
            return None;
        }
        // What an unknown short flag means depends on what is written right behind it.
        let dangerous = flags.is_dangerous(flag) || !flag.starts_with("--");
        let may = match self.scope {
            CallerScope::Nothing => false,
            CallerScope::Harmless => flags.harmless.contains(&flag),
            CallerScope::NotDangerous => !dangerous,
        };
        let why = if dangerous { HeldBack::Dangerous } else { HeldBack::NotAllowed };
        (!may).then_some(why)
    }

    fn names(&self, flag: &str, flags: &Flags) -> bool {
        let spelled = |name: &String| {
            let name = dashed(name);
            if name.starts_with('-') { name } else { format!("--{name}") }
        };
        self.also.iter().any(|name| flags.canonical(&spelled(name)) == flag)
    }
}
