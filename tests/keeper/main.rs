//! The keeper, the runner and the sweep, in the shells that a cluster may have, with engines that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![expect(clippy::panic, reason = "a test fails by it")]

mod account;
mod download;
mod lease;
mod listening;
mod race;
mod runner;
mod scripts;
mod secrets;
mod socket;
mod stopping;
mod streams;
mod submit;
mod support;

#[expect(clippy::expect_used, reason = "what cannot be set up fails the test")]
#[path = "../support/hub.rs"]
mod hub;
