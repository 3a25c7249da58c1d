//! The account of an end: what was looked at on the engine's machine, and what was seen there.

use std::fmt;
use std::str::FromStr;

/// One thing that was looked at, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The engine's main process, its session, this many descendants that were remembered, and every process of the
    /// machine that carries the life's marker.
    Looked {
        /// The main process; 0 where it never started.
        engine: u32,
        /// How many descendants were remembered, the dead ones among them.
        tracked: u32,
    },
    /// A process of the engine that could not be ended.
    Process {
        /// The process id.
        pid: u32,
        /// The kernel's letter for its state: `D` waits for a device, and nothing can end it.
        state: char,
        /// What it calls itself.
        name: String,
    },
    /// The engine's port.
    Port {
        /// The port.
        port: u16,
        /// Who has it.
        state: PortState,
        /// The process id and the name of who listens there, where we may know.
        holder: Option<(u32, String)>,
    },
    /// What the graphics cards' driver says.
    Gpu(Gpu),
}

/// Who has the engine's port, now that the engine was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Nobody.
    Free,
    /// Somebody; and it was the engine's.
    Held,
    /// Somebody; and the engine never had it.
    Taken,
}

/// What `nvidia-smi` says of the engine's processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpu {
    /// There is none to ask.
    None,
    /// It did not answer, or only with an error.
    Unknown,
    /// None of them holds memory.
    Clear,
    /// One of them still does.
    Held {
        /// The process id.
        pid: u32,
        /// The memory in MiB, where it is known.
        mib: Option<u64>,
        /// The program.
        name: String,
    },
}

impl Seen {
    /// Reads what follows `account` in a report.
    pub(super) fn parse(rest: &str) -> Option<Self> {
        let mut words = rest.split_whitespace();
        let (what, mut next) = (words.next()?, || words.next());
        match what {
            "looked" => Some(Self::Looked { engine: number(next())?, tracked: number(next())? }),
            "process" => {
                let (pid, state) = (number(next())?, next()?.chars().next()?);
                Some(Self::Process { pid, state, name: name(words) })
            }
            "port" => {
                let port = number(next())?;
                let state = match next()? {
                    "free" => PortState::Free,
                    "held" => PortState::Held,
                    "taken" => PortState::Taken,
                    _ => return None,
                };
                let holder = number(next()).map(|pid| (pid, name(words)));
                Some(Self::Port { port, state, holder })
            }
            "gpu" => Some(Self::Gpu(match next()? {
                "none" => Gpu::None,
                "unknown" => Gpu::Unknown,
                "clear" => Gpu::Clear,
                pid => Gpu::Held { pid: number(Some(pid))?, mib: number(next()), name: name(words) },
            })),
            _ => None,
        }
    }

    /// Whether this is something of ours that is left.
    #[must_use]
    pub fn is_left(&self) -> bool {
        match self {
            Self::Process { .. } | Self::Port { state: PortState::Held, .. } | Self::Gpu(Gpu::Held { .. }) => true,
            Self::Looked { .. }
            | Self::Port { state: PortState::Free | PortState::Taken, .. }
            | Self::Gpu(Gpu::None | Gpu::Unknown | Gpu::Clear) => false,
        }
    }
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

/// A name is the rest of its line, and may have spaces.
fn name<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let name = words.collect::<Vec<_>>().join(" ");
    if name.is_empty() { "?".to_owned() } else { name }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Looked { engine: 0, .. } => f.write_str("the engine's main process never started"),
            Self::Looked { engine, tracked } => write!(
                f,
                "looked for the engine's process {engine}, its session, the {tracked} processes that were remembered, and \
                 its mark on any other"
            ),
            Self::Process { pid, state, name } => {
                write!(f, "process {pid} ({name}, state {state}) could not be ended")
            }
            Self::Port { port, state: PortState::Free, .. } => write!(f, "port {port} is free"),
            Self::Port { port, state, holder } => {
                let whose = if *state == PortState::Held { "is still held by" } else { "belongs to another server," };
                match holder {
                    Some((pid, name)) => write!(f, "port {port} {whose} process {pid} ({name})"),
                    None => write!(f, "port {port} {whose} a process of another user"),
                }
            }
            Self::Gpu(Gpu::None) => f.write_str("no nvidia-smi there: nobody to ask for GPU memory"),
            Self::Gpu(Gpu::Unknown) => f.write_str("nvidia-smi does not answer: GPU memory was not looked at"),
            Self::Gpu(Gpu::Clear) => f.write_str("no process of the engine holds GPU memory"),
            Self::Gpu(Gpu::Held { pid, mib, name }) => match mib {
                Some(mib) => write!(f, "process {pid} ({name}) still holds {mib} MiB of GPU memory"),
                None => write!(f, "process {pid} ({name}) still holds GPU memory"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(
        "looked 7 3",
        false,
        "looked for the engine's process 7, its session, the 3 processes that were remembered, and its mark on any other"
    )]
    #[test_case("looked 0 0", false, "the engine's main process never started")]
    #[test_case("process 7 D VLLM::Engine Cor", true, "process 7 (VLLM::Engine Cor, state D) could not be ended")]
    #[test_case("process 7 D ", true, "process 7 (?, state D) could not be ended")]
    #[test_case("port 20001 free", false, "port 20001 is free")]
    #[test_case("port 20001 held 7 python3", true, "port 20001 is still held by process 7 (python3)")]
    #[test_case("port 20001 held  ", true, "port 20001 is still held by a process of another user")]
    #[test_case("port 20001 taken 7 nginx", false, "port 20001 belongs to another server, process 7 (nginx)")]
    #[test_case("gpu none", false, "no nvidia-smi there: nobody to ask for GPU memory")]
    #[test_case("gpu unknown", false, "nvidia-smi does not answer: GPU memory was not looked at")]
    #[test_case("gpu clear", false, "no process of the engine holds GPU memory")]
    #[test_case("gpu 7 8000 /usr/bin/python3", true, "process 7 (/usr/bin/python3) still holds 8000 MiB of GPU memory")]
    #[test_case("gpu 7 N/A ", true, "process 7 (?) still holds GPU memory")]
    fn lines(line: &str, left: bool, words: &str) {
        let seen = Seen::parse(line);
        assert_eq!(seen.as_ref().map(ToString::to_string).as_deref(), Some(words));
        assert_eq!(seen.map(|seen| seen.is_left()), Some(left));
    }

    #[test_case("" ; "nothing")]
    #[test_case("dance" ; "unknown")]
    #[test_case("looked 7" ; "half")]
    #[test_case("process x D y" ; "no number")]
    #[test_case("port 70000 free" ; "no port")]
    #[test_case("port 1 lost" ; "no state")]
    #[test_case("gpu" ; "no answer")]
    fn noise(line: &str) {
        assert_eq!(Seen::parse(line), None);
    }
}
