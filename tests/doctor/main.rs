//! `llm-proxy doctor`: each fault that it names is provoked, and the remedy that it prints is applied as printed and cures it.
#![expect(clippy::expect_used, clippy::panic, reason = "what fails here fails the test, with the reason")]

mod cluster;
mod list;
mod login_host;
mod loopback;
mod model;
mod new_file;
mod newcomer;
mod patient;
mod remedies;
mod routes;
mod site;
mod wizard;

#[path = "../routes/fence.rs"]
mod fence;
#[path = "../support/hub.rs"]
mod hub;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "../routes/scene.rs"]
mod scene;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "../support/sshd.rs"]
mod sshd;
#[path = "../support/mod.rs"]
mod support;
