//! Many connections to one port, through the standard streams of one program: for hosts where nothing may be forwarded.

mod carrier;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[expect(clippy::module_inception, reason = "it is what the folder is about")]
mod relay;
mod silence;
mod stream;

pub(in crate::host) use carrier::greeting;
pub use relay::{Relay, RelayFault, RelayPlan, far_end};
pub use stream::RelayStream;
