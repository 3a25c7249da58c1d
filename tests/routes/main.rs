//! The ways to an engine on a real cluster: which one is taken where a site forbids some of them, what each carries, and
//! what is left of each at the end.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bound;
mod carried;
mod changed;
mod fence;
mod remembered;
mod scene;
mod socket;
mod stranger;
mod taken;
