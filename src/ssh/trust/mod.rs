//! Whether a server is the one that it says it is: the `known_hosts` files, what they decide, and how a new key gets there.

mod algorithms;
mod certificate;
mod key_scan;
mod known_hosts;
mod learn;
mod learned;
mod line;
mod question;
mod revoked;
mod write;

#[cfg(any(test, fuzzing))]
pub(in crate::ssh) mod fuzzing;

pub(in crate::ssh) use algorithms::HostKeyAlgorithms;
pub(in crate::ssh) use known_hosts::KnownHosts;
pub(in crate::ssh) use learn::decide;
pub use learned::AcceptedKey;
pub(in crate::ssh) use learned::Learned;
