//! Configuration files: what they may say, what is wrong with them, and that they are run.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bad;
mod examples;
mod file;
mod judge;
mod keys;
mod layers;
mod replicas;
mod robust;
mod served;
mod shown;
