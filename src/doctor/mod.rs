//! `llm-proxy doctor`: everything that `serve` would need, looked at in order, with a remedy for each fault.
//!
//! `examine` has the order; each check is a file of its own and returns [`Finding`]s. What a check rests on and what failed
//! skips it, with the reason. Where there is somebody to ask (a [`crate::ssh::Person`]), what can be mended is offered, done
//! with consent, and looked at again. Nothing is left behind.

mod ask;
mod consent;
mod examine;
mod finding;
mod line;
mod mend;
mod permissions;
mod subject;

mod association;
mod clock;
mod configuration;
mod door;
mod forwarding;
mod key_files;
mod let_in;
mod loopback;
mod new_file;
mod next;
mod own_file;
mod own_key;
mod programs;
mod session;
mod slurm;
mod space;
mod ssh_configuration;
mod submission;
mod suggestion;

mod deep;
mod deep_facts;
mod deep_job;
mod deep_routes;

pub use examine::examine;
pub use finding::{Finding, Level};
pub use line::Typed;
pub use mend::Mend;
pub use new_file::NewFile;
pub use subject::{Deep, Subject};
