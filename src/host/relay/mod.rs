//! Many connections to one port, through the standard streams of one program: for hosts where nothing may be forwarded.

mod carrier;
mod stream;

pub use carrier::{Relay, RelayError, RelayPlan};
pub use stream::RelayStream;
