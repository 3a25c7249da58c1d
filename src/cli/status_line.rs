//! Where an instance stands, in one line for a terminal.

use std::time::Duration;

use jiff::civil::Date;
use tokio::time::Instant;

use crate::id::InstanceName;
use crate::instance::{PAUSED, Phase, Snapshot};
use crate::launch::LinkState;
use crate::slurm;

/// The line, of at most `width` characters: what matters less stands further back, and goes first where there is no room.
pub(super) fn line(name: &InstanceName, snapshot: &Snapshot, now: Instant, today: Date, width: usize) -> String {
    let mut parts = Vec::new();
    match &snapshot.link {
        LinkState::Connected | LinkState::NeedsLogin { .. } => {}
        LinkState::Reconnecting { since } => {
            parts.push(format!("reconnecting to the host for {} …", short(now.saturating_duration_since(*since))));
        }
    }
    if snapshot.login_needed().is_some() {
        parts.push(format!("the host asks for a login: `llm-proxy login {name}`"));
    }
    if snapshot.paused {
        parts.push(PAUSED.to_owned());
    }
    let took = now.saturating_duration_since(snapshot.since);
    match &snapshot.phase {
        Phase::Stopped => parts.push("asleep · the next request starts the engine".to_owned()),
        Phase::Recovering => parts.extend(["looking for the engine of an earlier run".to_owned(), short(took)]),
        Phase::Submitting => parts.extend(["asking for the engine".to_owned(), short(took)]),
        Phase::Queued { reason, expected_start } => {
            parts.push(queued(snapshot, reason.as_deref(), expected_start.as_deref(), took, today));
        }
        Phase::Starting => parts.extend([starting(snapshot), short(took)]),
        Phase::Ready => parts.extend(ready(snapshot, now)),
        Phase::Unreachable(_) => parts.push(format!("no way to the engine for {} · one is looked for", short(took))),
        Phase::Draining => parts.extend([format!("finishing {} in flight", snapshot.in_flight), short(took)]),
        Phase::Stopping(_) => parts.extend(["ending the engine".to_owned(), short(took)]),
        Phase::Failed(_) => parts.push("failed · a later request starts the engine afresh".to_owned()),
    }
    match snapshot.waiting {
        0 => {}
        1 => parts.push("1 request waits".to_owned()),
        many => parts.push(format!("{many} requests wait")),
    }
    fitted(&parts, width)
}

fn queued(
    snapshot: &Snapshot,
    reason: Option<&str>,
    expected_start: Option<&str>,
    took: Duration,
    today: Date,
) -> String {
    let job = snapshot.job.map(|job| format!("job {job} ")).unwrap_or_default();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let start = expected_start.map(|at| format!(", start expected {}", slurm::short_start(at, today)));
    format!("{job}queued{reason} for {}{}", short(took), start.unwrap_or_default())
}

fn starting(snapshot: &Snapshot) -> String {
    let what = snapshot.job.map_or_else(|| "the engine".to_owned(), |job| format!("job {job}"));
    let node = snapshot.node.as_deref().map(|node| format!(" on {node}")).unwrap_or_default();
    let loading = snapshot.loading.as_ref().map_or_else(|| "starting".to_owned(), ToString::to_string);
    format!("{what}{node}: {loading}")
}

fn ready(snapshot: &Snapshot, now: Instant) -> Vec<String> {
    if snapshot.in_flight > 0 {
        return vec!["ready".to_owned(), format!("{} in flight", snapshot.in_flight)];
    }
    let stop = snapshot.idle_stop.map(|at| format!("stops in {}", left(at.saturating_duration_since(now))));
    ["ready, idle".to_owned()].into_iter().chain(stop).collect()
}

/// What is left of a time, rounded up: thirty minutes begin as `30 min`; the last minute is counted in seconds.
fn left(length: Duration) -> String {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    short(Duration::from_secs(if seconds > 60 { seconds.next_multiple_of(60) } else { seconds }))
}

