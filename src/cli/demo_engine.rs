//! `demo-engine`: the demonstration's engine, as its job runs it. It is not in the help.

use std::process::ExitCode;

use tokio::runtime::Builder;

use super::announce::say;
use super::{DemoEngineArgs, Report};
use crate::backend::Backend;
use crate::demo::{Engine, EngineArgs, loading_lines};
use crate::secret::Key;

/// Runs until it is ended by a signal.
pub(super) fn run(args: &DemoEngineArgs) -> Result<ExitCode, Report> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Report::failure(format!("the program's threads cannot be started: {error}")))?;
    runtime.block_on(serve(args))
}

#[expect(clippy::print_stderr, reason = "an engine's log")]
async fn serve(args: &DemoEngineArgs) -> Result<ExitCode, Report> {
    for (pause, line) in loading_lines() {
        tokio::time::sleep(pause).await;
        eprintln!("{line}");
    }
    let key = Backend::Custom.key_variables().iter().find_map(|name| std::env::var(name).ok()).map(Key::new);
    let args = EngineArgs { host: args.host, port: args.port, key };
    let engine = Engine::listen(args).await.map_err(|error| Report::failure(format!("it cannot listen: {error}")))?;
    let Err(error) = engine.run().await;
    say(&format!("no connection can be accepted any more: {error}"));
    Ok(ExitCode::FAILURE)
}
