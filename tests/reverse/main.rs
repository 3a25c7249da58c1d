//! The tunnel that a job makes, on a real cluster: to somebody's sshd and to our own server, with what goes wrong and the
//! lines that mend it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod carried;
mod faults;
mod own;
mod scene;
mod sshd;
mod taken_over;
