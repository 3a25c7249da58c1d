//! The limits that an instance lives by.

use std::time::Duration;

use crate::backend::Diagnosis;

/// The limits of one instance, each from an option or a constant here.
#[derive(Clone, Debug)]
pub struct Policy {
    /// From the last inference's end to the stop; none: never.
    pub idle_timeout: Option<Duration>,
    /// How long a job may wait in Slurm's queue.
    pub queue_timeout: Duration,
    /// From allocated to ready.
    pub startup_timeout: Duration,
    /// How long what is in flight may take to finish, once a stop is wanted.
    pub drain_timeout: Duration,
    /// How long a queued start that nobody waits for is kept. Withdrawing at once would lose the place in the queue
    /// each time an SDK gives up and tries again.
    pub withdraw_after: Duration,
    /// How soon an engine that said it was busy is asked again.
    pub busy_recheck: Duration,
    /// How long an engine may say nothing, neither to requests nor to the question how it is; none: for ever.
    pub hung_timeout: Option<Duration>,
    /// How often an engine of which nothing was heard is asked how it is; none: only while requests wait for it.
    pub heartbeat_interval: Option<Duration>,
    /// How many requests may wait at once.
    pub max_waiting: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_mins(30)),
            queue_timeout: Duration::from_hours(24),
            startup_timeout: Duration::from_mins(30),
            drain_timeout: Duration::from_secs(30),
            withdraw_after: Duration::from_mins(2),
            busy_recheck: Duration::from_secs(10),
            hung_timeout: Some(Duration::from_mins(2)),
            heartbeat_interval: None,
            max_waiting: 1024,
        }
    }
}

/// The first wait after a failed start, doubled with each failure in a row.
const FIRST_BACK_OFF: Duration = Duration::from_secs(5);

/// The longest wait. SDKs do not come back by themselves when told to wait for more than two minutes.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(1);

/// After so many failures in a row, the next start is a person's to ask for, or waits for [`CIRCUIT_OPEN`].
const CIRCUIT_FAILURES: u32 = 6;

/// How long nothing is tried then: each try takes a GPU from somebody else.
const CIRCUIT_OPEN: Duration = Duration::from_mins(10);

/// An engine that answered for so long is a good one, whatever came before.
pub(super) const STEADY: Duration = Duration::from_mins(10);

/// How long no new start is tried after this many failures in a row.
pub(super) fn back_off(failures: u32) -> Duration {
    if failures >= CIRCUIT_FAILURES {
        return CIRCUIT_OPEN;
    }
    let doublings = failures.saturating_sub(1).min(8);
    (FIRST_BACK_OFF * 2_u32.pow(doublings)).min(LONGEST_BACK_OFF)
}

/// The cause of this failure in a row, with what follows from there being so many.
pub(super) fn as_often(diagnosis: Diagnosis, failures: u32) -> Diagnosis {
    if failures < CIRCUIT_FAILURES {
        return diagnosis;
    }
    let Diagnosis { code, summary, remedy } = diagnosis;
    Diagnosis {
        code,
        summary: format!(
            "{summary}; that was failure {failures} in a row, so nothing is tried for {} min",
            CIRCUIT_OPEN.as_secs() / 60
        ),
        remedy: format!("{remedy}; then `llm-proxy start` tries at once"),
    }
}

pub(super) fn walltime_too_short() -> Diagnosis {
    Diagnosis {
        code: "walltime_too_short",
        summary:
            "the job's time was almost over before the engine was ready, so that no request would have been finished"
                .to_owned(),
        remedy: "give the job more time, as in --srun-args '--time=4:00:00 …'".to_owned(),
    }
}

pub(super) fn hung(limit: Duration) -> Diagnosis {
    Diagnosis {
        code: "engine_hung",
        summary: format!(
            "the engine said nothing for {} s, and does not answer when it is asked how it is",
            limit.as_secs()
        ),
        remedy:
            "the next request starts it afresh; if it is only slow, give it longer with --hung-timeout (in a file: \
                 heartbeat_timeout)"
                .to_owned(),
    }
}

pub(super) fn queue_timed_out(limit: Duration) -> Diagnosis {
    Diagnosis {
        code: "queue_timeout",
        summary: format!("the job waited in Slurm's queue for {} s, which is as long as it may", limit.as_secs()),
        remedy: "allow it longer with --queue-timeout, or ask for less with --srun-args (another partition, a shorter \
                 --time, fewer GPUs)"
            .to_owned(),
    }
}

pub(super) fn waited_in_vain(reason: &str, limit: Duration) -> Diagnosis {
    Diagnosis {
        code: "queue_timeout",
        summary: format!("it went on {reason} for {} s, which is as long as it may", limit.as_secs()),
        remedy: "stop the one that has it, give it GPUs of its own (`gpus:` in the configuration), or allow the wait longer \
                 with --queue-timeout"
            .to_owned(),
    }
}

pub(super) fn startup_timed_out(limit: Duration) -> Diagnosis {
    Diagnosis {
        code: "startup_timeout",
        summary: format!(
            "the engine was not ready {} s after it was started, which is as long as it may",
            limit.as_secs()
        ),
        remedy: "allow it longer with --startup-timeout (a first start downloads the model), or read its log with -v"
            .to_owned(),
    }
}

pub(super) fn paused_too_long(limit: Duration) -> Diagnosis {
    Diagnosis {
        code: "paused_too_long",
        summary: format!(
            "Slurm let the job stand still for {} s before the engine was ready, which is as long as it may wait",
            limit.as_secs()
        ),
        remedy:
            "the next request asks for another; allow it longer with --queue-timeout, or name a partition or --qos \
                 whose jobs are not suspended for others"
                .to_owned(),
    }
}

/// How long a request may wait for an earlier life to be verified gone: an engine's stop and an epilogue take less.
pub(super) const GONE_WITHIN: Duration = Duration::from_mins(5);

/// When somebody who was refused for that may come again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(30);

pub(super) fn not_gone() -> Diagnosis {
    Diagnosis {
        code: "not_verified_gone",
        summary: "the earlier engine cannot be verified gone, and no second one is started beside it".to_owned(),
        remedy: "check the connection to the host, and `squeue --me` there; this program asks again all the time"
            .to_owned(),
    }
}
