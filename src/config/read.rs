//! From a file's text to what it says, or to all that is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::read_arguments;
use super::block::Block;
use super::values::{
    boolean, choice, command, duration, gpus, path, port, size, some_duration, text, texts, url_path, whole,
};
use super::written::{
    BackendName, CallersBlock, EngineBlock, Fleet, HostBlock, Launcher, Listen, ProfileBlock, ProfileTool, RouteName,
    ServeBlock, ServerBlock, SlurmBlock,
};
use super::yaml::{self, Node, Value};
use super::{ConfigError, Problem, Sourced, Variable, WrittenArg};

/// The largest file taken, in bytes: a configuration is written by hand.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

/// The keys that make a file one of a fleet.
const OF_FLEET: [&str; 5] = ["models", "defaults", "hosts", "callers", "default_model"];

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub enum File {
    /// One server, and how this program is reached.
    Single(Box<Fleet>, Box<ServerBlock>),
    /// Several models.
    Fleet(Box<Fleet>),
}

/// Reads a configuration file.
///
/// # Errors
/// See [`ConfigError`].
pub fn read_file(path: &Path) -> Result<File, ConfigError> {
    let text = read_text(path)?;
    parse_file(path, &text)
}

/// Reads a mapping or a list of arguments, as `VLLM_CONFIG` names one. JSON is YAML.
///
/// # Errors
/// See [`ConfigError`].
pub fn read_arguments_file(path: &Path) -> Result<Vec<WrittenArg>, ConfigError> {
    let text = read_text(path)?;
    parse_arguments(&text)
        .map_err(|problem| Problem { what: format!("the file {}", problem.what), ..problem })
        .map_err(|problem| ConfigError::Problems { path: path.to_owned(), problems: vec![problem] })
}

