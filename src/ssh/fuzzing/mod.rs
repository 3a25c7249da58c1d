//! What must hold of the files that decide where we connect and whom we trust, whatever stands in them: said once beside
//! each parser, for its property tests and for the fuzz targets in `fuzz/`. Not part of the program.
//!
//! An input is text, so that a person can write and read it: the first line is a destination, and the rest is the file.

mod input;

pub(in crate::ssh) use input::{Files, apart};

pub use super::config::fuzzing::ssh_config;
pub use super::trust::fuzzing::known_hosts;
