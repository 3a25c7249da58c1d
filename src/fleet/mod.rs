//! All instances together, the folders in which their state is kept, and what earlier processes left there.

mod asker;
mod engine_log;
mod events;
mod folder;
pub mod left_behind;
mod orphan;
mod places;
mod ports;
mod roster;
pub mod scheduler;
mod seat;

pub use asker::job_name;
pub use engine_log::{engine_log, open_engine_log};
pub use events::{EventId, Events, Reader, Told, What};
pub use folder::{FolderError, NotOurs, StateFolder};
pub use orphan::{Orphan, OrphanError};
pub use places::Places;
pub use roster::{Fleet, Member, Roster};
pub use seat::{NoPlace, Seat};
