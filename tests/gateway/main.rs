//! The gateway between real clients and engines of the test's own.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod asleep;
mod auth;
mod connections;
mod events;
mod heads;
mod lifetime;
mod metrics;
mod models;
mod pages;
mod retry;
mod signs;
mod streams;
mod support;
mod uploads;
mod upstream;
mod waiting;
mod websocket;
