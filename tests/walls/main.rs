//! What ends an engine that nobody asked to end, on the real cluster: Slurm's walltime, an engine that hangs, what Slurm and
//! its operators do to a job. And what does not: a scheduler that says nothing, and requests and orders that cross.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod deaths;
mod hung;
mod made_room;
mod orders;
mod scene;
mod scheduler;
mod slurm;
#[path = "../support/mod.rs"]
mod support;
mod walltime;
