//! What only a job on a node can tell.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::ask::ask;
use super::deep_facts::Facts;
use super::deep_job::{DeepJob, Told};
use super::{Deep, Finding, Subject, deep_routes};
use crate::backend::Diagnosis;
use crate::host::Host;
use crate::launch::{News, Trial};
use crate::slurm::SrunArgs;

const JOB: &str = "short job";
const HOME: &str = "shared home";
const END: &str = "end of the job";

/// How long all that is heard from the node may take, beginning with its first word: a job that was told to end within a
/// minute is then still there.
const RUN_PATIENCE: Duration = Duration::from_secs(55);

/// How often the login host looks for a file of the node: a shared file system may remember for some seconds that there was
/// none.
const LOOKS: u32 = 10;

/// Runs the job, and sees to its end whatever becomes of it.
pub(super) async fn check(subject: &Subject, host: &Host, args: &SrunArgs, deep: &Deep) -> Vec<Finding> {
    let mut job = match DeepJob::start(subject, host, args, deep) {
        Ok(job) => job,
        Err(problem) => return vec![Finding::fail(JOB, problem)],
    };
    let heard = subject.stop.run_until_cancelled(hear(subject, host, &mut job, deep)).await;
    let mut findings = heard.unwrap_or_else(|| vec![Finding::skipped(JOB, "interrupted")]);
    findings.push(job.end(END, subject, host).await);
    findings
}

/// Waits for it, hears what it says, and tries the ways to it.
async fn hear(subject: &Subject, host: &Host, job: &mut DeepJob, deep: &Deep) -> Vec<Finding> {
    let asked = Instant::now();
    let mut queued = None;
    let node = match timeout(deep.patience, started(job, &mut queued)).await {
        Ok(Ok(node)) => node,
        Ok(Err(diagnosis)) => return vec![ended("it did not run", diagnosis)],
        Err(_) => return vec![still_queued(deep.patience, queued)],
    };
    let mut findings = vec![Finding::ok(JOB, format!("it ran on {node} after {} s", asked.elapsed().as_secs()))];
    let until = Instant::now() + RUN_PATIENCE;
    let (mut facts, mut trials) = (Facts::default(), None);
    let heard = timeout_at(until, all_of(job, &mut facts, &mut trials)).await;
    let (home, routes) = tokio::join!(
        timeout_at(until, shared_home(subject, host, job.word(), &facts)),
        deep_routes::check(subject, job.word(), trials, facts.can_listen(), until),
    );
    findings.extend(home.unwrap_or_else(|_| Some(Finding::warn(HOME, "the login host did not tell in time"))));
    findings.extend(facts.findings(subject));
    findings.extend(routes);
    findings.extend(match heard {
        Ok(Ok(())) => None,
        Ok(Err(diagnosis)) => Some(ended("it ended before it had told all", diagnosis)),
        Err(_) => Some(
            Finding::warn(JOB, format!("it did not tell all within {} s", RUN_PATIENCE.as_secs()))
                .advice("the node is slow, or a program hung there: try again, or name another by --srun-args"),
        ),
    });
    findings
}

/// Waits until it runs, and returns its node.
async fn started(job: &mut DeepJob, queued: &mut Option<String>) -> Result<String, Diagnosis> {
    loop {
        match job.next().await {
            Told::News(News::Starting { node, .. }) => return Ok(node),
            Told::News(News::Ended(diagnosis)) => return Err(diagnosis),
            Told::News(News::Gone) => return Err(crate::launch::vanished()),
            Told::News(News::Queued { reason, expected_start, .. }) => {
                let reason = reason.map(|reason| format!("Slurm says {reason}"));
                let expected = expected_start.map(|start| format!("it is expected to start at {start}"));
                *queued = Some([reason, expected].into_iter().flatten().collect::<Vec<_>>().join(", "));
            }
            Told::News(
                News::Walltime(_)
                | News::Paused(_)
                | News::Lease(_)
                | News::Gpus(_)
                | News::Loading(_)
                | News::Listening(..)
                | News::Routed(_)
                | News::Unreachable(_)
                | News::Link(_)
                | News::Left(_),
            )
            | Told::Fact(..)
            | Told::Trials(_) => {}
        }
    }
}

/// Hears it until it has told all and each route was tried.
async fn all_of(job: &mut DeepJob, facts: &mut Facts, trials: &mut Option<Vec<Trial>>) -> Result<(), Diagnosis> {
    while !facts.are_all() || (trials.is_none() && facts.can_listen()) {
        match job.next().await {
            Told::Fact(name, value) => facts.take(&name, &value),
            Told::Trials(tried) => *trials = Some(tried),
            Told::News(News::Ended(diagnosis)) => return Err(diagnosis),
            Told::News(News::Gone) => return Err(crate::launch::vanished()),
            Told::News(
                News::Queued { .. }
                | News::Starting { .. }
                | News::Walltime(_)
                | News::Paused(_)
                | News::Lease(_)
                | News::Gpus(_)
                | News::Loading(_)
                | News::Listening(..)
                | News::Routed(_)
                | News::Unreachable(_)
                | News::Link(_)
                | News::Left(_),
            ) => {}
        }
    }
    Ok(())
}

fn ended(what: &str, diagnosis: Diagnosis) -> Finding {
    Finding::fail(JOB, format!("{what}: {}", diagnosis.summary)).advice(diagnosis.remedy)
}

fn still_queued(patience: Duration, queued: Option<String>) -> Finding {
    let why = queued.filter(|why| !why.is_empty()).map(|why| format!(" ({why})")).unwrap_or_default();
    let seen = format!("it did not start within {} s{why}, and was withdrawn", patience.as_secs());
    Finding::warn(JOB, seen).advice("the queue is full: try again later, or ask for less, or for another partition")
}

/// Whether the login host sees a file that the node made.
async fn shared_home(subject: &Subject, host: &Host, word: &str, facts: &Facts) -> Option<Finding> {
    let home = facts.first("home")?;
    if home.is_empty() {
        return Some(Finding::warn(HOME, "the node cannot write to the user's home"));
    }
    let script = format!(
        "n=0; while [ $n -lt {LOOKS} ]; do ls -a \"$HOME\" >/dev/null 2>&1; [ ! -e \"$HOME/.{word}\" ] || exit 0; \
         n=$((n + 1)); sleep 1; done; exit 1"
    );
    Some(match ask(host, subject.shell, &script).await {
        Ok(said) if said.code == 0 => Finding::ok(HOME, format!("the node and the login host share {home}")),
        Ok(_) => Finding::warn(HOME, format!("{home} on the node is not the login host's")).advice(
            "what you install or download on the login host is not there: use a folder that both have, or let the node fetch it",
        ),
        Err(error) => Finding::warn(HOME, error.to_string()),
    })
}
