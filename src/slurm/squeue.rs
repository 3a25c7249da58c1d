//! Asks Slurm about the jobs of one name, and reads its answer.

use super::{JobName, JobState, Meaning, TimeLeft, expected_start};
use crate::id::JobId;

/// Between two fields of a line: a control character, which Slurm lets into no name, reason or list of nodes.
const SEPARATOR: char = '\u{1f}';

/// A job as Slurm sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// Its number.
    pub id: JobId,
    /// Its state.
    pub state: JobState,
    /// What that means to us.
    pub meaning: Meaning,
    /// Why it waits, or why it ended, such as `Priority` or `TimeLimit`.
    pub reason: Option<String>,
    /// When Slurm expects to start it: RFC 3339 in the cluster's zone. A Slurm that does not tell its zone leaves that out.
    pub expected_start: Option<String>,
    /// The node that it has; a job of ours has one.
    pub node: Option<String>,
    /// How long it may still run.
    pub time_left: TimeLeft,
    /// How long it may run in all.
    pub time_limit: TimeLeft,
}

/// Slurm's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// The jobs that are there, or may be: those that wait, run, end, or are in a state that we do not know.
    pub live: Vec<JobView>,
    /// The jobs that are over. Slurm remembers them for some minutes, so their absence means nothing.
    pub ended: Vec<JobView>,
}

/// Slurm did not answer. That never means that a job is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It failed, or complained and said nothing else.
    #[error("squeue failed with exit code {code}: {words}")]
    Failed {
        /// The exit code.
        code: u8,
        /// The first line of what it said.
        words: String,
    },
    /// It said something that is not a list of jobs.
    #[error("squeue answered with something else than a list of jobs: {line}")]
    Unreadable {
        /// The line.
        line: String,
    },
}

/// The longest line that an error repeats, in characters.
const MAX_QUOTED: usize = 200;

/// What to run to see our jobs of this name, those that ended a short while ago too.
///
/// `--me` because another user of the cluster may give a job any name. No `--json`: its shape differs between versions.
#[must_use]
pub fn squeue_argv(name: &JobName, cluster: Option<&str>) -> Vec<String> {
    let fields = ["%i", "%T", "%r", "%S", "%N", "%L", "%l"].join(&SEPARATOR.to_string());
    let words = ["env", expected_start::TIME_FORMAT, "squeue", "--noheader", "--me", "--states=all"];
    let mut argv: Vec<String> = words.map(str::to_owned).into();
    argv.extend(cluster.map(|cluster| format!("--clusters={cluster}")));
    argv.push(format!("--name={name}"));
    argv.push(format!("--format={fields}"));
    argv
}

/// Reads the answer.
///
/// # Errors
/// Slurm could not be asked or could not be understood: unknown, which counts as alive.
pub fn parse_squeue(code: u8, stdout: &str, stderr: &str) -> Result<Jobs, Unanswered> {
    let stderr = stderr.trim();
    if code != 0 {
        // Only where a number was asked for that Slurm has forgotten.
        if stderr.contains("Invalid job id specified") {
            return Ok(Jobs::default());
        }
        let words = if stderr.is_empty() { stdout.trim() } else { stderr };
        return Err(Unanswered::Failed { code, words: first_line(words) });
    }
    let mut jobs = Jobs::default();
    let mut unreadable = None;
    for line in stdout.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("CLUSTER:")) {
        match parse_line(line) {
            Some(view) if matches!(view.meaning, Meaning::Ended(_)) => jobs.ended.push(view),
            Some(view) => jobs.live.push(view),
            None => unreadable = Some(line),
        }
    }
    if jobs.live.is_empty() && jobs.ended.is_empty() {
        // A job could be behind what cannot be read, or behind a cluster that could not be asked.
        if let Some(line) = unreadable {
            return Err(Unanswered::Unreadable { line: first_line(line) });
        }
        if stderr.contains("error") {
            return Err(Unanswered::Failed { code, words: first_line(stderr) });
        }
    }
    Ok(jobs)
}

fn parse_line(line: &str) -> Option<JobView> {
    let mut fields = line.split(SEPARATOR).map(str::trim);
    let id = fields.next()?;
    // `12_3` is a task of an array and `12+1` a part of a heterogeneous job: neither is ours, but the number is.
    let digits = id.split(['_', '+']).next()?;
    let id = JobId(digits.parse().ok()?);
    let state = JobState::parse(fields.next()?);
    let meaning = state.meaning();
    let reason = said(fields.next()?).filter(|reason| reason != "None");
    let start = said(fields.next()?);
    let node = said(fields.next()?);
    let time_left = TimeLeft::parse(fields.next()?);
    let time_limit = TimeLeft::parse(fields.next().unwrap_or_default());
    let expected_start = start.filter(|_| meaning == Meaning::Waiting).map(|start| expected_start::read(&start));
    Some(JobView { id, state, meaning, reason, expected_start, node, time_left, time_limit })
}

