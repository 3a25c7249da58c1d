//! The real program before the engine in the test's hands: what it starts as its engine is a relay to that one.

use std::ffi::OsString;

use crate::support::{Proxy, engine_path};
use crate::talk::{Engine, Talk};

/// Starts it, after these words if there are any, and waits until its engine has answered.
pub(crate) async fn program(under: &[OsString]) -> (Proxy, Talk) {
    let engine = Engine::start().await;
    let relay = ["relay", "--listen", "{host}:{port}", "--to", &engine.address.to_string()].map(OsString::from);
    let command = std::iter::once(engine_path().into()).chain(relay);
    let proxy = Proxy::builder().under(under).command(command).start().await;
    let talk = Talk::start(proxy.address(), engine).await;
    (proxy, talk)
}
