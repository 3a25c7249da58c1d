//! The causes that are known by what engines and Slurm say, each with what to do about it.
//!
//! The most telling come first: of all causes whose signs are in a log, the first here is taken. Texts of vLLM 0.32 and
//! Slurm 22.05 were seen; others are from their sources and from reports.

use super::engine_causes::{ENGINE, JOB_MEMORY, MODEL, SYSTEM};
use super::kind::Backend;
use super::profiling;
use super::slurm_causes;

/// A cause that is known by its words.
#[derive(Debug)]
pub struct Cause {
    /// A stable word for programs.
    pub code: &'static str,
    /// What it is, in a few words, before the quoted line.
    pub what: &'static str,
    /// Any of these is in the line, in lower case; `…` stands for anything between.
    pub signs: &'static [&'static str],
    /// What to do.
    pub remedy: &'static str,
}

impl Cause {
    /// Whether a line, in lower case, has a sign of it.
    pub(super) fn is_in(&self, line: &str) -> bool {
        self.signs.iter().any(|sign| {
            let mut rest = Some(line);
            for part in sign.split('…') {
                rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
            }
            rest.is_some()
        })
    }
}

/// All tables, the most telling causes first; those of this kind of engine before those of others, which a command that
/// wraps its engine may run all the same.
pub(super) fn all(backend: Backend) -> impl Iterator<Item = &'static Cause> {
    let others = Backend::ALL.into_iter().filter(move |other| *other != backend);
    let own = std::iter::once(backend).chain(others).map(|backend| backend.profile().causes);
    let before = [slurm_causes::ENDED, JOB_MEMORY, profiling::CAUSES].into_iter();
    let after = [ENGINE, MODEL, SYSTEM, slurm_causes::SUBMISSION, WEAK];
    before.chain(own).chain(after).flatten()
}

/// What may only be the consequence of something else.
const WEAK: &[Cause] = &[
    Cause {
        code: "job_cancelled",
        what: "the job was cancelled",
        signs: &["job has been cancelled", "has been revoked", "*** step…cancelled at", "*** job…cancelled at"],
        remedy: "the next request starts it again; if nobody of yours cancelled it, ask the cluster's operators",
    },
    Cause {
        code: "command_not_found",
        what: "there is no such program",
        signs: &["execve()…no such file or directory", ": command not found", "exec:…: not found"],
        remedy: "give the program's whole path, or bring it into the PATH with --prelude or --login-shell",
    },
    Cause {
        code: "controller_unreachable",
        what: "Slurm's controller does not answer",
        signs: &["communication connection failure", "socket timed out on send/recv", "zero bytes were transmitted"],
        remedy: "wait and try again; `sinfo` on the login host shows when it answers",
    },
    Cause {
        code: "permission_denied",
        what: "a file may not be used",
        signs: &["permission denied"],
        remedy: "check who may read or run the file that is named; nodes may not see all folders of the login host",
    },
    Cause {
        code: "worker_died",
        what: "a process of the engine died",
        signs: &["died unexpectedly", "enginedeaderror", "enginecore encountered an issue"],
        remedy: "read the lines before it in the log; most often memory ran out, or the node's driver failed",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_made() {
        for cause in Backend::ALL.into_iter().flat_map(all) {
            assert!(cause.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", cause.code);
            assert!(!cause.remedy.is_empty() && !cause.remedy.contains("  ") && !cause.remedy.ends_with('.'));
            for sign in cause.signs {
                assert_eq!(*sign, sign.to_lowercase(), "{}", cause.code);
                assert!(sign.split('…').all(|part| !part.is_empty()) && sign.len() > 5, "{sign}");
            }
        }
    }

    #[test]
    fn parts_of_a_sign_come_in_order() {
        let cause = Cause { code: "x", what: "", signs: &["one…two"], remedy: "" };
        assert!(cause.is_in("say one and two"));
        assert!(!cause.is_in("say two and one"));
    }
}
