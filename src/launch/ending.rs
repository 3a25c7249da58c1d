//! The end of a life: ordered, enforced, verified, forgotten.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::attachment::Attachment;
use super::life::{Left, Life, Stage};
use super::presence::{self, Presence};
use super::{Order, Starter, ask};
use crate::keeper::ControlWord;
use crate::slurm::Meaning;

/// What the keeper may take beyond the stop timeout, to kill and to look whether anything is left.
const KEEPER_MARGIN: Duration = Duration::from_secs(25);

/// How long processes of a host are killed from outside. One that waits for a broken device ends after that, or never.
const SWEEP_PATIENCE: Duration = Duration::from_mins(1);

/// What the keeper may take to carry out a kill.
const KILL_MARGIN: Duration = Duration::from_secs(5);

/// Between two calls of `scancel`, or two sweeps.
const ENFORCE_AGAIN: Duration = Duration::from_secs(5);

/// A job that was just asked for may not be in the queue yet, so that there is nothing to cancel.
const SUBMISSION: Duration = Duration::from_millis(500);

/// What a job may take from its keeper's last word to its own end.
const LAST_LINE_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks whether it is gone, doubled up to [`LONGEST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// An epilogue may take minutes; a scheduler that is down is not asked all the time.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

impl Life {
    /// Passes the order on, and sets the time at which it is enforced.
    pub(super) async fn end(&mut self, attachment: &mut Attachment) -> std::io::Result<()> {
        let Some(order) = self.ordered else { return Ok(()) };
        let (word, patience) = match order {
            Order::End => (ControlWord::Stop, self.plan.stop_timeout + KEEPER_MARGIN),
            Order::Kill => (ControlWord::StopNow, KILL_MARGIN),
        };
        if self.keeper_runs() {
            self.enforce_at = Some(Instant::now() + patience);
            if attachment.listens { attachment.say(word).await } else { Ok(()) }
        } else {
            // Nobody to tell yet. A job that waits is cancelled; a keeper that starts meanwhile is told at its hello.
            self.enforce_at.get_or_insert(Instant::now() + SUBMISSION);
            Ok(())
        }
    }

    /// Ends the life from outside. Says whether to leave the attachment, and why.
    pub(super) async fn enforce(&mut self) -> Option<Left> {
        info!("ending the engine from outside: its keeper cannot be told, or took too long");
        self.end_from_outside().await;
        self.enforce_at = Some(Instant::now() + ENFORCE_AGAIN);
        if !self.keeper_runs() {
            if self.is_submitted() && presence::look(&self.subject()).await == Presence::Nothing {
                return Some(Left::Over); // A job that never began says nothing.
            }
            // The life says `ended`; where it was killed itself, the runner says so at the next attachment.
            return Some(Left::Reattach);
        }
        (presence::look(&self.subject()).await == Presence::Nothing).then_some(Left::Over)
    }

    async fn end_from_outside(&self) {
        presence::end_from_outside(&self.subject()).await;
        if !self.keeper_runs()
            && let Ok(script) = self.runner.end_launcher()
            && let Err(error) = ask::script_output(&self.place.host, self.place.shell, &script).await
        {
            debug!(%error, "the launcher could not be ended");
        }
    }

    /// Looks until nothing is left, and ends what still is. A scheduler or a host that does not answer means unknown,
    /// and unknown counts as there.
    pub(super) async fn see_it_gone(&mut self, orders: &mut mpsc::Receiver<Order>) {
        if self.stage == Stage::KeeperSaysGone && self.plan.starter == Starter::Process {
            self.account_for(None).await;
            return self.forget().await;
        }
        let (mut slurm, mut swept) = (None, None);
        let mut pause = FIRST_LOOK;
        let ends_itself = Instant::now() + LAST_LINE_WITHIN;
        loop {
            tokio::select! {
                () = self.until_let_in() => {}
                Some(order) = orders.recv() => self.ordered(order),
            }
            let seen = presence::look(&self.subject()).await;
            if matches!(seen, Presence::Job(_) | Presence::Processes) {
                self.settles_at = None; // It came, and does not come again.
            }
            match seen {
                Presence::Nothing | Presence::NoScheduler if self.may_yet_come() => {}
                Presence::Nothing => {
                    slurm = self.gone_from_slurm();
                    break;
                }
                Presence::Job(job) if job.meaning == Meaning::Ending => debug!(%job.id, "the job is ending"),
                Presence::Job(_) if self.stage == Stage::KeeperSaysGone && Instant::now() < ends_itself => {}
                // Its launcher has ended, and so nobody else will end it.
                Presence::Job(_) => self.end_from_outside().await,
                Presence::Processes => {
                    self.end_from_outside().await;
                    if swept.get_or_insert_with(Instant::now).elapsed() > SWEEP_PATIENCE {
                        self.account.name(presence::names(&self.subject()).await);
                        break;
                    }
                }
                // No job was ever seen, and the host has no Slurm to ask for one.
                Presence::NoScheduler if self.record.job.is_none() => break,
                // Where its files say that it is gone, they were written there. Else it has ended itself by now.
                Presence::Elsewhere if self.stage == Stage::KeeperSaysGone || self.lease_is_over() => break,
                Presence::Elsewhere | Presence::Unknown | Presence::NoScheduler => {
                    self.not_answered();
                    warn!("nobody can say whether the engine is gone; asking again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_LOOK),
                Some(Order::Kill) = orders.recv() => self.end_from_outside().await,
            }
        }
        self.account_for(slurm).await;
        self.forget().await;
    }

    /// Slurm's word of the end, where it was asked.
    fn gone_from_slurm(&self) -> Option<String> {
        let Starter::Slurm { .. } = &self.plan.starter else { return None };
        Some(match self.record.job {
            Some(job) => format!("Slurm: job {job} is gone"),
            None => "Slurm: there is no job of this name".to_owned(),
        })
    }

    /// Whether a keeper that has not heard us since must have ended its engine.
    fn lease_is_over(&self) -> bool {
        Instant::now() > self.renewed + self.plan.lease + self.plan.stop_timeout + KEEPER_MARGIN
    }

    /// Removes the life's folder on the host. What cannot be removed holds no GPU.
    async fn forget(&self) {
        let Ok(script) = self.runner.forget() else { return };
        if let Err(error) = ask::script_output(&self.place.host, self.place.shell, &script).await {
            debug!(%error, "the life's folder was left on the host");
        }
    }
}
