//! Whether the server is the one that it says it is, against a real OpenSSH server, and beside the verdict of the real `ssh`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop where it finds a fault")]

mod certificates;
mod judging;
mod learning;
mod on_the_way;
mod reading;
mod remedies;
mod support;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "../support/sshd.rs"]
mod sshd;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "../support/asking_host.rs"]
mod asking_host;
