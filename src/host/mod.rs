//! A host: a machine where we can run a command and dial an address.

mod address;
mod append;
mod bind;
mod endpoint;
mod gpus;
mod local;
mod lossy_lines;
mod machine;
pub mod quote;
pub mod relay;
pub mod reverse;
mod ssh;
mod stream;

pub use address::Address;
pub use append::append;
pub use bind::Bind;
pub use endpoint::Endpoint;
pub use gpus::{Gpu, Gpus, GpusError, Maker};
pub use local::LocalHost;
pub use machine::{Host, Shell};
pub use relay::{Relay, RelayFault, RelayPlan, RelayStream};
pub use reverse::{Reverse, ReverseFault, ReversePlan};
pub use ssh::SshHost;
pub use stream::{HostError, HostStream, Program};
