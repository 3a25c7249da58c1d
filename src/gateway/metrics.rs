//! `GET /metrics`: ours, and those of each engine that is ready. No engine is woken for them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::body::{ResponseBody, full};
use super::exposition::Exposition;
use crate::fleet::{Member, Roster};
use crate::instance::{Hold, Phase, Snapshot};

/// How long an engine may take to tell its metrics: Prometheus itself waits for all of them no longer than 10 s.
const SCRAPE_LIMIT: Duration = Duration::from_secs(2);
/// Where engines tell them.
const PATH: &str = "/metrics";

/// What was seen of an instance.
struct Seen<'a> {
    /// Nothing where there is but one.
    name: Option<&'a str>,
    now: Snapshot,
    told: Told,
}

/// What an engine made of the question.
enum Told {
    /// Nobody asked it: it is not ready.
    Unasked,
    /// It did not answer in time.
    Silent,
    /// What it tells, which is nothing where it has no metrics.
    Text(String),
}

/// The metrics of all. With one command there are no labels of ours, and its engine's lines stay as they are.
pub(super) async fn answer(roster: &Roster) -> Response<ResponseBody> {
    let is_sole = roster.sole().is_some();
    let all = join_all(roster.members().map(|member| look(member, is_sole))).await;
    let mut told = Exposition::default();
    ours(&mut told, &all);
    let mut left_out = Vec::new();
    for seen in &all {
        if let Told::Text(text) = &seen.told {
            left_out.push((seen.name, told.add(text, seen.name)));
        }
    }
    let help = "Lines of the engine's metrics that are no metrics, or contradict another engine's.";
    told.gauge("llm_proxy_engine_lines_left_out", help, left_out.into_iter());
    let mut response = Response::new(full(told.text()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

async fn look(member: &Arc<Member>, is_sole: bool) -> Seen<'_> {
    let now = member.handle.snapshot();
    let permit = if now.phase == Phase::Ready { member.handle.try_acquire(Hold::Helper).await } else { None };
    let told = match permit {
        None => Told::Unasked,
        Some(permit) => match permit.upstream().probe(PATH, SCRAPE_LIMIT).await {
            Ok((StatusCode::OK, body)) => Told::Text(String::from_utf8_lossy(&body).into_owned()),
            Ok(_) => Told::Text(String::new()),
            Err(error) => {
                tracing::debug!(name = %member.name(), %error, "an engine does not tell its metrics");
                Told::Silent
            }
        },
    };
    Seen { name: (!is_sole).then(|| member.name().as_str()), now, told }
}

fn ours(told: &mut Exposition, all: &[Seen<'_>]) {
    let mut gauge = |name, help, value: fn(&Seen<'_>) -> Option<u64>| {
        told.gauge(name, help, all.iter().filter_map(|seen| Some((seen.name, value(seen)?))));
    };
    gauge("llm_proxy_engine_ready", "Whether the engine answers.", |seen| {
        Some(u64::from(seen.now.phase == Phase::Ready))
    });
    gauge("llm_proxy_engine_up", "Whether the engine, asked for its own metrics, answered.", |seen| match seen.told {
        Told::Unasked => None,
        Told::Silent => Some(0),
        Told::Text(_) => Some(1),
    });
    gauge("llm_proxy_requests_in_flight", "Requests that hold the engine.", |seen| Some(seen.now.in_flight as u64));
    gauge("llm_proxy_requests_waiting", "Requests that wait for the engine.", |seen| Some(seen.now.waiting as u64));
}
