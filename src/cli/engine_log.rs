//! How the log's lines look: the engine's own are marked as such and bare, ours have a time and a level.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::registry::LookupSpan;

/// The targets of lines that stand for themselves: the engine's own, and the account of its end.
const BARE: [&str; 2] = ["engine", "account"];

/// Formats the engine's lines apart from ours.
#[derive(Debug, Default)]
pub(super) struct Lines(Format<Full>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let target = event.metadata().target();
        if !BARE.contains(&target) {
            return self.0.format_event(context, to, event);
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        writeln!(to, "{target} | {}", message.0)
    }
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
