//! Our own SSH client: connections made when first needed, streams and commands inside them, and an error for each cause.
//!
//! A caller makes an [`SshClient`] and asks it for streams ([`SshClient::dial`]) and commands ([`SshClient::exec`]). Behind
//! it a pool makes connections; each verifies the server's key, authenticates, and carries channels. Every channel has a
//! task of its own that always takes what arrives, so that one slow reader never holds up the rest.

mod client;
mod error;
mod error_remedy;
mod link;
mod options;
mod words;

mod config_file;
mod config_line;
mod destination;
mod pattern;
mod target;

mod agent;
mod auth;
mod auth_plan;
mod identity;
mod known_hosts;
mod known_hosts_line;
mod known_hosts_revoked;

mod connection;
mod cool_down;
mod handler;
mod pool;
mod preamble;
mod sessions;
mod settings;
mod tcp;

mod channel;
mod exec;
mod inbox;
mod opening;
mod outlet;
mod pump;
mod spool;
mod stream_error;

pub use channel::ChannelStream;
pub use client::SshClient;
pub use error::SshError;
pub use exec::{Exec, ExecExit, ExecInput, ExecOutput, ExitStatus};
pub use link::Link;
pub use options::{SshHome, SshLimits, SshOptions};
pub use stream_error::StreamError;
