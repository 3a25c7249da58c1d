//! Who we are: keys, agents, certificates, questions and passwords, and the order in which the server gets them.
//!
//! * `authentication`: the loop over what the server offers and what the user prefers, until it lets us in.
//! * `keys`: key after key. `plan`: which ones, in which order; `identity`, `certificates`, `agent`: where they come from;
//!   `algorithms`: which the user and the server allow; `signer`: what happens when the server would take one.
//! * `passphrase`, `interactive`, `password`: what only a person knows; `asking`: how they are asked; `remembered`: what the
//!   system's keyring keeps.
//! * `failure`: which of all that went wrong is told.

mod agent;
mod algorithms;
mod asking;
mod authentication;
mod certificates;
mod failure;
mod identity;
mod interactive;
mod keys;
mod passphrase;
mod password;
mod plan;
mod remembered;
mod signer;

pub(in crate::ssh) use authentication::{Authenticated, Authentication};
