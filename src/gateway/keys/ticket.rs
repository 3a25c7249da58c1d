//! Who was let in, for as long as the request is under way.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::reach::Kind;
use super::ring::Entry;
use crate::fleet::Roster;
use crate::gateway::body::ResponseBody;
use crate::gateway::error::Fault;
use crate::instance::{Party, Permit};

/// One request's part of what its key is good for; given back with its last clone. It travels in the request's extensions,
/// as the connection does that it may be upgraded to.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Ticket(Arc<Counted>);

#[derive(Debug)]
struct Counted(Arc<Entry>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.usage.leave();
    }
}

/// Why a key that is good is not good for this.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum NotWithKey {
    /// It is for something else.
    #[error("the access key `{key}` is for {purpose}, and this request is {asked}; use a key for {asked}")]
    Purpose { key: String, purpose: &'static str, asked: &'static str },
    /// It is for other models.
    #[error("the access key `{key}` is not for the model `{model}`; it is for {known}")]
    Model { key: String, model: String, known: String },
}

/// A limit of a key was met.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum KeyLimit {
    /// Too many at once.
    #[error(
        "the access key `{key}` has {limit} requests in flight, as many as it may (requests_in_flight); try again when one of them has ended"
    )]
    InFlight { key: String, limit: usize },
    /// Too many of late.
    #[error("the access key `{key}` has used up its {limit} requests per minute (requests_per_minute); try again in {} s", seconds(*.retry_after))]
    PerMinute { key: String, limit: u32, retry_after: std::time::Duration },
}

/// Rounded up: who came a moment too early would be refused again.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Ticket {
    /// Counts a request of this kind that shows this key.
    pub(in crate::gateway) fn new(entry: &Arc<Entry>, kind: Kind) -> Result<Self, Fault> {
        let Some(key) = &entry.key else {
            entry.usage.enter(None);
            return Ok(Self(Arc::new(Counted(Arc::clone(entry)))));
        };
        if !kind.is_for(entry.purpose()) {
            return Err(Fault::NotWithKey(NotWithKey::Purpose {
                key: key.name.clone(),
                purpose: entry.purpose().word(),
                asked: kind.words(),
            }));
        }
        if !entry.usage.enter(key.requests_in_flight) {
            let limit = key.requests_in_flight.map_or(usize::MAX, std::num::NonZeroUsize::get);
            return Err(Fault::KeyLimit(KeyLimit::InFlight { key: key.name.clone(), limit }));
        }
        // From here on it is given back, whatever follows.
        let ticket = Self(Arc::new(Counted(Arc::clone(entry))));
        if let Some(limit) = key.requests_per_minute {
            entry.usage.take(limit, Instant::now()).map_err(|retry_after| {
                Fault::KeyLimit(KeyLimit::PerMinute { key: key.name.clone(), limit: limit.get(), retry_after })
            })?;
        }
        Ok(ticket)
    }

    /// Counts it until the whole of this answer of ours is sent: some of them follow what happens.
    pub(in crate::gateway) fn hold_for(self, answer: Response<ResponseBody>) -> Response<ResponseBody> {
        answer.map(|body| {
            ResponseBody::new(body.map_frame(move |frame| {
                let _held = &self;
                frame
            }))
        })
    }

    /// What of `roster` may be used; nothing where that is all of it.
    pub(in crate::gateway) fn view(&self, roster: &Roster) -> Option<Roster> {
        self.0.0.view(roster)
    }

    /// The fault of who asked `whole` for what only he may not use, of which he sees `view`.
    pub(in crate::gateway) fn explain(&self, fault: Fault, whole: &Roster, view: &Roster) -> Fault {
        let model = match &fault {
            Fault::NoSuchModel { model, .. } if whole.sole().is_some() || whole.of_model(model).is_some() => model,
            Fault::NoSuchInstance { name } if whole.named(name).is_some() => name,
            Fault::NoModel { .. } if whole.sole().is_some() => &whole.model_names().join(", "),
            _ => return fault,
        };
        let Some(key) = &self.0.0.key else { return fault };
        let known = match view.model_names() {
            names if names.is_empty() => "none that is served".to_owned(),
            names => names.join(", "),
        };
        Fault::NotWithKey(NotWithKey::Model { key: key.name.clone(), model: model.clone(), known })
    }
}

/// Whose turn a request takes.
pub(in crate::gateway) fn party(head: &Parts) -> Party {
    head.extensions.get::<Ticket>().map(|ticket| ticket.0.0.party).unwrap_or_default()
}

/// What an answer that is under way holds, and gives back at its end.
#[derive(Debug)]
pub(in crate::gateway) struct Stay {
    /// The engine.
    pub(in crate::gateway) _permit: Permit,
    /// The key; none where nobody is asked for one.
    pub(in crate::gateway) _ticket: Option<Ticket>,
}
