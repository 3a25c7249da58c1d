//! What passes over the private socket of a running proxy, and what `--json` prints: types of their own, so that a change
//! within never changes what other programs read.
//!
//! Both ways, a message is one JSON object on a line. A connection carries one [`Request`], and then [`Reply`]s up to the
//! last; after a [`Question`] the client sends [`Answers`] of the
//! same number. A question is closed by the next one: what is answered to it afterwards is passed over.

mod answers;
mod event;
mod log_stream;
mod managed;
mod reply;
mod request;
mod status;
mod wanted;

pub use answers::{Answer, Answers};
pub use event::{AllNow, EventGap, InstanceGone, InstanceState};
pub use log_stream::LogStream;
pub use managed::{ErrorAnswer, ErrorWords, Health, Instance, InstanceList, LogPage};
pub use reply::{Done, Failure, FailureKind, LogLine, Progress, Prompt, Question, Reply};
pub use request::{Ask, Request, VERSION};
pub use status::{Link, Problem, RouteTaken, State, Status};
pub use wanted::{Wanted, WantedProfile};
