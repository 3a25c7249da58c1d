//! All instances together: for now one, and the folder in which its state is kept.

mod folder;

pub use folder::{FolderError, NotOurs, StateFolder};
