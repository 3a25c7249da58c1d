//! A connection's whole life against real OpenSSH servers: how it begins, what it carries, how it ends, and the ways there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

mod beginning;
mod capacity;
mod command;
mod ending;
mod jump;
mod network;
mod relay;

#[expect(dead_code, clippy::expect_used, reason = "each test file uses its own part")]
#[path = "../support/asking_host.rs"]
mod asking_host;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "../support/far_end.rs"]
mod far_end;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "../support/sshd.rs"]
mod sshd;
