//! A far end that needs no cluster: an SSH login host in this process, stand-ins for Slurm's commands behind it, and a
//! tiny engine that says what it is. The demonstration shows the whole way on it; the tests ask it for what OpenSSH will
//! not do on demand.

mod far_end;
mod login_host;
mod login_session;
mod outward;
mod remote_command;
mod streams;

mod leftovers;
mod needs;
mod settings;
mod stand_ins;

mod engine;
mod engine_text;

mod ask;
mod time_line;

pub use ask::{AskError, Told, ask};
pub use engine::{Engine, EngineArgs, loading_lines};
pub use far_end::{FarEnd, FarEndError};
pub use login_host::{LoginHost, LoginPlan};
pub use needs::{Missing, missing};
pub use outward::{Asked, Nodes, Outward};
pub use remote_command::{Surroundings, run as run_command};
pub use settings::{IDLE_TIMEOUT, MODEL, app_settings};
pub use time_line::TimeLine;
