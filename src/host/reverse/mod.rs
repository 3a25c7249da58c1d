//! Many connections to one port through an `ssh -R` that is started beside it.

mod bridge;
mod far_port;
mod fault;
mod listener;
#[expect(clippy::module_inception, reason = "it is what the folder is about")]
mod reverse;
mod started;
mod tunnel;

pub use bridge::Bridge;
pub use fault::{KEY_LIMITS, Paste, ReverseFault};
pub use reverse::{FarSide, Reverse, ReversePlan};
pub use started::{own_server, to_sshd};
