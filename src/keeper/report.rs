//! What our scripts say, one line each, framed by a nonce.

use std::str::FromStr;

use super::account::Seen;
use super::text::Nonce;
use crate::id::JobId;

/// A line of the keeper, the runner or the sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The runner has started a life; its process on the host.
    Launched {
        /// The process id.
        pid: u32,
    },
    /// The runner has found the life's folder.
    Attached,
    /// Slurm has taken the life as a job, of this number if it told one. Nobody on the host waits for its end.
    Submitted {
        /// The job.
        job: Option<JobId>,
    },
    /// Where a script of ours ran: behind one name there may be several machines.
    At {
        /// The machine's own name.
        here: String,
        /// The machine that the life was started on, where that was asked.
        life: Option<String>,
    },
    /// The runner could not do it.
    Fault(RunnerFault),
    /// The log's bytes that follow on standard error begin here, counted from its first byte ever.
    Log {
        /// In bytes.
        offset: u64,
    },
    /// The keeper runs: from now on it hears words.
    Hello {
        /// The machine's name, as Slurm calls it where Slurm started it.
        node: String,
        /// The keeper's process id.
        pid: u32,
        /// The job it runs in.
        job: Option<JobId>,
    },
    /// The port that the engine is given. A second one follows where the first was lost to another process.
    Port(u16),
    /// The engine was started; its process id, which is also its session's.
    Engine {
        /// The process id.
        pid: u32,
    },
    /// The engine, and nobody else, listens on this port.
    Listening(u16),
    /// The engine listens on the Unix socket of this path.
    ListeningOn(String),
    /// A public host key of the keeper's machine: its kind and the key in base64.
    HostKey(String),
    /// How large the model's files are: the hub's index, those of one kind as one.
    Files(String),
    /// What of the model's files is there, while the engine starts.
    Arrived {
        /// In bytes.
        bytes: u64,
        /// The room that is left beside them, in bytes.
        free: Option<u64>,
    },
    /// The engine's main process exited by itself or was ended: its exit code, 128 more than the signal that ended it.
    Exited(u8),
    /// The proxy was not heard of for too long.
    LeaseOut,
    /// The engine is being ended.
    Stopping,
    /// Processes that had to be killed.
    Leftover(u32),
    /// What was seen of it once it was ended.
    Account(Seen),
    /// Nothing of the engine is left, but for what the account names; its exit code.
    Gone(u8),
    /// The launcher itself ended; nothing follows.
    Ended(u8),
    /// What a sweep left alive.
    Left(u32),
    /// The life's folder is gone.
    Forgotten,
}

/// Why the runner did not launch or attach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunnerFault {
    /// There is a folder of that name already.
    #[error("the life's folder exists already: {0}")]
    Exists(String),
    /// There is none.
    #[error("the life's folder does not exist: {0}")]
    Missing(String),
    /// The folder cannot be written; in the host's own words.
    #[error("the life's folder cannot be written: {0}")]
    Write(String),
}

/// What a framed command answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// Its standard output.
    pub output: String,
    /// Its exit code.
    pub code: u8,
}

impl Report {
    /// Finds the report in a line. Anything else is noise: a banner, or a report of a later version.
    #[must_use]
    pub fn parse(nonce: &Nonce, line: &str) -> Option<Self> {
        // A profile may have printed something without ending its line.
        let at = line.rfind(nonce.as_str())?;
        let framed = line.get(at + nonce.as_str().len()..)?.strip_prefix(' ')?.trim_end_matches(['\r', '\n']);
        let (verb, rest) = framed.split_once(' ').unwrap_or((framed, ""));
        Some(match verb {
            "launched" => Self::Launched { pid: number(rest)? },
            "attached" => Self::Attached,
            "submitted" => Self::Submitted { job: number(rest).map(JobId) },
            "at" => Self::at(rest)?,
            "error" => Self::Fault(RunnerFault::parse(rest)?),
            "log" => Self::Log { offset: number(rest)? },
            "hello" => Self::hello(rest)?,
            "port" => Self::Port(number(rest)?),
            "listening" if rest.starts_with('/') => Self::ListeningOn(rest.to_owned()),
            "engine" => Self::Engine { pid: number(rest)? },
            "host-key" => Self::HostKey(rest.to_owned()),
            "listening" => Self::Listening(number(rest)?),
            "files" => Self::Files(rest.to_owned()),
            "arrived" => {
                let (bytes, free) = rest.split_once(' ').unwrap_or((rest, ""));
                Self::Arrived { bytes: number(bytes)?, free: number(free) }
            }
            "exited" => Self::Exited(number(rest)?),
            "lease-out" => Self::LeaseOut,
            "stopping" => Self::Stopping,
            "leftover" => Self::Leftover(number(rest)?),
            "account" => Self::Account(Seen::parse(rest)?),
            "gone" => Self::Gone(number(rest)?),
            "ended" => Self::Ended(number(rest)?),
            "left" => Self::Left(number(rest)?),
            "forgotten" => Self::Forgotten,
            _ => return None,
        })
    }

    fn at(rest: &str) -> Option<Self> {
        let mut names = rest.split_whitespace().map(str::to_owned);
        Some(Self::At { here: names.next()?, life: names.next() })
    }

    fn hello(rest: &str) -> Option<Self> {
        let field = |name: &str| rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        // An array job's or a heterogeneous job's number is still a number.
        let job = field("job").and_then(number).map(JobId);
        Some(Self::Hello { node: field("node")?.to_owned(), pid: number(field("pid")?)?, job })
    }
}

