//! Who starts an engine: a child on the host, or a job asked for there. Both by the same keeper, seen by the same task.

mod ask;
mod attachment;
mod batch;
mod bind;
mod causes;
mod ending;
mod kept_log;
mod life;
mod link_state;
mod lives;
mod log;
mod log_reader;
mod missing;
mod nested;
mod news;
mod plan;
mod presence;
mod reconnect;
mod record;
mod rehearsal;
mod report_lines;
mod reports;
mod reverse;
mod route_memory;
mod routing;
mod scripts;

pub use causes::{LOGIN_REQUIRED, login_required, vanished};
pub use kept_log::KeptLog;
pub use link_state::LinkState;
pub use lives::Lives;
pub use log_reader::LogReader;
pub use news::{Launcher, News, NewsSender, Order, Orders};
pub use plan::{AskedBy, Binding, EngineKey, Loopback, Place, Plan, Starter};
pub use record::{Record, RecordFile, VERSION};
pub use rehearsal::rehearse;
pub use route_memory::RouteMemory;
