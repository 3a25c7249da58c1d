//! What we know of each kind of engine: its flags, its readiness, its keys, and what it says when it fails.

mod argv;
mod causes;
mod clean;
mod command;
mod custom;
mod diagnosis;
mod engine;
mod engine_causes;
mod kind;
mod loading;
mod metrics;
mod placeholder;
mod program;
mod recurring;
mod redact;
mod sglang;
mod slurm_causes;
mod vllm;

pub use argv::{get, list, remove, set};
pub use clean::visible;
pub use command::{CommandError, CommandWarning, PreparedCommand, prepare};
pub use diagnosis::{Diagnosis, JobEnd, diagnose, diagnose_job};
pub use engine::{Engine, OwnKeys, recognise};
pub use kind::Backend;
pub use loading::{Loading, loading};
pub use redact::redact;
