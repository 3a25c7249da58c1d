//! What a life makes of the keeper's reports, and of what is seen from outside.

use tracing::debug;

use super::attachment::Attachment;
use super::causes;
use super::life::{Left, Life, Stage};
use super::presence::{self, Presence};
use super::{Allowance, News, Starter};
use crate::backend::{self, JobEnd};
use crate::host::{Address, Endpoint};
use crate::keeper::{ControlWord, Report, RunnerFault};
use crate::slurm::{JobView, Meaning, TimeLeft};

/// Looks in a row that see nothing of a life whose keeper ran, until it is taken for gone: a minute apart.
const ODD_LOOKS_WHILE_RUNNING: u32 = 2;

/// Looks in a row that see no job, or one that runs without its keeper, until the runner is asked whether the launcher
/// still lives: a submission may take a while, and is not disturbed by the question.
const ODD_LOOKS_BEFORE: u32 = 3;

impl Life {
    /// Takes in what was seen from outside.
    pub(super) async fn seen(&mut self, presence: Presence) -> Option<Left> {
        if presence == Presence::Nothing && self.is_submitted() {
            return self.seen_without_job().await;
        }
        let fits = match &presence {
            Presence::Job(job) => self.keeper_runs() || matches!(job.meaning, Meaning::Waiting | Meaning::Paused),
            Presence::Processes | Presence::Elsewhere | Presence::Unknown | Presence::NoScheduler => true,
            Presence::Nothing => false,
        };
        self.odd_looks = if fits { 0 } else { self.odd_looks + 1 };
        if self.keeper_runs() && self.odd_looks >= ODD_LOOKS_WHILE_RUNNING {
            // The launcher ended and nobody is left to say so, as when the host was restarted.
            self.ended(causes::vanished()).await;
            return Some(Left::Over);
        }
        if self.odd_looks >= ODD_LOOKS_BEFORE {
            self.odd_looks = 0;
            return Some(Left::Reattach);
        }
        self.tell_paused(&presence).await;
        self.tell_walltime(&presence).await;
        self.tell_allocated(&presence).await;
        self.tell_queued(presence).await;
        None
    }

    /// Tells of a job that has its node, and whose keeper was not heard yet: it holds a GPU, so that it is to be ready in
    /// time. An `srun` whose answer was lost with its scheduler waits for ever, and starts nothing.
    async fn tell_allocated(&mut self, seen: &Presence) {
        if let Presence::Job(JobView { id, meaning: Meaning::Running, node: Some(node), .. }) = seen
            && !self.keeper_runs()
            && self.ordered.is_none()
        {
            if self.record.job != Some(*id) {
                self.record.job = Some(*id);
                self.save();
            }
            self.news.send(News::Starting { job: Some(*id), node: node.clone() }).await;
        }
    }

    /// Tells when Slurm lets a job stand still, and when it goes on. Its keeper stands still as well, and says nothing.
    async fn tell_paused(&mut self, seen: &Presence) {
        let Presence::Job(_) = seen else { return };
        let paused = seen.is_paused();
        if std::mem::replace(&mut self.paused, paused) != paused && self.ordered.is_none() {
            self.news.send(News::Paused(paused)).await;
        }
    }

    /// Tells when Slurm ends a job that runs. The limit may be moved, or taken away, while it does.
    async fn tell_walltime(&self, seen: &Presence) {
        let Presence::Job(JobView { meaning: Meaning::Running, time_left, time_limit, .. }) = seen else { return };
        let allowance = match (*time_left, *time_limit) {
            (TimeLeft::Unknown, _) => return,
            (TimeLeft::Unlimited, _) => None,
            (TimeLeft::Known(left), TimeLeft::Known(limit)) => Some(Allowance { left, limit }),
            (TimeLeft::Known(left), TimeLeft::Unlimited | TimeLeft::Unknown) => Some(Allowance { left, limit: left }),
        };
        if self.ordered.is_none() {
            self.news.send(News::Walltime(allowance)).await;
        }
    }

    /// Tells of a job that waits.
    pub(super) async fn tell_queued(&mut self, seen: Presence) {
        if let Presence::Job(JobView { id, meaning: Meaning::Waiting, reason, expected_start, .. }) = seen
            && !self.keeper_runs()
        {
            if self.record.job != Some(id) {
                self.record.job = Some(id);
                self.save();
            }
            if self.ordered.is_none() {
                self.news.send(News::Queued { job: Some(id), reason, expected_start }).await;
            }
        }
    }