impl RunnerFault {
    fn parse(rest: &str) -> Option<Self> {
        let (kind, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let text = text.trim().to_owned();
        match kind {
            "exists" => Some(Self::Exists(text)),
            "missing" => Some(Self::Missing(text)),
            "write" => Some(Self::Write(text)),
            _ => None,
        }
    }
}

/// The output and the exit code of a [`command`](super::command), out of all that the shell printed. Nothing where the
/// end is missing: then the link was lost, or the shell did not run our script.
#[must_use]
pub fn framed(nonce: &Nonce, printed: &str) -> Option<Framed> {
    let begin = format!("\n{} begin\n", nonce.as_str());
    let end = format!("\n{} end ", nonce.as_str());
    let (_, rest) = printed.split_once(begin.as_str())?;
    let (output, rest) = rest.rsplit_once(end.as_str())?;
    let (code, _) = rest.split_once('\n')?;
    Some(Framed { output: output.to_owned(), code: number(code)? })
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;
    use crate::keeper::Gpu;

    fn nonce() -> Nonce {
        Nonce::from_text("0123456789abcdef").unwrap()
    }

    #[test_case("launched 12", &Report::Launched { pid: 12 })]
    #[test_case("attached", &Report::Attached)]
    #[test_case("submitted 42", &Report::Submitted { job: Some(JobId(42)) })]
    #[test_case("submitted ", &Report::Submitted { job: None })]
    #[test_case("at login2", &Report::At { here: "login2".into(), life: None })]
    #[test_case("at login2 login1", &Report::At { here: "login2".into(), life: Some("login1".into()) })]
    #[test_case("error exists /a b", &Report::Fault(RunnerFault::Exists("/a b".into())))]
    #[test_case("error missing /a", &Report::Fault(RunnerFault::Missing("/a".into())))]
    #[test_case("error write no space left ", &Report::Fault(RunnerFault::Write("no space left".into())))]
    #[test_case("log 70000000000", &Report::Log { offset: 70_000_000_000 })]
    #[test_case("hello node=n1 pid=7 job=", &Report::Hello { node: "n1".into(), pid: 7, job: None })]
    #[test_case("hello node=n1 pid=7 job=42", &Report::Hello { node: "n1".into(), pid: 7, job: Some(JobId(42)) })]
    #[test_case("hello job=42 later=x pid=7 node=n1", &Report::Hello { node: "n1".into(), pid: 7, job: Some(JobId(42)) })]
    #[test_case("port 20001", &Report::Port(20001))]
    #[test_case("engine 9", &Report::Engine { pid: 9 })]
    #[test_case("listening 20001", &Report::Listening(20001))]
    #[test_case("listening /tmp/llm-proxy-a/engine.sock", &Report::ListeningOn("/tmp/llm-proxy-a/engine.sock".into()))]
    #[test_case("exited 143", &Report::Exited(143))]
    #[test_case("lease-out", &Report::LeaseOut)]
    #[test_case("stopping", &Report::Stopping)]
    #[test_case("leftover 3", &Report::Leftover(3))]
    #[test_case("account gpu clear", &Report::Account(Seen::Gpu(Gpu::Clear)))]
    #[test_case("gone 0", &Report::Gone(0))]
    #[test_case("ended 1", &Report::Ended(1))]
    #[test_case("left 0", &Report::Left(0))]
    #[test_case("forgotten", &Report::Forgotten)]
    fn lines(line: &str, report: &Report) {
        for noise in ["", "Welcome to the cluster $ "] {
            for end in ["", "\n", "\r\n"] {
                let line = format!("{noise}0123456789abcdef {line}{end}");
                assert_eq!(Report::parse(&nonce(), &line).as_ref(), Some(report), "{line:?}");
            }
        }
    }

    #[test_case("")]
    #[test_case("port 20001" ; "no frame")]
    #[test_case("0123456789abcdef" ; "nothing framed")]
    #[test_case("0123456789abcdef port" ; "no number")]
    #[test_case("0123456789abcdef port 70000" ; "no port")]
    #[test_case("0123456789abcdef at " ; "no machine")]
    #[test_case("0123456789abcdef exited 256" ; "no exit code")]
    #[test_case("0123456789abcdefport 1" ; "no space")]
    #[test_case("0123456789abcdef hello node=n1" ; "half a hello")]
    #[test_case("0123456789abcdef dance" ; "unknown verb")]
    #[test_case("1123456789abcdef port 1" ; "another life's")]
    fn noise(line: &str) {
        assert_eq!(Report::parse(&nonce(), line), None);
    }

    #[test]
    fn a_framed_answer_is_found_among_noise() {
        let printed = "motd\n\n0123456789abcdef begin\n1 R\n2 PD\n\n0123456789abcdef end 0\nlogout\n";
        let output = "1 R\n2 PD\n".to_owned();
        assert_eq!(framed(&nonce(), printed), Some(Framed { output, code: 0 }));
        let cut = printed.get(..printed.len() - 9).unwrap();
        assert_eq!(framed(&nonce(), cut), None, "{cut:?}");
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in "(.{0,8}|0123456789abcdef|0123456789abcdef (port|hello|error|log|gone)){0,3}.{0,24}") {
            let nonce = Nonce::from_text("0123456789abcdef").unwrap();
            drop(Report::parse(&nonce, &line));
            drop(framed(&nonce, &line));
        }

        #[test]
        fn any_output_comes_through_its_frame(before in "\\PC*", output in "(?s).*", code: u8) {
            let nonce = nonce();
            let printed = format!("{before}\n0123456789abcdef begin\n{output}\n0123456789abcdef end {code}\n");
            prop_assert_eq!(framed(&nonce, &printed), Some(Framed { output, code }));
        }
    }
}
