//! The environment variables that say something to this program, each once, and what they say.

use std::path::PathBuf;

use secrecy::SecretString;

use super::values;
use super::written::{Listen, ServerBlock};
use super::yaml::{Node, Value, plain};
use super::{ArgValue, Source, Sourced, Variable, WrittenArg};

/// A variable that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KnownVariable {
    /// Its name.
    pub name: &'static str,
    /// What it sets.
    pub meaning: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// Who it is for.
    pub reader: Reader,
}

/// Who a variable is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// This program alone: an engine never sees it, for it is a secret, or no variable of vLLM's though named like one.
    Us,
    /// The engine, as all else of `.env` and `env_vars`; one that runs on this machine inherits it.
    Engine,
    /// This program; it is no secret, and nothing hides it.
    System,
}

const fn known(name: &'static str, default: &'static str, reader: Reader, meaning: &'static str) -> KnownVariable {
    KnownVariable { name, meaning, default, reader }
}

/// All variables, in the order in which they are told.
pub const VARIABLES: &[KnownVariable] = &[
    known("APP_HOST", "127.0.0.1", Reader::System, "listen on this address, as --host"),
    known("APP_PORT", "8085", Reader::System, "listen on this port, as --port"),
    known("APP_DEBUG", "false", Reader::System, "show after each end of an engine what was looked at, as --debug"),
    known(
        "VLLM_BASE_PORT",
        "a free port",
        Reader::Us,
        "the engines' first port, the next model's is one more; one that 'port' or --target-port gives wins",
    ),
    known("VLLM_LAUNCH_PORT_START", "a free port", Reader::Us, "the same as VLLM_BASE_PORT"),
    known(
        "VLLM_LAUNCH_PORT_END",
        "65535",
        Reader::Us,
        "the engines' last port; on this machine no more run at once than there are ports, elsewhere a model beyond it gets a free one",
    ),
    known(
        "VLLM_MAX_INSTANCES",
        "20",
        Reader::Us,
        "how many instances there may be when a caller of the API wants one more; where it is set, also how many engines may run on this machine at once",
    ),
    known("VLLM_DEFAULT_DTYPE", "vLLM's own", Reader::Us, "--dtype of each vLLM from a file that does not say it"),
    known("VLLM_DEFAULT_KV_CACHE_DTYPE", "vLLM's own", Reader::Us, "--kv-cache-dtype, likewise"),
    known(
        "VLLM_DEFAULT_TRUST_REMOTE_CODE",
        "false",
        Reader::Us,
        "--trust-remote-code, likewise; it lets a model run its own code",
    ),
    known(
        "VLLM_DEFAULT_TIMEOUT",
        "30m",
        Reader::Us,
        "idle_timeout of each model that does not say it, as --idle-timeout",
    ),
    known("VLLM_CONFIG", "none", Reader::Us, "a JSON or YAML file of arguments that all vLLM from a file share"),
    known("VLLM_BOOTSTRAP_LOG_DIR", "the state folder", Reader::Us, "the folder of the engines' logs, as 'output_dir'"),
    known("LLM_PROXY_ACCESS_KEY", "none", Reader::Us, "the key that every client is asked for"),
    known("VLLM_ACCESS_KEY", "none", Reader::Us, "the same, where LLM_PROXY_ACCESS_KEY is not set"),
    known("LLM_PROXY_LOG", "warn", Reader::Us, "what is logged, in the words of tracing's EnvFilter; wins over -v"),
    known("HF_ENDPOINT", "the hub", Reader::Engine, "where models are downloaded from"),
    known("HF_HOME", "~/.cache/huggingface", Reader::Engine, "where models are kept"),
    known("HTTP_PROXY", "none", Reader::Engine, "the engine's way out for http"),
    known("HTTPS_PROXY", "none", Reader::Engine, "the engine's way out for https"),
    known("XDG_STATE_HOME", "~/.local/state", Reader::System, "where the state folders are"),
    known("NO_COLOR", "colour on a terminal", Reader::System, "no colour, where it is set"),
];

/// Whether a variable is for this program alone: an engine, or a command of the user's, must not see it.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    let listed = VARIABLES.iter().any(|known| known.name == name && known.reader == Reader::Us);
    listed || name.starts_with("LLM_PROXY_")
}

/// What the environment and `.env` say; a variable of the environment wins.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// How this program is reached.
    pub listen: Listen,
    /// The access key itself.
    pub access_key: Option<Sourced<SecretString>>,
    /// What holds whatever a file says.
    pub server: ServerBlock,
    /// What holds where a model says nothing for itself.
    pub defaults: ServerBlock,
    /// Arguments of each vLLM that does not say them for itself.
    pub arguments: Vec<Sourced<WrittenArg>>,
    /// The file of arguments that all vLLM share.
    pub shared_arguments: Option<Sourced<PathBuf>>,
    /// The engines' first port.
    pub first_port: Option<Sourced<u16>>,
    /// The engines' last port.
    pub last_port: Option<Sourced<u16>>,
    /// How many instances there may be.
    pub max_instances: Option<Sourced<u32>>,
}

/// Variables that cannot be used; one sentence each, all at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n       "))]
pub struct EnvironmentError(
    /// What is wrong.
    pub Vec<String>,
);

