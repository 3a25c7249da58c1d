//! The real vLLM the whole way: on the CPU, as a Slurm job, over SSH. And `transformers serve`, a third kind of engine.
//!
//! Each start takes it half a minute or more, so these tests are a step of their own: `scripts/test --engines`.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "what users are told is shown")]

mod api;
mod arguments;
mod deaths;
mod others;
mod pooling;
mod profile;
mod scene;
mod socket;
mod stops;
#[path = "../support/mod.rs"]
mod support;
