//! The HTTP front: admits requests, wakes the engine for those that need it, and carries them there and back.

mod asleep;
mod auth;
mod body;
mod budget;
mod client_io;
mod connection;
mod cors;
mod descriptors;
mod dialect;
mod error;
mod forward;
mod frames;
mod headers;
mod health;
mod idle;
mod intake;
mod lifetime;
mod replay;
mod request_id;
mod router;
mod routes;
mod scan;
mod server;
mod settings;
mod table;
mod unframed;
mod upgrade;
mod upload;

pub use body::ResponseBody;
pub use intake::IntakeLimits;
pub use lifetime::Lifetime;
pub use router::Gateway;
pub use scan::{Found, Scanner};
pub use server::serve;
pub use settings::{Settings, WakeOn};
