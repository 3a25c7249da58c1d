//! All instances together, the folders in which their state is kept, and what earlier processes left there.

mod folder;
pub mod left_behind;
mod orphan;
mod roster;

pub use folder::{FolderError, NotOurs, StateFolder};
pub use orphan::{Orphan, OrphanError};
pub use roster::{Fleet, Member, Roster};
