//! Who starts an engine: a child on the host, or a job asked for there. Both by the same keeper, seen by the same task.

mod ask;
mod attachment;
mod causes;
mod ending;
mod life;
mod lives;
mod log;
mod news;
mod plan;
mod presence;
mod record;
mod rehearsal;
mod report_lines;
mod reports;
mod scripts;

pub use causes::vanished;
pub use lives::Lives;
pub use news::{Launcher, News, NewsSender, Order, Orders};
pub use plan::{EngineKey, Place, Plan, Starter};
pub use record::{Record, RecordFile, VERSION};
pub use rehearsal::rehearse;