/// `95 s`, `12 min`, `3 h 5 min`: nobody who waits for hours counts seconds.
pub(super) fn short(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// As many parts as there is room for; the first is cut rather than left out. Much of it is foreign text.
fn fitted(parts: &[String], width: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let part = part.replace(char::is_control, " ");
        let joined = if line.is_empty() { part } else { format!("{line} · {part}") };
        if joined.chars().count() > width {
            return if line.is_empty() { cut(&joined, width) } else { line };
        }
        line = joined;
    }
    line
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use jiff::civil::date;
    use test_case::test_case;

    use super::*;
    use crate::backend::Loading;
    use crate::id::JobId;

    fn name() -> InstanceName {
        InstanceName::from_text("m").unwrap()
    }

    /// A snapshot of a phase that has lasted `seconds`.
    fn seen(phase: Phase, seconds: u64, change: impl FnOnce(&mut Snapshot, Instant)) -> String {
        let since = Instant::now();
        let now = since + Duration::from_secs(seconds);
        let mut snapshot = Snapshot { phase, since, job: Some(JobId(812)), ..Snapshot::default() };
        change(&mut snapshot, now);
        line(&name(), &snapshot, now, date(2026, 11, 21), 200)
    }

    fn queue(start: &str) -> Phase {
        let expected_start = (!start.is_empty()).then(|| start.to_owned());
        Phase::Queued { reason: Some("Priority".to_owned()), expected_start }
    }

    #[test_case("", 7, 0, "job 812 queued (Priority) for 7 s"; "just now")]
    #[test_case("2026-11-21T14:05:00", 200, 2, "job 812 queued (Priority) for 3 min, start expected 14:05 · 2 requests wait"; "today")]
    #[test_case("2026-11-23T14:05:00", 11_100, 1, "job 812 queued (Priority) for 3 h 5 min, start expected 23 Nov 14:05 · 1 request waits"; "another day")]
    fn of_a_queued_job(start: &str, seconds: u64, waiting: usize, expected: &str) {
        assert_eq!(seen(queue(start), seconds, |snapshot, _| snapshot.waiting = waiting), expected);
    }

    #[test_case(None, "job 812 on node1: starting · 48 s · 2 requests wait")]
    #[test_case(Some(Loading { step: "loading weights", percent: Some(42), bytes: None }), "job 812 on node1: loading weights 42 % · 48 s · 2 requests wait")]
    fn of_a_starting_engine(loading: Option<Loading>, expected: &str) {
        let change = |snapshot: &mut Snapshot, _| {
            snapshot.node = Some("node1".to_owned());
            (snapshot.loading, snapshot.waiting) = (loading, 2);
        };
        assert_eq!(seen(Phase::Starting, 48, change), expected);
    }

    #[test]
    fn of_an_engine_that_answers() {
        assert_eq!(seen(Phase::Ready, 9, |snapshot, _| snapshot.in_flight = 3), "ready · 3 in flight");
        let stop = |snapshot: &mut Snapshot, now| snapshot.idle_stop = Some(now + Duration::from_mins(12));
        assert_eq!(seen(Phase::Ready, 9, stop), "ready, idle · stops in 12 min");
        assert_eq!(seen(Phase::Ready, 9, |_, _| ()), "ready, idle");
        let paused = |snapshot: &mut Snapshot, _| (snapshot.paused, snapshot.in_flight) = (true, 1);
        assert_eq!(seen(Phase::Ready, 9, paused), "paused by Slurm · ready · 1 in flight");
    }

    #[test]
    fn of_the_rest() {
        assert_eq!(seen(Phase::Stopped, 9, |_, _| ()), "asleep · the next request starts the engine");
        assert_eq!(seen(Phase::Draining, 9, |snapshot, _| snapshot.in_flight = 1), "finishing 1 in flight · 9 s");
        assert_eq!(seen(Phase::Stopping(None), 9, |_, _| ()), "ending the engine · 9 s");
        let lost =
            seen(Phase::Ready, 9, |snapshot, _| snapshot.link = LinkState::Reconnecting { since: snapshot.since });
        assert_eq!(lost, "reconnecting to the host for 9 s … · ready, idle");
        let needed = |since| LinkState::NeedsLogin {
            since,
            why: crate::launch::login_required(&name(), &"a code is asked for", None),
        };
        let asks = seen(Phase::Ready, 9, |snapshot, _| snapshot.link = needed(snapshot.since));
        assert_eq!(asks, "the host asks for a login: `llm-proxy login m` · ready, idle");
    }

    #[test]
    fn fits_and_holds_no_control_character() {
        let reason = Some("a\u{1b}[2J\nb".to_owned());
        let snapshot = Snapshot { phase: Phase::Queued { reason, expected_start: None }, ..Snapshot::default() };
        let shown = |width| {
            line(&name(), &Snapshot { waiting: 2, ..snapshot.clone() }, snapshot.since, date(2026, 11, 21), width)
        };
        assert_eq!(shown(80), "queued (a [2J b) for 0 s · 2 requests wait");
        assert_eq!(shown(30), "queued (a [2J b) for 0 s");
        assert_eq!(shown(10), "queued (a…");
        assert!((1..80).all(|width| shown(width).chars().count() <= width));
    }

    #[test_case(1_799_900, "30 min"; "a moment of thirty minutes is gone")]
    #[test_case(61_000, "2 min")]
    #[test_case(60_000, "60 s")]
    #[test_case(59_001, "60 s"; "the last minute")]
    #[test_case(1, "1 s"; "the last moment")]
    fn what_is_left_is_rounded_up(millis: u64, expected: &str) {
        assert_eq!(left(Duration::from_millis(millis)), expected);
    }

    #[test_case(0, "0 s")]
    #[test_case(119, "119 s")]
    #[test_case(120, "2 min")]
    #[test_case(7199, "119 min")]
    #[test_case(7200, "2 h 0 min")]
    fn lengths_are_short(seconds: u64, expected: &str) {
        assert_eq!(short(Duration::from_secs(seconds)), expected);
    }
}
