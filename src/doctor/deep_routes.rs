//! The ways to the job's small server: which there are, how long a round trip takes on each, and which `auto` takes.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, timeout_at};

use super::{Finding, Level, Subject};
use crate::host::{HostError, HostStream};
use crate::launch::Trial;
use crate::route::{Route, Way, Wish};

const AUTO: &str = "route";

/// How often each is measured.
const ROUNDS: usize = 5;

/// What is said to the server; it says it back.
const HELLO: &[u8] = b"hello\n";

/// No answer of its is longer, in bytes.
const LONGEST_ANSWER: u64 = 256;

/// What was measured of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    /// To an answer on a connection that has to be opened first.
    first: Duration,
    /// To an answer on a connection that is there.
    next: Duration,
}

/// Why a route is none.
struct Broken {
    why: String,
    advice: Option<String>,
}

/// Judges each route that was tried, and says which one `auto` takes.
pub(super) async fn check(
    subject: &Subject,
    word: &str,
    trials: Option<Vec<Trial>>,
    can_listen: bool,
    until: Instant,
) -> Vec<Finding> {
    let Some(trials) = trials else {
        let why = if can_listen {
            "it was not learnt in time which there are"
        } else {
            "there is neither python3 nor perl on the node to listen with, so none was tried"
        };
        return vec![Finding::warn(AUTO, why)];
    };
    let wish = subject.plan.route;
    let (mut findings, mut taken) = (Vec::new(), None);
    for Trial { route, way } in trials {
        let leads = way.is_ok();
        let measured = match way {
            Ok(way) => match timeout_at(until, measure(&way, word)).await {
                Ok(Ok(measured)) => Ok((measured, way.endpoint().to_string())),
                Ok(Err(why)) => Err(Broken { why, advice: None }),
                Err(_) => Err(Broken { why: "it opens, and nothing came through in time".to_owned(), advice: None }),
            },
            Err(error) => Err(Broken { why: error.to_string(), advice: advice(route, &error) }),
        };
        if leads && taken.is_none() {
            taken = Some((route, measured.is_ok()));
        }
        findings.push(match measured {
            Ok((measured, address)) => Finding::ok(name(route), format!("{address} is reached: {}", words(measured))),
            Err(broken) => not_taken(subject, route, broken),
        });
    }
    if wish == Wish::Auto {
        findings.push(auto(subject, taken, &findings));
    }
    findings
}

fn name(route: Route) -> &'static str {
    match route {
        Route::Direct => "direct route",
        Route::Nested => "nested route",
        Route::Reverse => "reverse route",
        Route::Relay => "relay route",
    }
}

fn words(measured: Measured) -> String {
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    format!("a round trip takes {}, the first of a new connection {}", ms(measured.next), ms(measured.first))
}

/// Some connections, with two questions on each; the medians.
async fn measure(way: &Way, word: &str) -> Result<Measured, String> {
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut stream = BufReader::new(way.dial().await.map_err(|error| error.to_string())?);
        ask(&mut stream, word).await?;
        first.push(began.elapsed());
        let began = Instant::now();
        ask(&mut stream, word).await?;
        next.push(began.elapsed());
    }
    Ok(Measured { first: median(first), next: median(next) })
}

/// One question and its answer.
async fn ask(stream: &mut BufReader<HostStream>, word: &str) -> Result<(), String> {
    let mut answer = Vec::new();
    let talk = async {
        stream.write_all(HELLO).await?;
        stream.flush().await?;
        stream.take(LONGEST_ANSWER).read_until(b'\n', &mut answer).await
    };
    talk.await.map_err(|error: std::io::Error| error.to_string())?;
    let right = answer == [word.as_bytes(), b" ", HELLO].concat();
    right.then_some(()).ok_or_else(|| "something else than the job's server answered there".to_owned())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What to do about it, where the error itself does not know.
fn advice(route: Route, error: &HostError) -> Option<String> {
    let usual = match route {
        Route::Direct => "ask your site whether a firewall stands between the login host and the nodes",
        Route::Nested => "ask your site whether you may log in to a node on which you have a job",
        Route::Reverse => return error.remedy(),
        Route::Relay => "ask your site for a python3 that every job finds on its PATH",
    };
    error.remedy().or_else(|| Some(usual.to_owned()))
}

/// A route that is none: a fault if it alone was asked for.
fn not_taken(subject: &Subject, route: Route, Broken { why, advice }: Broken) -> Finding {
    match subject.plan.route {
        Wish::Auto => Finding::warn(name(route), why).maybe_advice(advice),
        Wish::Only(_) => {
            let auto = "or leave --route to auto";
            let advice = advice.map_or_else(|| auto.to_owned(), |advice| format!("{advice}; {auto}"));
            let better = subject.typed.without("--loopback-user").without("--loopback-host").with("--route", "auto");
            Finding::fail(name(route), why).advice(advice).again(&better)
        }
    }
}

/// What was found of the route, for a file: a word of it, not a setting, for another may be the first to work another day.
pub(super) fn noted(subject: &Subject, findings: &[Finding]) -> Option<String> {
    let seen = findings.iter().find(|finding| finding.check == AUTO && finding.level == Level::Ok);
    if let Some(finding) = seen {
        return Some(finding.seen.clone());
    }
    let host = subject.login.as_ref().map(|login| login.destination.as_str())?;
    let last = subject.routes.of(host).filter(|_| subject.plan.route == Wish::Auto)?;
    Some(format!("auto takes {last} first, which worked the last time"))
}

/// Which one `auto` takes: the first that leads there.
fn auto(subject: &Subject, taken: Option<(Route, bool)>, others: &[Finding]) -> Finding {
    let host = subject.login.as_ref().map(|login| login.destination.as_str());
    let last = host.and_then(|host| subject.routes.of(host));
    match taken {
        Some((route, true)) if last == Some(route) => {
            Finding::ok(AUTO, format!("auto takes {route}, as the last time"))
        }
        Some((route, true)) => Finding::ok(AUTO, format!("auto takes {route}")),
        Some((route, false)) => {
            Finding::fail(AUTO, format!("auto would take {route}, which opens and carries nothing"))
                .advice("name another by --route")
        }
        None => Finding::fail(AUTO, "none leads to an engine on the node")
            .maybe_advice(others.iter().find_map(|finding| finding.advice.clone())),
    }
}
