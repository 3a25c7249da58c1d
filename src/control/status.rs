//! Where an instance stands, put into words for programs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use tokio::time::Instant;

use super::Desk;
use crate::api::{Link, Problem, RouteTaken, State, Status};
use crate::backend::Diagnosis;
use crate::id::{InstanceName, JobId};
use crate::instance::{Phase, Snapshot};
use crate::launch::{self, LinkState, Record};
use crate::route::Taken;
use crate::ssh;

/// Where a running instance stands.
#[must_use]
pub fn status(desk: &Desk, seen: &Snapshot) -> Status {
    let expected_start =
        if let Phase::Queued { expected_start, .. } = &seen.phase { expected_start.clone() } else { None };
    let alive = !seen.phase.is_down();
    Status {
        name: desk.handle.name().to_string(),
        models: desk.reach.borrow().models.clone(),
        state: seen.phase.state(),
        phase: Some(seen.phase.word().to_owned()),
        since: Some(time(seen.since)),
        pid: Some(std::process::id()),
        url: Some(format!("http://{}", desk.address)),
        host: desk.reach.borrow().host.clone(),
        job: seen.job.filter(|_| alive).map(|JobId(job)| job),
        node: seen.node.clone().filter(|_| alive),
        gpus: seen.gpus.iter().map(|gpu| gpu.0).collect(),
        reason: seen.reason(),
        expected_start,
        loading: seen.loading.as_ref().map(ToString::to_string),
        route: seen.route.as_ref().map(route),
        waiting: seen.waiting,
        in_flight: seen.in_flight,
        idle_stop: seen.idle_stop.map(time),
        walltime_end: seen.walltime_end.filter(|_| alive).map(time),
        lease_end: seen.lease_end.filter(|_| alive).map(time),
        link: link(desk, seen),
        problem: seen.phase.problem().map(problem),
        left: seen.left.clone(),
    }
}

/// Where an instance stands that no proxy looks after, and the life that one left behind.
pub(super) fn not_running(name: &InstanceName, left_behind: Option<&Record>) -> Status {
    Status {
        host: left_behind.and_then(Record::host).map(str::to_owned),
        job: left_behind.and_then(|record| record.job).map(|JobId(job)| job),
        node: left_behind.and_then(|record| record.node.clone()),
        ..Status::only(name.to_string(), State::NotRunning)
    }
}

fn route(taken: &Taken) -> RouteTaken {
    let passed_over = taken.passed_over.iter().map(ToString::to_string).collect();
    RouteTaken { taken: taken.route.to_string(), passed_over }
}

fn problem(diagnosis: &Diagnosis) -> Problem {
    Problem { code: diagnosis.code.to_owned(), what: diagnosis.summary.clone(), hint: diagnosis.remedy.clone() }
}

/// What the life says of its link counts first: it is newer than what the client last heard.
fn link(desk: &Desk, seen: &Snapshot) -> Option<Link> {
    let client = desk.reach.borrow().client.clone()?;
    let plain = |state: &str, what| Link { state: state.to_owned(), since: None, what, hint: None, run: None };
    let asks = |why: &Diagnosis| Link {
        hint: Some(why.remedy.clone()),
        run: Some(format!("llm-proxy login {}", desk.handle.name())),
        ..plain("needs-login", Some(why.summary.clone()))
    };
    Some(match &seen.link {
        LinkState::Reconnecting { since } => Link { since: Some(time(*since)), ..plain(seen.link.word(), None) },
        LinkState::NeedsLogin { since, why } => Link { since: Some(time(*since)), ..asks(why) },
        LinkState::Connected => match &*client.link().borrow() {
            ssh::Link::Connected => plain("connected", None),
            ssh::Link::Disconnected { cause: Some(error), since } if error.needs_person() => {
                let why = launch::login_required(desk.handle.name(), error, error.remedy().as_deref());
                Link { since: Some(time(*since)), ..asks(&why) }
            }
            ssh::Link::Disconnected { cause, since } => match (seen.login_needed(), cause) {
                (Some(why), _) => asks(why),
                (None, Some(error)) => {
                    Link { since: Some(time(*since)), ..plain("disconnected", Some(error.to_string())) }
                }
                (None, None) => plain("idle", None),
            },
        },
    })
}

/// A moment by the wall's clock, to the second.
fn time(at: Instant) -> String {
    let now = Instant::now();
    let signed = |length: Duration| SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    let wall = if at > now {
        Timestamp::now().saturating_add(signed(at - now))
    } else {
        Timestamp::now().saturating_sub(signed(now - at))
    };
    let second = TimestampRound::new().smallest(Unit::Second);
    wall.and_then(|wall| wall.round(second)).map(|wall| wall.to_string()).unwrap_or_default()
}
