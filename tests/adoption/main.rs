//! A proxy that was killed finds its engine again, and what nobody goes on with is ended when that is asked for.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod orphans;
mod records;
