//! The one composition root: settings in, running tasks out, and the one order in which they end.

mod clients;
mod opened;
mod proxy;
mod settings;

pub use opened::{ENGINE_LOG, Opened, Told};
pub use proxy::{App, AppError, Change};
pub use settings::{InstanceSettings, Instances, Settings};
