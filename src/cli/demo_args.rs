//! The arguments of `demo`, and of the engine that it starts, as they are typed.

use std::net::IpAddr;

use clap::Args;

/// The arguments of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Listen on this port; 0 takes a free one [default: 8085, or a free one where that is taken]
    #[arg(long)]
    pub port: Option<u16>,

    /// End after the one answer
    #[arg(long)]
    pub once: bool,

    /// Show the engine's own log; twice: what this program decides
    #[arg(long, short, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The arguments of the demonstration's engine.
#[derive(Args, Debug)]
pub struct DemoEngineArgs {
    /// Bind this address
    #[arg(long)]
    pub host: IpAddr,

    /// Listen on this port
    #[arg(long)]
    pub port: u16,
}
