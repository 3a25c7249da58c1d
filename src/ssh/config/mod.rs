//! What the user's SSH configuration says about a host: read as `ssh` reads it, and brought together in one [`Target`].

mod by_hand;
mod destination;
pub(in crate::ssh) mod pattern;

mod configured;
mod keywords;
mod openssh;
mod openssh_process;

mod file;
mod glob;
mod line;
mod matching;

mod algorithms;
mod assemble;
mod jump;
mod policy;
mod readings;
mod target;
mod tokens;
mod unheeded;

#[cfg(test)]
mod corpus;
#[cfg(any(test, fuzzing))]
pub(in crate::ssh) mod fuzzing;

pub(in crate::ssh) use openssh_process::find;
pub(in crate::ssh) use policy::{AddressFamily, Algorithms, KeepAlive, METHODS, Method, UnknownHostKey, Way};
pub(in crate::ssh) use target::{RevokedLists, Target};