fn said(field: &str) -> Option<String> {
    // What is said is shown to people and sent to clients, line by line.
    let said = field.replace(char::is_control, "");
    (!matches!(said.as_str(), "" | "N/A" | "(null)" | "Unknown")).then_some(said)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("no word").chars().take(MAX_QUOTED).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use proptest::prelude::*;
    use test_case::test_case;

    use super::super::Outcome;
    use super::*;
    use crate::id::InstanceName;

    /// What Slurm 22.05 said of jobs in many states, with the separator made visible.
    const ANSWER: &str = include_str!("../../tests/fixtures/slurm/squeue-22.05.txt");

    fn answer() -> String {
        ANSWER.replace('|', "\u{1f}")
    }

    #[test]
    fn asks_for_one_name_of_ours() {
        let name = JobName::new("ada", "laptop", &InstanceName::from_text("m").unwrap());
        let argv = squeue_argv(&name, Some("hpc2"));
        assert_eq!(argv.get(..2).unwrap(), ["env", "SLURM_TIME_FORMAT=%Y-%m-%dT%H:%M:%S%z"]);
        assert_eq!(argv.get(2..6).unwrap(), ["squeue", "--noheader", "--me", "--states=all"]);
        assert_eq!(argv.get(6..8).unwrap(), ["--clusters=hpc2", "--name=llm-proxy-ada-laptop-m"]);
        assert_eq!(argv.last().unwrap(), "--format=%i\u{1f}%T\u{1f}%r\u{1f}%S\u{1f}%N\u{1f}%L\u{1f}%l");
    }

    #[test]
    fn reads_what_slurm_said() {
        let jobs = parse_squeue(0, &answer(), "").unwrap();
        let live: Vec<_> = jobs.live.iter().map(|job| (job.id.0, job.state.as_str(), job.meaning)).collect();
        let waiting = |id| (id, "PENDING", Meaning::Waiting);
        assert_eq!(
            live,
            [waiting(2), waiting(3), waiting(5), waiting(4), (1, "RUNNING", Meaning::Running), waiting(6)]
        );
        let reasons: Vec<_> = jobs.live.iter().map(|job| job.reason.as_deref()).collect();
        let expected = [
            Some("Resources"),
            Some("BeginTime"),
            Some("Dependency"),
            Some("JobHeldUser"),
            None,
            Some("PartitionDown"),
        ];
        assert_eq!(reasons, expected);
        let starts: Vec<_> = jobs.live.iter().map(|job| job.expected_start.as_deref()).collect();
        assert_eq!(starts, [None, Some("2026-11-21T03:06:40"), None, None, None, None]);
        let runs = jobs.live.get(4).unwrap();
        assert_eq!((runs.node.as_deref(), runs.time_left), (Some("node1"), TimeLeft::Known(Duration::from_secs(297))));
        let ended: Vec<_> = jobs.ended.iter().map(|job| job.meaning).collect();
        let outcomes = [
            Outcome::Cancelled,
            Outcome::Completed,
            Outcome::Failed,
            Outcome::Failed,
            Outcome::NodeFailed,
            Outcome::TimeLimit,
        ];
        assert_eq!(ended, outcomes.map(Meaning::Ended));
    }

    #[test]
    fn the_expected_start_has_a_zone_and_a_reason_no_control() {
        let line = "7\u{1f}PENDING\u{1f}Prio\u{1b}\rrity\u{1f}2026-11-21T14:05:00+0100\u{1f}\u{1f}1:00\n";
        let jobs = parse_squeue(0, line, "").unwrap();
        let job = jobs.live.first().unwrap();
        assert_eq!(job.expected_start.as_deref(), Some("2026-11-21T14:05:00+01:00"));
        assert_eq!(job.reason.as_deref(), Some("Priority"));
    }

    #[test_case(0, "", ""; "an empty answer")]
    #[test_case(0, "CLUSTER: hpc2\n", ""; "a heading alone")]
    #[test_case(1, "", "slurm_load_jobs error: Invalid job id specified\n"; "a forgotten number")]
    #[test_case(0, "", "Welcome to the login node\n"; "a greeting")]
    fn knows_that_there_is_none(code: u8, stdout: &str, stderr: &str) {
        assert_eq!(parse_squeue(code, stdout, stderr), Ok(Jobs::default()));
    }

    #[test_case(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
        "squeue failed with exit code 1: slurm_load_jobs error: Unable to contact slurm controller (connect failure)"; "no controller")]
    #[test_case(0, "", "squeue: error: hpc2: Socket timed out on send/recv operation",
        "squeue failed with exit code 0: squeue: error: hpc2: Socket timed out on send/recv operation"; "one cluster of several")]
    #[test_case(127, "", "sh: 1: squeue: not found", "squeue failed with exit code 127: sh: 1: squeue: not found"; "no squeue")]
    #[test_case(255, "", "", "squeue failed with exit code 255: no word"; "no word")]
    #[test_case(0, "Your password expires in 3 days\n", "",
        "squeue answered with something else than a list of jobs: Your password expires in 3 days"; "something else")]
    #[test_case(0, "12\u{1f}RUNNING\n", "",
        "squeue answered with something else than a list of jobs: 12\u{1f}RUNNING"; "half a line")]
    fn what_cannot_be_told_is_never_gone(code: u8, stdout: &str, stderr: &str, message: &str) {
        assert_eq!(parse_squeue(code, stdout, stderr).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_line_of_a_wrapper_hides_no_job() {
        let text = format!("NOTICE: maintenance on Monday\n{}", answer());
        assert_eq!(parse_squeue(0, &text, ""), parse_squeue(0, &answer(), ""));
    }

    proptest! {
        #[test]
        fn no_answer_panics(code in any::<u8>(), stdout in "([0-9_+A-Z/:\u{1f}\n -]|\\PC)*", stderr in "\\PC*") {
            drop(parse_squeue(code, &stdout, &stderr));
        }

        #[test]
        fn a_live_job_is_never_overlooked(id in any::<u64>(), before in "[a-z ]{0,20}", reason in "[A-Za-z, :()]{0,40}") {
            let text = format!("{before}\n{id}\u{1f}RUNNING\u{1f}{reason}\u{1f}N/A\u{1f}n1\u{1f}5:00\n");
            let jobs = parse_squeue(0, &text, "").unwrap();
            prop_assert_eq!(jobs.live.first().map(|job| job.id), Some(JobId(id)));
        }
    }
}
