//! What a request and a token cost, in counts that do not depend on the machine: allocations, system calls,
//! instructions. Each has a limit a little above what was measured, so that a regression fails.
//!
//! All of them are differences: a stretch of work, and one twice as long, so that what they have in common drops out. An
//! engine in the test's hands says the next token only once the client has read the last one, so that no two of them ever
//! share a read or a write, however busy the machine is.
//!
//! `allocations.rs` counts in a gateway on a thread of its own; `system_calls.rs` and `instructions.rs` in the real
//! program, with `strace` and `valgrind`.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod allocations;
#[expect(dead_code, reason = "the tests of the gateway need more of it")]
#[path = "../gateway/support.rs"]
mod gateway;
mod instructions;
mod limit;
mod program;
#[path = "../support/mod.rs"]
mod support;
mod system_calls;
mod talk;
