//! Our own SSH client: connections made when first needed, streams and commands inside them, and an error for each cause.
//!
//! A caller makes an [`SshClient`] and asks it for streams ([`SshClient::dial`]) and commands ([`SshClient::exec`]). Behind
//! it a pool makes connections; each verifies the server's key, authenticates, and carries channels. Every channel has a
//! task of its own that always takes what arrives, so that one slow reader never holds up the rest.

mod changed_server;
mod client;
mod command_fault;
mod entrance;
mod error;
mod error_remedy;
mod link;
mod options;
mod person;
mod survey;
mod unknown_server;
mod words;

pub mod regular_file;

mod auth;
mod config;
mod trust;

mod arrival;
mod attempt;
mod connection;
mod cool_down;
mod handler;
mod handshake;
mod headless;
mod network;
mod pool;
mod preamble;
mod proxy_command;
mod reach;
mod sessions;
mod settings;
mod slot;
mod tcp;
mod transport;
mod within;

mod channel;
mod exec;
mod inbox;
mod opening;
mod outlet;
mod pump;
mod spool;
mod stream_error;

mod server;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub use changed_server::ChangedServer;
pub use channel::{ChannelReader, ChannelStream, ChannelWriter};
pub use client::SshClient;
pub use command_fault::CommandFault;
pub use entrance::Entrance;
pub use error::SshError;
pub use exec::{Exec, ExecExit, ExitStatus};
pub use link::Link;
pub use network::NetworkWatch;
pub use options::{SshHome, SshLimits, SshOptions, Vouched};
pub use person::{Form, Person, Prompt, Question};
pub use server::{FORWARD_USER, ForwardServer, new_key, server_config};
pub use stream_error::StreamError;
pub use survey::{KeyFile, Knock, Survey, agent_keys, greeting};
pub use trust::AcceptedKey;
pub use unknown_server::UnknownServer;
