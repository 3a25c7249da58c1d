//! Where an instance stands, in a few lines for a person.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use std::time::Duration;

use super::status_line::short;
use crate::api::{Link, RouteTaken, State, Status};
use crate::slurm;

/// Its lines: the first says the most.
pub(super) fn block(status: &Status) -> String {
    let mut lines = vec![format!("{}  {}", status.name, line(status))];
    let where_it_is = [
        status.url.clone(),
        status.host.as_ref().map(|host| format!("on {host}")),
        status.link.as_ref().map(|link| format!("link {}", link_words(link))),
        status.route.as_ref().map(|route| format!("route {}", route.taken)),
        status.pid.map(|pid| format!("process {pid}")),
    ];
    lines.push(where_it_is.into_iter().flatten().collect::<Vec<_>>().join(" · "));
    if let Some(RouteTaken { passed_over, .. }) = &status.route {
        lines.extend(passed_over.iter().map(|passed| format!("in vain: route {passed}")));
    }
    if let (Some(link), Some(end)) = (&status.link, status.lease_end.as_deref().and_then(clock))
        && link.state != "connected"
    {
        lines.push(format!("without this program the engine goes on until {end}, and then ends itself"));
    }
    if status.state == State::NotRunning && (status.job.is_some() || status.node.is_some()) {
        lines.push(
            "hint: `llm-proxy serve` with the same arguments uses it again; `llm-proxy stop --orphans` ends it"
                .to_owned(),
        );
    }
    if let Some(problem) = &status.problem {
        let failed = status.state != State::Bootstrapping;
        lines.push(if failed { format!("the engine failed: {}", problem.what) } else { problem.what.clone() });
        lines.push(format!("hint: {}", problem.hint));
    }
    if let Some(Link { what: Some(what), hint, run: Some(run), .. }) = &status.link {
        // The failure of a start says the same.
        if status.problem.is_none() {
            lines.push(what.clone());
            // Which names the command by itself.
            lines.extend(hint.as_ref().map(|hint| format!("hint: {hint}")));
        }
        lines.push(format!("run: {run}"));
    }
    lines.extend(status.left.iter().map(|left| format!("left behind: {left}")));
    lines.retain(|line| !line.is_empty());
    lines.join("\n  ") + "\n"
}

/// Where it stands, on one line.
pub(super) fn line(status: &Status) -> String {
    let mut parts = vec![match status.state {
        State::NotRunning => "not running".to_owned(),
        State::Stopped | State::Bootstrapping | State::Ready | State::Stopping | State::Failed => {
            let phase = status.phase.as_deref().unwrap_or(status.state.word());
            let reason = status.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let length = status.since.as_deref().and_then(ago).map(|ago| format!(" for {}", short(ago)));
            format!("{phase}{reason}{}", length.unwrap_or_default())
        }
    }];
    parts.extend(status.loading.clone());
    parts.extend(place(status));
    parts.extend(gpus(status));
    let start = status.expected_start.as_deref();
    parts.extend(start.map(|at| format!("start expected {}", slurm::short_start(at, slurm::today()))));
    parts.extend((status.in_flight > 0).then(|| format!("{} in flight", status.in_flight)));
    parts.extend((status.waiting > 0).then(|| format!("{} waiting", status.waiting)));
    parts.extend(status.idle_stop.as_deref().and_then(clock).map(|at| format!("stops at {at} if idle")));
    parts.extend(status.walltime_end.as_deref().and_then(clock).map(|at| format!("walltime ends at {at}")));
    parts.join(" · ")
}

fn place(status: &Status) -> Option<String> {
    let job = status.job.map(|job| format!("job {job}"));
    let left = if status.state == State::NotRunning { " left behind" } else { "" };
    match (job, &status.node) {
        (Some(job), Some(node)) => Some(format!("{job} on {node}{left}")),
        (Some(job), None) => Some(format!("{job}{left}")),
        (None, Some(node)) => Some(format!("engine on {node}{left}")),
        (None, None) => None,
    }
}

fn gpus(status: &Status) -> Option<String> {
    let numbers: Vec<_> = status.gpus.iter().map(ToString::to_string).collect();
    match numbers.as_slice() {
        [] => None,
        [one] => Some(format!("GPU {one}")),
        several => Some(format!("GPUs {}", several.join(", "))),
    }
}

