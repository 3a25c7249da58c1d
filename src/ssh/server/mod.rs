//! Small SSH servers of our own: what they have in common, and the one that a job's `ssh -R` dials.

mod config;
mod forward;
mod visitor;

pub use config::{new_key, server_config};
pub use forward::{FORWARD_USER, ForwardServer};