/// Reads the same from the text of a request.
///
/// # Errors
/// What is wrong with it.
pub fn parse_arguments(text: &str) -> Result<Vec<WrittenArg>, Problem> {
    let node = yaml::parse(text)?;
    read_arguments(&node).map_err(|what| Problem::new(node.line, what))
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let error = |source| ConfigError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(error)?.len() > MAX_BYTES {
        return Err(ConfigError::TooLong { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(error)
}

/// Reads the text of a configuration file; `path` is only told.
///
/// # Errors
/// All problems at once, in the order of their lines.
pub fn parse_file(path: &Path, text: &str) -> Result<File, ConfigError> {
    let mut problems = Vec::new();
    let file = match yaml::parse(text) {
        Ok(node) => Some(top(&Arc::new(path.to_owned()), &node, &mut problems)),
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    match file {
        Some(file) if problems.is_empty() => Ok(file),
        Some(_) | None => {
            problems.sort_by_key(|problem| problem.line);
            Err(ConfigError::Problems { path: path.to_owned(), problems })
        }
    }
}

fn top(path: &Arc<PathBuf>, node: &Node, problems: &mut Vec<Problem>) -> File {
    let mut block = Block::of(path, "", node, problems);
    let listen = block.within("listen", listen).map(|listen| listen.value);
    let access_key = block.take("access_key", key_place);
    let mut fleet = Fleet { listen, access_key, ..Fleet::default() };
    let file = if OF_FLEET.iter().any(|key| block.has(key)) {
        fleet.hosts = block.named("hosts", |_, block| host(block));
        fleet.defaults = block.within("defaults", server).map(|defaults| defaults.value);
        fleet.models = block.named("models", |_, block| server(block));
        fleet.default_model = block.take("default_model", text);
        fleet.callers = block.within("callers", callers);
        for (key, line) in block.misplaced(&server_keys()) {
            let what = format!("'{key}' belongs to a model, or under 'defaults', in a file with 'models'");
            block.problem(line, what);
        }
        check_fleet(&mut block, &fleet, node.line);
        File::Fleet(Box::new(fleet))
    } else {
        let server = server(&mut block);
        if matches!(node.value, Value::Map(_) | Value::Null) {
            check_server(&mut block, "", &server, None, node.line);
        }
        File::Single(Box::new(fleet), Box::new(server))
    };
    block.finish();
    file
}

fn callers(block: &mut Block<'_, '_>) -> CallersBlock {
    CallersBlock {
        create: block.take("create", boolean),
        harmless: block.take("harmless", boolean),
        arguments: block.take("arguments", texts),
    }
}

/// The keys of a server, from the one place that names them: its reader.
fn server_keys() -> Vec<&'static str> {
    let (path, mut problems) = (Arc::new(PathBuf::new()), Vec::new());
    let nothing = Node { line: 1, value: Value::Null };
    let mut block = Block::of(&path, "", &nothing, &mut problems);
    server(&mut block);
    block.known()
}

fn check_fleet(block: &mut Block<'_, '_>, fleet: &Fleet, line: usize) {
    let may_create = fleet.callers.iter().any(|callers| callers.value.create.as_ref().is_some_and(|on| on.value));
    if fleet.models.is_empty() && !may_create {
        block.problem(line, "there is no model; write at least one under 'models', as NAME: {model: …}");
    }
    if let Some(default) = &fleet.default_model
        && !fleet.models.iter().any(|(name, _)| *name == default.value)
    {
        let names: Vec<&str> = fleet.models.iter().map(|(name, _)| name.as_str()).collect();
        let meant = super::nearest(&default.value, names.iter().copied());
        let meant =
            meant.map_or_else(|| format!("known: {}", names.join(", ")), |meant| format!("did you mean '{meant}'?"));
        let at = default.source.line().unwrap_or(line);
        block.problem(at, format!("'default_model' is '{}', which 'models' does not have; {meant}", default.value));
    }
    let names: Vec<&str> = fleet.hosts.iter().map(|(name, _)| name.as_str()).collect();
    for (name, found) in &fleet.hosts {
        if found.value.login.is_none() {
            let line = found.source.line().unwrap_or(line);
            block.problem(line, format!("'hosts.{name}' has no 'login'; write where it is, as [user@]host[:port]"));
        }
    }
    let blocks = fleet.models.iter().map(|(name, model)| (format!("models.{name}."), &model.value));
    let all = fleet.defaults.iter().map(|defaults| ("defaults.".to_owned(), defaults)).chain(blocks);
    for (path, server) in all {
        let Some(host) = &server.host else { continue };
        if !names.is_empty() && !names.contains(&host.value.as_str()) && host.value != "local" {
            let meant = super::nearest(&host.value, names.iter().copied());
            let meant = meant.map_or_else(
                || format!("known: {}, local", names.join(", ")),
                |meant| format!("did you mean '{meant}'?"),
            );
            block.problem(
                host.source.line().unwrap_or(line),
                format!("'{path}host' is '{}', which 'hosts' does not have; {meant}", host.value),
            );
        }
    }
    for (name, model) in &fleet.models {
        let path = format!("models.{name}.");
        check_server(block, &path, &model.value, fleet.defaults.as_ref(), model.source.line().unwrap_or(line));
        if name.trim().is_empty() {
            block.problem(line, "a model has an empty name");
        }
    }
}

/// What a server must have, and what does not go together.
fn check_server(block: &mut Block<'_, '_>, path: &str, own: &ServerBlock, defaults: Option<&ServerBlock>, line: usize) {
    let is_told = |key: &str| ["", "defaults.", path].iter().any(|path| block.is_told(&format!("{path}{key}")));
    let (command_told, model_told) = (is_told("command"), is_told("model"));
    let server = defaults.map_or_else(|| own.clone(), |defaults| own.clone().or(defaults.clone()));
    let custom = server.backend_name() == BackendName::Custom;
    if custom && server.command.is_none() && !command_told {
        block.problem(line, "'command' is missing; a custom backend has no command of its own");
    }
    if !custom && server.model.is_none() && !model_told {
        block.problem(line, "'model' is missing; write its name or path, as in 'model: meta-llama/Llama-2-7b-hf'");
    }
    // What a model inherits may be meant for its neighbours.
    let config = own.config.as_ref();
    let (wrong, written, right) = match server.backend_name() {
        BackendName::Vllm => {
            (config.and_then(|config| config.server_args.as_ref()), "config.server_args", "config.api_server_args")
        }
        BackendName::Sglang | BackendName::Custom => {
            (config.and_then(|config| config.api_server_args.as_ref()), "config.api_server_args", "config.server_args")
        }
    };
    if let Some(wrong) = wrong {
        let line = wrong.source.line().unwrap_or(line);
        block.problem(line, format!("'{written}' is not for {}, which takes '{right}'", server.backend_name()));
    }
    if let (Some(launcher), Some(_)) = (&own.launcher, &own.slurm)
        && launcher.value == Launcher::Process
    {
        let line = launcher.source.line().unwrap_or(line);
        block.problem(line, "'launcher' is process, and there is a 'slurm' block; leave one of them out");
    }
}

fn listen(block: &mut Block<'_, '_>) -> Listen {
    let address = |node: &Node| {
        let text = text(node)?;
        text.parse().map_err(|_| format!("must be an address such as 127.0.0.1, and is '{text}'"))
    };
    let any_port = |node: &Node| whole(node, 0, u16::MAX.into()).map(|port| u16::try_from(port).unwrap_or_default());
    Listen { host: block.take("host", address), port: block.take("port", any_port) }
}

/// Never the key itself: a file is shown, copied and kept with others.
fn key_place(node: &Node) -> Result<String, String> {
    let text = text(node)?;
    let is_place = ["env:", "file:"].iter().any(|kind| text.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()));
    if is_place {
        Ok(text)
    } else {
        Err("takes the place of a key, env:NAME or file:PATH, and not the key itself".to_owned())
    }
}

fn host(block: &mut Block<'_, '_>) -> HostBlock {
    HostBlock {
        login: block.take("login", text),
        jump: block.take("jump", text),
        identity: block.take("identity", texts),
        ssh_config: block.take("ssh_config", path),
        login_name: block.take("login_name", text),
        login_port: block.take("login_port", port),
        ssh_option: block.take("ssh_option", texts),
        accept_new_host_key: block.take("accept_new_host_key", boolean),
    }
}

fn server(block: &mut Block<'_, '_>) -> ServerBlock {
    ServerBlock {
        backend: block.take("backend", |node| choice(node, BackendName::WORDS)),
        model: block.take("model", text),
        aliases: block.take("aliases", texts),
        command: block.take("command", command),
        port: block.take("port", port),
        output_dir: block.take("output_dir", path),
        env_vars: env_vars(block),
        config: block.within("config", engine).map(|config| config.value),
        profile: block.within("profile", profile),
        serve_config: block
            .within("serve_config", |block| ServeBlock { model_size: block.take("model_size", size) })
            .map(|found| found.value),
        ready_path: block.take("ready_path", url_path),
        heartbeat_interval: block.take("heartbeat_interval", some_duration),
        heartbeat_timeout: block.take("heartbeat_timeout", duration),
        startup_timeout: block.take("startup_timeout", some_duration),
        queue_timeout: block.take("queue_timeout", some_duration),
        stop_timeout: block.take("stop_timeout", some_duration),
        idle_timeout: block.take("idle_timeout", duration),
        debug_mode: block.take("debug_mode", boolean),
        host: block.take("host", text),
        launcher: block.take("launcher", |node| choice(node, Launcher::WORDS)),
        slurm: block.within("slurm", slurm).map(|slurm| slurm.value),
        route: block.take("route", |node| choice(node, RouteName::WORDS)),
        gpus: block.take("gpus", gpus),
        replicas: block.take("replicas", |node| whole(node, 1, 1_000).map(|n| u16::try_from(n).unwrap_or(1))),
        chdir: block.take("chdir", text),
        prelude: block.take("prelude", text),
        login_shell: block.take("login_shell", boolean),
    }
}

fn engine(block: &mut Block<'_, '_>) -> EngineBlock {
    EngineBlock {
        api_server_args: block.take("api_server_args", read_arguments),
        server_args: block.take("server_args", read_arguments),
    }
}

fn slurm(block: &mut Block<'_, '_>) -> SlurmBlock {
    SlurmBlock {
        args: block.take("args", command),
        batch: block.take("batch", boolean),
        loopback_user: block.take("loopback_user", text),
        loopback_host: block.take("loopback_host", text),
    }
}

fn profile(block: &mut Block<'_, '_>) -> ProfileBlock {
    ProfileBlock {
        enabled: block.take("enabled", boolean),
        tool: block.take("tool", |node| choice(node, ProfileTool::WORDS)),
        output_dir: block.take("output_dir", path),
        args: block.take("args", command),
    }
}

/// Each variable in its own line. What is null is not set.
fn env_vars(block: &mut Block<'_, '_>) -> Vec<Sourced<Variable>> {
    block.pairs("env_vars", |name, node| {
        let value = match &node.value {
            Value::Text(text) | Value::Number(text) => text.clone(),
            Value::Bool(known) => known.to_string(),
            Value::Null => return Ok(None),
            Value::List(_) | Value::Map(_) => return Err(format!("must be a text, and is {}", node.kind())),
        };
        Variable::new(name, value).map(Some).map_err(|error| format!("cannot be set: {error}"))
    })
}
