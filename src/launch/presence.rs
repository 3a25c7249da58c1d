//! Whether a life is still there, asked from outside: of Slurm, or of the host's processes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::ask;
use super::{Place, Plan, Starter};
use crate::id::{JobId, LifeId};
use crate::keeper::{self, Nonce, Report, Seen, Sweep};
use crate::slurm::{self, JobView, Meaning};

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// The job, in Slurm's words.
    Job(JobView),
    /// Processes of ours.
    Processes,
    /// Nothing is left.
    Nothing,
    /// Nothing is on this machine, and it was started on another one behind the same name.
    Elsewhere,
    /// The host has no `squeue`.
    NoScheduler,
    /// Nobody could say: that counts as there.
    Unknown,
}

impl Presence {
    /// Whether it is a job that stands still.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self, Self::Job(job) if job.meaning == Meaning::Paused)
    }
}

/// A life, and where to look for it.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) place: Arc<Place>,
    pub(super) plan: Arc<Plan>,
    pub(super) life: LifeId,
    /// The machine behind the host's name that its launcher runs on, where that is known.
    pub(super) machine: Option<String>,
}

/// Looks once.
pub(super) async fn look(subject: &Subject) -> Presence {
    let Subject { place, plan, .. } = subject;
    let Starter::Slurm { job_name, args, .. } = &plan.starter else { return sweep(subject, Sweep::Count).await };
    match ask::command(&place.host, place.shell, &slurm::squeue_argv(job_name, args.cluster())).await {
        // How a shell says that there is no such command, or none that can be run.
        Ok(answer) if matches!(answer.code, 126 | 127) => Presence::NoScheduler,
        Ok(answer) => match slurm::parse_squeue(answer.code, &answer.stdout, &answer.stderr) {
            Ok(jobs) => jobs.live.into_iter().max_by_key(|job| job.id).map_or(Presence::Nothing, Presence::Job),
            Err(error) => {
                debug!(%error, "Slurm does not say");
                Presence::Unknown
            }
        },
        Err(error) => {
            debug!(%error, "Slurm cannot be asked");
            Presence::Unknown
        }
    }
}

/// How Slurm says that this job ended, for as long as it remembers.
pub(super) async fn how_it_ended(place: &Place, plan: &Plan, job: Option<JobId>) -> Option<JobView> {
    let (Starter::Slurm { job_name, args, .. }, Some(job)) = (&plan.starter, job) else { return None };
    let argv = slurm::squeue_argv(job_name, args.cluster());
    let answer = ask::command(&place.host, place.shell, &argv).await.ok()?;
    let jobs = slurm::parse_squeue(answer.code, &answer.stdout, &answer.stderr).ok()?;
    jobs.ended.into_iter().find(|ended| ended.id == job)
}

/// Looks on the host for processes of this life.
async fn sweep(subject: &Subject, sweep: Sweep) -> Presence {
    let Subject { place, life, machine, .. } = subject;
    let Ok(nonce) = Nonce::random() else { return Presence::Unknown };
    let Ok(script) = keeper::sweep(&nonce, life, sweep) else { return Presence::Unknown };
    match ask::script_output(&place.host, place.shell, &script).await {
        Ok((stdout, _)) => {
            seen_by_sweep(stdout.lines().filter_map(|line| Report::parse(&nonce, line)), machine.as_ref())
        }
        Err(error) => {
            debug!(%error, "the host cannot be asked");
            Presence::Unknown
        }
    }
}

/// Names what is left of a life on the host.
pub(super) async fn names(subject: &Subject) -> Vec<Seen> {
    let Subject { place, life, .. } = subject;
    let Ok(nonce) = Nonce::random() else { return Vec::new() };
    let Ok(script) = keeper::sweep(&nonce, life, Sweep::Count) else { return Vec::new() };
    let Ok((stdout, _)) = ask::script_output(&place.host, place.shell, &script).await else { return Vec::new() };
    let named = |line: &str| match Report::parse(&nonce, line) {
        Some(Report::Account(seen)) => Some(seen),
        _ => None,
    };
    stdout.lines().filter_map(named).collect()
}

fn seen_by_sweep(reports: impl Iterator<Item = Report>, machine: Option<&String>) -> Presence {
    let mut swept = None;
    for report in reports {
        if let Report::At { here, .. } = report {
            swept = Some(here);
        } else if let Report::Left(left) = report {
            let here = machine.is_none() || machine == swept.as_ref();
            return match (left, here) {
                (0, true) => Presence::Nothing,
                (0, false) => Presence::Elsewhere,
                (_, _) => Presence::Processes,
            };
        }
    }
    Presence::Unknown
}

/// Tells the scheduler to end the life, for when the keeper cannot be told or does not obey.
pub(super) async fn end_from_outside(subject: &Subject) {
    let Subject { place, plan, .. } = subject;
    match &plan.starter {
        Starter::Process => drop(sweep(subject, Sweep::Kill).await),
        Starter::Slurm { job_name, args, .. } => {
            // By its name, which is this instance's own: so a job that came of a lost submission goes with it.
            match ask::command(&place.host, place.shell, &slurm::scancel_argv(job_name, args.cluster())).await {
                Ok(answer) => debug!(answer.code, answer.stderr, "scancel answered"),
                Err(error) => debug!(%error, "scancel could not be asked"),
            }
        }
    }
}

/// Between two looks at first: a job that starts at once is seen by its keeper, not by this.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Between two looks at a queue that moves in minutes.
const QUEUE_PAUSE: Duration = Duration::from_secs(15);

/// Between two looks at a life whose keeper speaks for itself, after a first one that tells when Slurm will end it.
const RUNNING_PAUSE: Duration = Duration::from_mins(1);

/// Looks again and again, until it is cancelled: soon while the job is in the queue, seldom once its keeper runs, and at
/// once whenever somebody wants to know.
pub(super) async fn watch(
    subject: Subject,
    keeper_runs: bool,
    seen: mpsc::Sender<Presence>,
    wanted: Arc<Notify>,
    done: CancellationToken,
) {
    let (mut pause, batch) = (FIRST_PAUSE, subject.plan.starter.is_batch());
    let looking = async {
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = wanted.notified() => {}
            }
            let now = look(&subject).await;
            pause = match (keeper_runs, batch) {
                (false, _) => (pause * 2).min(QUEUE_PAUSE),
                // Of one that stands still nobody hears that it goes on.
                (true, false) if !now.is_paused() => RUNNING_PAUSE,
                // Nobody on the host would hear of its end.
                (true, true | false) => QUEUE_PAUSE,
            };
            if seen.send(now).await.is_err() {
                return;
            }
        }
    };
    done.run_until_cancelled(looking).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_of_another_machine_proves_nothing() {
        let machine = |name: &str| Some(name.to_owned());
        let at = |name: &str| Report::At { here: name.to_owned(), life: None };
        let seen = |here: &str, left, machine: Option<String>| {
            seen_by_sweep([at(here), Report::Left(left)].into_iter(), machine.as_ref())
        };
        assert_eq!(seen("login1", 0, machine("login1")), Presence::Nothing);
        assert_eq!(seen("login2", 0, machine("login1")), Presence::Elsewhere);
        assert_eq!(seen("login2", 0, None), Presence::Nothing, "never said where");
        assert_eq!(seen("login2", 3, machine("login1")), Presence::Processes);
        assert_eq!(seen_by_sweep(std::iter::empty(), None), Presence::Unknown);
    }
}
