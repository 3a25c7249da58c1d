//! All instances together: for now one, the folder in which its state is kept, and what earlier processes left there.

mod engine_log;
mod folder;
pub mod left_behind;
mod orphan;

pub use engine_log::{engine_log, open_engine_log};
pub use folder::{FolderError, NotOurs, StateFolder};
pub use orphan::{Orphan, OrphanError};