/// Both places that a variable may be set in.
struct Lookup<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    dotenv: &'a [Variable],
    faults: Vec<String>,
}

impl Lookup<'_> {
    fn raw(&self, name: &'static str) -> Option<Sourced<String>> {
        if let Some(value) = (self.environment)(name) {
            return Some(Sourced::new(value, Source::Environment(name)));
        }
        let found = self.dotenv.iter().find(|variable| variable.name() == name)?;
        Some(Sourced::new(found.value().to_owned(), Source::DotEnv(name)))
    }

    /// What is empty is not set, as everywhere in shells.
    fn get<T>(&mut self, name: &'static str, read: impl Fn(&Node) -> Result<T, String>) -> Option<Sourced<T>> {
        let Sourced { value, source } = self.raw(name)?;
        let node = Node { line: 1, value: plain(value.trim()) };
        if node.value == Value::Null {
            return None;
        }
        match read(&node) {
            Ok(value) => Some(Sourced::new(value, source)),
            Err(what) => {
                self.faults.push(format!("{source} {what}"));
                None
            }
        }
    }
}

/// `1` and `yes` are what people write into an environment.
fn switch(node: &Node) -> Result<bool, String> {
    match &node.value {
        Value::Number(text) if text == "1" => Ok(true),
        Value::Number(text) if text == "0" => Ok(false),
        Value::Text(text) if ["yes", "on"].contains(&text.to_ascii_lowercase().as_str()) => Ok(true),
        Value::Text(text) if ["no", "off"].contains(&text.to_ascii_lowercase().as_str()) => Ok(false),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            values::boolean(node)
        }
    }
}

/// Reads the variables, from an environment and from what `.env` holds.
///
/// # Errors
/// A value of one of them cannot be used.
pub fn read_environment(
    environment: &dyn Fn(&str) -> Option<String>,
    dotenv: &[Variable],
) -> Result<Environment, EnvironmentError> {
    let mut look = Lookup { environment, dotenv, faults: Vec::new() };
    let address = |node: &Node| {
        let text = values::text(node)?;
        text.parse().map_err(|_| format!("must be an address such as 127.0.0.1, and is '{text}'"))
    };
    let any_port = |node: &Node| values::whole(node, 0, 65_535).map(|port| u16::try_from(port).unwrap_or_default());
    let listen = Listen { host: look.get("APP_HOST", address), port: look.get("APP_PORT", any_port) };
    let server = ServerBlock {
        debug_mode: look.get("APP_DEBUG", switch),
        output_dir: look.get("VLLM_BOOTSTRAP_LOG_DIR", values::path),
        ..ServerBlock::default()
    };
    let defaults =
        ServerBlock { idle_timeout: look.get("VLLM_DEFAULT_TIMEOUT", values::duration), ..ServerBlock::default() };
    let first_port = first_port(&mut look);
    let last_port = look.get("VLLM_LAUNCH_PORT_END", values::port);
    if let (Some(first), Some(last)) = (&first_port, &last_port)
        && first.value > last.value
    {
        look.faults.push(format!("{} is {}, before the first port, {}", last.source, last.value, first.value));
    }
    let read = Environment {
        listen,
        // An empty key is not "no key": whoever set it wants one asked for.
        access_key: look
            .raw("LLM_PROXY_ACCESS_KEY")
            .or_else(|| look.raw("VLLM_ACCESS_KEY"))
            .map(|found| Sourced::new(SecretString::from(found.value), found.source)),
        server,
        defaults,
        arguments: arguments(&mut look),
        shared_arguments: look.get("VLLM_CONFIG", values::path),
        first_port,
        last_port,
        max_instances: look.get("VLLM_MAX_INSTANCES", |node| values::whole(node, 1, 10_000)),
    };
    if look.faults.is_empty() { Ok(read) } else { Err(EnvironmentError(look.faults)) }
}

/// Two names for one setting.
fn first_port(look: &mut Lookup<'_>) -> Option<Sourced<u16>> {
    let (one, other) = (look.get("VLLM_BASE_PORT", values::port), look.get("VLLM_LAUNCH_PORT_START", values::port));
    if let (Some(one), Some(other)) = (&one, &other)
        && one.value != other.value
    {
        let both = format!("{} is {}, and {} is {}", one.source, one.value, other.source, other.value);
        look.faults.push(format!("{both}; they mean the same, so unset one"));
    }
    one.or(other)
}

fn arguments(look: &mut Lookup<'_>) -> Vec<Sourced<WrittenArg>> {
    let word = |node: &Node| values::text(node).map(ArgValue::Text);
    let flag = |node: &Node| switch(node).map(ArgValue::Bool);
    [
        ("dtype", look.get("VLLM_DEFAULT_DTYPE", word)),
        ("kv-cache-dtype", look.get("VLLM_DEFAULT_KV_CACHE_DTYPE", word)),
        ("trust-remote-code", look.get("VLLM_DEFAULT_TRUST_REMOTE_CODE", flag)),
    ]
    .into_iter()
    .filter_map(|(key, found)| found.map(|found| Sourced::new(WrittenArg::new(key, found.value), found.source)))
    .collect()
}
