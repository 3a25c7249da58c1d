//! Every way in that a site may ask for, with real OpenSSH on a real cluster, the whole way: a request through `serve`
//! to an engine on a compute node and back. What is asked of `llm-proxy` is asked of the real `ssh` first, in the same
//! words.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod keys;
mod limits;
mod person;
mod questions;
mod ssh;
mod way;
