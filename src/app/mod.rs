//! The one composition root: settings in, running tasks out, and the one order in which they end.

mod clients;
mod management;
mod opened;
mod opener;
mod proxy;
mod settings;

pub use opened::{Opened, Told};
pub use opener::{Change, Tell};
pub use proxy::{App, AppError};
pub use settings::{Callers, Describe, InstanceSettings, Instances, Settings};