fn link_words(link: &Link) -> String {
    let state = match link.state.as_str() {
        "needs-login" => "needs a login",
        other => other,
    };
    let since = link.since.as_deref().and_then(ago).map(|ago| format!(" for {}", short(ago)));
    format!("{state}{}", since.unwrap_or_default())
}

fn ago(time: &str) -> Option<Duration> {
    let time: Timestamp = time.parse().ok()?;
    Duration::try_from(Timestamp::now().duration_since(time)).ok().or(Some(Duration::ZERO))
}

/// By this machine's clock.
fn clock(time: &str) -> Option<String> {
    let time: Timestamp = time.parse().ok()?;
    let zoned = time.to_zoned(TimeZone::system()).round(Unit::Minute).ok()?;
    Some(zoned.strftime("%H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Problem;

    fn status(state: State, change: impl FnOnce(&mut Status)) -> String {
        let mut status = Status {
            phase: Some(state.word().to_owned()),
            since: Some((Timestamp::now() - jiff::SignedDuration::from_mins(5)).to_string()),
            pid: Some(7),
            url: Some("http://127.0.0.1:8085".to_owned()),
            host: Some("login".to_owned()),
            link: Some(Link { state: "connected".to_owned(), since: None, what: None, hint: None, run: None }),
            ..Status::only("m".to_owned(), state)
        };
        change(&mut status);
        block(&status)
    }

    #[test]
    fn of_one_that_runs() {
        let ready = status(State::Ready, |status| {
            (status.job, status.node, status.in_flight) = (Some(812), Some("node1".to_owned()), 2);
        });
        assert_eq!(
            ready,
            "m  ready for 5 min · job 812 on node1 · 2 in flight\n  \
             http://127.0.0.1:8085 · on login · link connected · process 7\n"
        );
        let here = status(State::Ready, |status| status.gpus = vec![0, 1]);
        assert_eq!(here.lines().next(), Some("m  ready for 5 min · GPUs 0, 1"));
        let queued = status(State::Bootstrapping, |status| {
            (status.phase, status.reason) = (Some("queued".to_owned()), Some("Priority".to_owned()));
            (status.job, status.waiting) = (Some(812), 1);
        });
        assert_eq!(queued.lines().next(), Some("m  queued (Priority) for 5 min · job 812 · 1 waiting"));
    }

    #[test]
    fn of_one_that_needs_a_person() {
        let text = status(State::Ready, |status| {
            let what = Some("login asks for a code".to_owned());
            let run = Some("llm-proxy login m".to_owned());
            let hint = Some("compare the fingerprint; then run `llm-proxy login m`".to_owned());
            status.link = Some(Link { state: "needs-login".to_owned(), since: status.since.clone(), what, hint, run });
        });
        assert_eq!(
            text,
            "m  ready for 5 min\n  http://127.0.0.1:8085 · on login · link needs a login for 5 min · process 7\n  \
             login asks for a code\n  hint: compare the fingerprint; then run `llm-proxy login m`\n  run: llm-proxy login m\n"
        );
    }

    #[test]
    fn of_one_that_failed_and_of_one_that_does_not_run() {
        let failed = status(State::Failed, |status| {
            let (what, hint) = ("no memory".to_owned(), "ask for more".to_owned());
            status.problem = Some(Problem { code: "oom".to_owned(), what, hint });
        });
        assert!(failed.ends_with("\n  the engine failed: no memory\n  hint: ask for more\n"), "{failed}");
        let gone = status(State::NotRunning, |status| {
            (status.pid, status.url, status.host, status.link, status.job) = (None, None, None, None, Some(8));
        });
        let hint = "hint: `llm-proxy serve` with the same arguments uses it again; `llm-proxy stop --orphans` ends it";
        assert_eq!(gone, format!("m  not running · job 8 left behind\n  {hint}\n"));
        let away = status(State::Ready, |status| {
            status.lease_end = Some("2026-01-01T12:00:00Z".to_owned());
            if let Some(link) = &mut status.link {
                link.state = "reconnecting".to_owned();
            }
        });
        assert!(away.contains("\n  without this program the engine goes on until "), "{away}");
    }
}
