//! The engine's command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// A small engine for tests, OpenAI-compatible, that misbehaves on demand.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) mode: Option<Mode>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// What the binary can be instead of an engine.
#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Wait for ever: the child process of an engine.
    Linger {
        /// Take no notice of SIGTERM
        #[arg(long)]
        ignore_term: bool,
    },
    /// Carry connections from one place to another, until a signal ends it.
    Relay(RelayArgs),
}

/// From where to where a relay carries connections.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct RelayArgs {
    /// `unix:PATH` or ADDR:PORT (port 0: a free one, printed)
    #[arg(long, value_parser = parse_endpoint)]
    pub(crate) listen: Endpoint,
    /// `unix:PATH` or ADDR:PORT
    #[arg(long, value_parser = parse_endpoint)]
    pub(crate) to: Endpoint,
    /// How much later each byte arrives, each way
    #[arg(long, value_parser = parse_duration, default_value = "0")]
    pub(crate) delay: Duration,
}

/// One end of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Unix(PathBuf),
    Tcp(String),
}

/// How the engine behaves.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct EngineArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Where to listen; 0 for a free port, which is printed
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// Listen on this Unix socket instead
    #[arg(long, value_name = "PATH")]
    pub(crate) uds: Option<PathBuf>,
    /// The name in /v1/models; may be given more than once
    #[arg(long, default_value = "test-model")]
    pub(crate) model: Vec<String>,
    /// Wait this long before listening
    #[arg(long, value_parser = parse_duration, default_value = "0")]
    pub(crate) start_delay: Duration,
    /// After the start delay, wait until this file exists
    #[arg(long, value_name = "FILE")]
    pub(crate) start_when: Option<PathBuf>,
    /// Before that, show a bar that is written over, a quarter each time this long is over
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    pub(crate) bar: Option<Duration>,
    /// Listen, but answer /health with 503 for this long
    #[arg(long, value_parser = parse_duration, default_value = "0")]
    pub(crate) load_delay: Duration,
    /// Answer /health only once, and then never again
    #[arg(long)]
    pub(crate) health_once: bool,
    /// After the start delay, print this and exit with --exit
    #[arg(long, value_name = "TEXT")]
    pub(crate) fail: Option<String>,
    /// The exit code of --fail, --die-after and --die-after-tokens
    #[arg(long, default_value_t = 1)]
    pub(crate) exit: u8,
    /// Take no notice of the first N SIGTERMs
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) ignore_terms: u32,
    /// At the SIGTERM that is obeyed, end what streams with `[DONE]`, as vLLM does with what it aborts
    #[arg(long)]
    pub(crate) done_at_term: bool,
    /// The pause before each token (a bare number: milliseconds)
    #[arg(long, value_parser = parse_milliseconds, default_value = "0")]
    pub(crate) token_delay: Duration,
    /// Tokens of an answer, unless the request's `max_tokens` is less
    #[arg(long, default_value_t = 8)]
    pub(crate) tokens: u64,
    /// Exit in the middle of a stream, once this many tokens of it are out
    #[arg(long, value_name = "N")]
    pub(crate) die_after_tokens: Option<u64>,
    /// With --die-after-tokens: exit only once so many answers have come that far, and wait for the others until then
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) die_together: u64,
    /// Exit this long after listening
    #[arg(long, value_parser = parse_duration)]
    pub(crate) die_after: Option<Duration>,
    /// Start N child processes, which outlive the engine
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) children: u32,
    /// Each child in a session of its own
    #[arg(long)]
    pub(crate) children_setsid: bool,
    /// The children take no notice of SIGTERM
    #[arg(long)]
    pub(crate) children_ignore_term: bool,
    /// Be profiled as vLLM is, by this
    #[arg(long = "profiler-config.profiler")]
    pub(crate) profiler: Option<String>,
    /// Write traces into this folder
    #[arg(long = "profiler-config.torch_profiler_dir", requires = "profiler")]
    pub(crate) profiler_dir: Option<PathBuf>,
    /// Answer 401 on /v1 without this key as Bearer
    #[arg(long)]
    pub(crate) api_key: Option<String>,
    /// The same, with the key in this environment variable
    #[arg(long, value_name = "NAME")]
    pub(crate) api_key_env: Option<String>,
    /// Print N numbered lines at the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) log_lines: u64,
    /// Close a connection that has been idle for this long, as uvicorn does after 5 s
    #[arg(long, value_parser = parse_duration)]
    pub(crate) keep_alive: Option<Duration>,
}

impl EngineArgs {
    /// Where to listen.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match &self.uds {
            Some(path) => Endpoint::Unix(path.clone()),
            None if self.host.contains(':') => Endpoint::Tcp(format!("[{}]:{}", self.host, self.port)),
            None => Endpoint::Tcp(format!("{}:{}", self.host, self.port)),
        }
    }
}

/// Reads `200ms`, `1.5s`, `2m`, or a bare number of seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_with_unit(text, "s")
}

fn parse_milliseconds(text: &str) -> Result<Duration, String> {
    parse_with_unit(text, "ms")
}

fn parse_with_unit(text: &str, default_unit: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| format!("not a duration: {text}"))?;
    let scale = match if unit.is_empty() { default_unit } else { unit } {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        other => return Err(format!("no unit of time: {other}")),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|error| error.to_string())
}

fn parse_endpoint(text: &str) -> Result<Endpoint, String> {
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Ok(Endpoint::Unix(PathBuf::from(path))),
        None if text.contains(':') => Ok(Endpoint::Tcp(text.to_owned())),
        Some(_) | None => Err(format!("neither unix:PATH nor ADDR:PORT: {text}")),
    }
}