    pub(super) async fn reported(
        &mut self,
        report: Report,
        attachment: &mut Attachment,
    ) -> std::io::Result<Option<Left>> {
        debug!(?report, "the host reports");
        match report {
            Report::Hello { node, job, pid: _ } => {
                if !self.keeper_runs() {
                    self.reach(Stage::KeeperRuns);
                    self.record.job = job.or(self.record.job);
                    self.record.node = Some(node.clone());
                    self.save();
                    self.news.send(News::Starting { job, node }).await;
                }
                if self.ordered.is_some() {
                    self.end(attachment).await?;
                }
            }
            Report::HostKey(key) => {
                if !self.node_keys.contains(&key) {
                    self.node_keys.push(key);
                }
            }
            Report::Listening(port) => self.listening(Endpoint::Tcp(Address { host: self.bound(), port })),
            Report::ListeningOn(path) => self.listening(Endpoint::Unix(path)),
            Report::Exited(code) => {
                attachment.drain_log(&mut self.log).await;
                self.ended(backend::diagnose(self.plan.backend, &self.log.lines(), Some(code))).await;
            }
            Report::Files(index) => self.download.sized(&index),
            Report::Arrived { bytes, free } => {
                if let Some(loading) = self.download.arrived(bytes, free)
                    && self.ordered.is_none()
                {
                    self.news.send(News::Loading(loading)).await;
                }
            }
            Report::LeaseOut => self.ended(causes::lease_ran_out(self.plan.lease)).await,
            Report::Gone(_) => self.reach(Stage::KeeperSaysGone),
            Report::Submitted { job } => self.submitted(job),
            Report::Launched { .. } | Report::Attached => {
                self.reach(Stage::Launched);
                self.settles_at = None;
                attachment.listens = true;
                self.heard = true;
                // The order may have been given on an earlier connection, or between two.
                if self.ordered.is_some() {
                    self.end(attachment).await?;
                }
            }
            Report::At { here, life } => self.reached(here, life, attachment).await?,
            Report::Fault(RunnerFault::Exists(_)) => {
                self.reach(Stage::Launched);
                self.settles_at = None;
                return Ok(Some(Left::Reattach));
            }
            Report::Fault(RunnerFault::Missing(_)) => return Ok(Some(Left::Missing)),
            Report::Fault(RunnerFault::Write(text)) => {
                self.settles_at = None; // The answer: it did not start it.
                self.ended(causes::folder_not_written(&text)).await;
                return Ok(Some(Left::Over));
            }
            Report::Account(seen) => self.account.take(seen),
            Report::Leftover(count) => debug!(count, "processes of the engine had to be killed"),
            Report::Port(_) | Report::Engine { .. } | Report::Stopping | Report::Log { .. } | Report::Ended(_) => {}
            Report::Left(_) | Report::Forgotten => debug!("an answer to a question that was not asked here"),
        }
        Ok(None)
    }

    /// A runner said on which machine it is, and on which the life was started, if it knows. One that is to launch is told
    /// to, once that machine is on disk here.
    async fn reached(
        &mut self,
        here: String,
        life: Option<String>,
        attachment: &mut Attachment,
    ) -> std::io::Result<()> {
        self.here = Some(here.clone());
        if std::mem::take(&mut attachment.awaits_go) && self.ordered.is_none() {
            self.asked_of(life.unwrap_or(here));
            return attachment.say(ControlWord::Go).await;
        }
        if let Some(machine) = life {
            self.found_on(&here, machine).await;
        }
        Ok(())
    }

    /// Behind one name there may be several machines. A job is reached from each of them; what was started on one of them
    /// itself is not, and another's engine may listen there in its place.
    async fn found_on(&mut self, here: &str, machine: String) {
        if machine != here && self.plan.starter == Starter::Process {
            self.ended(causes::on_another_machine(&machine, here)).await;
        }
        if self.record.machine.as_ref() != Some(&machine) {
            self.record.machine = Some(machine);
            self.save();
        }
    }

    /// A host that takes our script and says nothing.
    pub(super) async fn silent(&mut self) -> Left {
        if self.stage >= Stage::Launched {
            return Left::LinkLost;
        }
        self.ended(causes::host_silent()).await;
        Left::Over
    }

    /// A shell that ends by itself before it said anything has not run our script.
    pub(super) async fn shell_ended(&mut self, attachment: &mut Attachment) -> Left {
        if self.stage >= Stage::Launched {
            return Left::LinkLost;
        }
        attachment.drain_log(&mut self.log).await;
        self.ended(causes::shell_failed(&attachment.noise())).await;
        Left::Over
    }

    pub(super) async fn launcher_ended(&mut self, code: u8, attachment: &mut Attachment) {
        attachment.drain_log(&mut self.log).await;
        let lines = self.log.lines();
        let diagnosis = match presence::how_it_ended(&self.place, &self.plan, self.record.job).await {
            Some(job) if let Some(diagnosis) = self.not_begun(&job) => diagnosis,
            Some(job) => {
                let end = JobEnd { state: job.state.as_str(), reason: job.reason.as_deref() };
                backend::diagnose_job(self.plan.backend, end, &lines, Some(code))
            }
            None => backend::diagnose(self.plan.backend, &lines, Some(code)),
        };
        self.ended(diagnosis).await;
    }
}
