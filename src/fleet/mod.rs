//! All instances together, the folders in which their state is kept, and what earlier processes left there.

mod asker;
mod candidates;
mod engine_log;
mod events;
mod folder;
mod group;
pub mod left_behind;
mod orphan;
mod places;
mod ports;
mod replicas;
mod roster;
pub mod scheduler;
mod seat;
mod tend;

pub use asker::job_name;
pub use candidates::Candidates;
pub use engine_log::{engine_log, open_engine_log};
pub use events::{EventId, Events, Reader, Told, What};
pub use folder::{FolderError, NotOurs, StateFolder};
pub use group::{Group, Replica};
pub use orphan::{Orphan, OrphanError};
pub use places::Places;
pub use replicas::{Bounds, By, Demand, Look, Seen, Standing, Step, nearness, order, scale};
pub use roster::{Fleet, Member, Roster};
pub use seat::{NoPlace, Seat};
pub use tend::tend;
