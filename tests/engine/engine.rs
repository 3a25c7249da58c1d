//! A small engine for the tests: OpenAI-compatible, and able to do what a good engine will not do on demand.

mod app;
mod args;
mod dialects;
mod life;
mod listener;
mod metrics;
mod openai;
mod probe;
mod profile;
mod query;
mod relay;
mod report;
mod server;
mod tracked;
mod websocket;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Mode};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.mode {
        Some(Mode::Linger { ignore_term }) => life::linger(ignore_term).await,
        Some(Mode::Relay(relay)) => relay::run(&relay).await,
        None => life::run(args.engine).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            report::say(&format!("test-engine: {error}"));
            ExitCode::FAILURE
        }
    }
}
