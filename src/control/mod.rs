//! The private socket of a running proxy, and who talks to it: the other verbs, run by the same user.
//!
//! The socket lies in the instance's state folder, which its owner alone may enter; each side also asks the system who the
//! other one is. What passes over it is [`crate::api`].

mod peer;
mod socket;
mod talk;

mod desk;
mod login;
mod moves;
mod profile;
mod question;
mod server;
mod status;

mod client;
mod known;

pub use client::{Client, ClientError};
pub use desk::{Desk, End, Reach};
pub use known::{Known, known};
pub use login::failure;
pub use peer::PeerError;
pub use question::form;
pub use server::serve;
pub use socket::ControlSocket;
pub use status::status;
pub use talk::TalkError;
