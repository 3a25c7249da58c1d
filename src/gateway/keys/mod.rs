//! The keys that clients show: what each opens, and how much of it at a time.

mod access_key;
mod reach;
mod ring;
mod ticket;
mod usage;

pub use access_key::{AccessKey, AccessKeyError};
pub(super) use reach::Kind;
pub(super) use ring::{Entry, KeyRing};
pub(super) use ticket::{KeyLimit, NotWithKey, Stay, Ticket, party};
