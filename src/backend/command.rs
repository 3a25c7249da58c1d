//! Makes of the user's command the one that is run: unchanged but for what the engine binds and its port.

use std::fmt;

use super::argv::{self, Occurrence};
use super::engine::{OwnKeys, recognise};
use super::kind::Backend;
use super::placeholder::{HOST, PORT, SOCKET, has_placeholder, next_placeholder};
use super::program::{find, shell_string};
use crate::host::Bind;
use crate::host::quote::Word;

/// A command that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedCommand {
    /// Its words.
    pub words: Vec<Word>,
    /// What the user should know.
    pub warnings: Vec<CommandWarning>,
}

/// A command cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is none.
    #[error("there is no command to run; write it after the options, as in: vllm serve MODEL")]
    Empty,
    /// It has `{model}`, and no model was named.
    #[error("the command has {{model}} in it, and no model is named")]
    NoModel,
    /// The model would be read as shell syntax.
    #[error("the model '{model}' cannot be put into a shell string; write it there yourself, in quotes")]
    ModelInShell {
        /// The model.
        model: String,
    },
    /// What the engine should bind is no host.
    #[error("'{host}' is not a host name or an address that an engine could bind")]
    Host {
        /// What was given.
        host: String,
    },
    /// The engine would listen on a Unix socket instead of a port.
    #[error("the engine must listen on a port; take {flag} out of the command, or give --engine-socket")]
    UnixSocket {
        /// The flag.
        flag: &'static str,
    },
    /// The command wants a socket, and none is made.
    #[error("the command has {{socket}} in it; give --engine-socket, which makes one")]
    SocketNotAsked,
    /// The command wants what there is not beside a socket.
    #[error(
        "the command has {placeholder} in it, and with --engine-socket there is none; write {{socket}} where the engine \
         takes the path of its socket"
    )]
    NoPort {
        /// What it has.
        placeholder: &'static str,
    },
    /// The engine would listen on a port for all.
    #[error(
        "{engine} is told of no Unix socket: write {{socket}} where its command takes the path of one; if it takes none, \
         leave --engine-socket out"
    )]
    NoSocket {
        /// What people call its kind.
        engine: &'static str,
    },
    /// The engine would speak TLS.
    #[error(
        "the engine must speak plain HTTP, which travels inside the SSH connection; take {flag} out of the command"
    )]
    Tls {
        /// The flag.
        flag: &'static str,
    },
}

/// What the user should know of a command that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandWarning {
    /// A shell string does not use the port that the engine is given.
    ShellIgnoresPort,
    /// A shell string has a port of its own, which is left alone.
    ShellHasOwnPort,
    /// The engine takes a key only in its command, and has none there: who reaches its port may use it.
    NoKey(Backend),
}

impl fmt::Display for CommandWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShellIgnoresPort => f.write_str(
                "the shell command uses neither $PORT nor {port}, so the engine may listen where nobody looks; \
                 add --host $HOST --port $PORT to the engine's arguments",
            ),
            Self::ShellHasOwnPort => f.write_str(
                "the shell command has a --port of its own, which is not changed inside a string; write --port $PORT",
            ),
            Self::NoKey(backend) => write!(
                f,
                "{} takes a key only from its command line, so it runs without one, and who can reach its port on the \
                 node can use it; add --api-key to the command",
                backend.name()
            ),
        }
    }
}

/// What is put into a command.
struct Values<'a> {
    bind: &'a Bind,
    model: Option<&'a str>,
    in_shell: bool,
}

/// Makes the command that is run.
///
/// Where the engine is to listen on a Unix socket, the flag for that is set, or stands for `{socket}` in the command, which a
/// shell string finds in `$SOCKET`. Else:
///
/// `--host` and `--port` of the engine are replaced where they stand, and others of the same are left out. Where there
/// are none, they are added at the end, unless the command has `{host}` or `{port}`, or is a shell string, which finds
/// them in `$HOST` and `$PORT`. `{model}` becomes the model. No placeholder is seen in `${port}` and `{{port}}`: the
/// one is a shell's variable, the other is of a template. Which words are the engine's: see `program.rs`.
///
/// # Errors
/// See [`CommandError`].
pub fn prepare(command: &[String], bind: &Bind, model: Option<&str>) -> Result<PreparedCommand, CommandError> {
    if command.iter().all(String::is_empty) {
        return Err(CommandError::Empty);
    }
    let script = shell_string(command);
    let engine = recognise(command);
    let values = Values { bind, model, in_shell: script.is_some() };
    let mut words = command.iter().map(|word| values.fill(word)).collect::<Result<Vec<_>, _>>()?;
    let mut warnings = Vec::new();
    if script.is_none() {
        refuse_tls(command)?;
    }
    let (host, port) = match bind {
        Bind::Port { host, port } => (host.as_str(), *port),
        // Nobody else can reach it, whatever its key.
        Bind::Socket => return Ok(PreparedCommand { words: with_socket(command, words, engine.backend)?, warnings }),
    };
    if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-_%".contains(c)) {
        return Err(CommandError::Host { host: host.to_owned() });
    }
    if let Some(script) = script {
        warnings.extend(shell_warning(script, port));
    } else {
        words = with_host_and_port(command, words, host, port)?;
    }
    if engine.backend.key_variables().is_empty() && matches!(engine.own_keys, OwnKeys::None) {
        warnings.push(CommandWarning::NoKey(engine.backend));
    }
    Ok(PreparedCommand { words, warnings })
}

fn shell_warning(script: &str, port: Option<u16>) -> Option<CommandWarning> {
    let uses_port = script.contains("$PORT") || script.contains("${PORT") || has_placeholder(script, PORT);
    let names_given_port = port.is_some_and(|port| script.contains(&port.to_string()));
    if uses_port || names_given_port {
        None
    } else if script.contains("--port") {
        Some(CommandWarning::ShellHasOwnPort)
    } else {
        Some(CommandWarning::ShellIgnoresPort)
    }
}

fn refuse_tls(command: &[String]) -> Result<(), CommandError> {
    let from = find(command).1.first_argument;
    let given = |flag: &&str| !argv::occurrences(command, from, flag).is_empty();
    let flag = ["--ssl-certfile", "--ssl-cert-file", "--ssl-keyfile"].into_iter().find(given);
    flag.map_or(Ok(()), |flag| Err(CommandError::Tls { flag }))
}

fn with_host_and_port(
    command: &[String],
    words: Vec<Word>,
    host: &str,
    port: Option<u16>,
) -> Result<Vec<Word>, CommandError> {
    let (backend, found) = find(command);
    let from = found.first_argument;
    let given = |flag: &&str| !argv::occurrences(command, from, flag).is_empty();
    if let Some(flag) = backend.socket_flag().filter(given) {
        return Err(CommandError::UnixSocket { flag });
    }
    let placed = |placeholder: &str| command.iter().any(|word| has_placeholder(word, placeholder));
    let words = put(command, words, from, (Backend::HOST_FLAG, placed(HOST)), &Word::literal(host));
    // The words moved where a duplicate was left out, so the places are looked for in what there is now.
    let texts: Vec<String> = words.iter().map(Word::as_written).collect();
    let mut port_word = Word::default();
    port_word.push_port(port);
    Ok(put(&texts, words, from, (Backend::PORT_FLAG, placed(PORT)), &port_word))
}

/// Never a command that would listen on a port for all instead.
fn with_socket(command: &[String], words: Vec<Word>, backend: Backend) -> Result<Vec<Word>, CommandError> {
    let script = shell_string(command);
    let placed = command.iter().any(|word| has_placeholder(word, SOCKET));
    if let (Some(flag), None) = (backend.socket_flag(), script) {
        let mut socket = Word::default();
        socket.push_socket();
        return Ok(put(command, words, find(command).1.first_argument, (flag, placed), &socket));
    }
    let in_script = script.is_some_and(|script| script.contains("$SOCKET") || script.contains("${SOCKET"));
    if in_script || placed {
        return Ok(words);
    }
    Err(CommandError::NoSocket { engine: backend.name() })
}

/// `words` with `flag` set to `value`, unless the value was `placed` where the command says. `texts` are the same words as
/// text, to look for the flag: a placeholder whose value is known is no longer seen in them.
fn put(texts: &[String], words: Vec<Word>, from: usize, flag: (&str, bool), value: &Word) -> Vec<Word> {
    let (flag, placed) = flag;
    let found = argv::occurrences(texts, from, flag);
    if found.is_empty() {
        let added = if placed { vec![] } else { vec![Word::literal(flag), value.clone()] };
        return words.into_iter().chain(added).collect();
    }
    let written = |place: &Occurrence| {
        if place.attached() {
            let mut word = Word::literal(format!("{}=", place.spelled()));
            word.push(value);
            vec![word]
        } else {
            vec![Word::literal(place.spelled()), value.clone()]
        }
    };
    argv::replace(words, &found, written)
}

impl Values<'_> {
    /// A word with its placeholders filled.
    fn fill(&self, text: &str) -> Result<Word, CommandError> {
        let mut word = Word::literal("");
        let mut done = 0;
        while let Some((at, name)) = next_placeholder(text, done) {
            word.push_text(text.get(done..at).unwrap_or_default());
            done = at + name.len();
            match (name, self.bind) {
                (HOST, Bind::Port { host, .. }) => word.push_text(host),
                (PORT, Bind::Port { port, .. }) => word.push_port(*port),
                (SOCKET, Bind::Socket) => word.push_socket(),
                (SOCKET, Bind::Port { .. }) => return Err(CommandError::SocketNotAsked),
                (HOST | PORT, Bind::Socket) => return Err(CommandError::NoPort { placeholder: name }),
                (_, _) => word.push_text(self.model()?),
            }
        }
        word.push_text(text.get(done..).unwrap_or_default());
        Ok(word)
    }

    fn model(&self) -> Result<&str, CommandError> {
        let model = self.model.ok_or(CommandError::NoModel)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+,=".contains(c);
        if self.in_shell && !model.chars().all(plain) {
            return Err(CommandError::ModelInShell { model: model.to_owned() });
        }
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    /// A free port, chosen where the engine runs.
    const FREE: Option<u16> = None;

    fn run(command: &[String], port: Option<u16>) -> Result<PreparedCommand, CommandError> {
        prepare(command, &Bind::Port { host: "0.0.0.0".to_owned(), port }, Some("org/M"))
    }

    fn shown(line: &str, port: Option<u16>) -> String {
        let prepared = run(&shlex::split(line).unwrap(), port).unwrap();
        prepared.words.iter().map(Word::as_written).collect::<Vec<_>>().join(" ")
    }

    #[test_case("vllm serve m", "vllm serve m --host 0.0.0.0 --port {port}"; "added")]
    #[test_case("vllm serve m --host 127.0.0.1 --port 8084 --x", "vllm serve m --host 0.0.0.0 --port {port} --x"; "replaced in place")]
    #[test_case("vllm serve m --port=8084 --host=::1", "vllm serve m --port={port} --host=0.0.0.0"; "attached")]
    #[test_case("vllm serve m --port 1 --host a --port 2 --host=b --y", "vllm serve m --port {port} --host 0.0.0.0 --y"; "duplicates")]
    #[test_case("vllm serve m --host a --host b --port 1 --port 2", "vllm serve m --host 0.0.0.0 --port {port}"; "duplicates that move others")]
    #[test_case("vllm serve m --port", "vllm serve m --port {port} --host 0.0.0.0"; "a value that was missing")]
    #[test_case("mine -b {host}:{port}", "mine -b 0.0.0.0:{port}"; "placeholders")]
    #[test_case("mine --listen {port}", "mine --listen {port} --host 0.0.0.0"; "one placeholder")]
    #[test_case("mine --url=http://{host}:{port}/{model}", "mine --url=http://0.0.0.0:{port}/org/M"; "several in a word")]
    #[test_case("srun-like --port 5 vllm serve m", "srun-like --port 5 vllm serve m --host 0.0.0.0 --port {port}"; "a wrapper's port")]
    #[test_case("uv run --host h -- vllm serve m --port 1", "uv run --host h -- vllm serve m --port {port} --host 0.0.0.0"; "behind two dashes")]
    #[test_case("uv run -- ./mine --port 1", "uv run -- ./mine --port {port} --host 0.0.0.0"; "unknown program behind two dashes")]
    #[test_case("vllm serve m --chat-template {{model}}", "vllm serve m --chat-template {{model}} --host 0.0.0.0 --port {port}"; "a template")]
    #[test_case("bash -c 'vllm serve {model} --port ${PORT}'", "bash -c vllm serve org/M --port ${PORT}"; "shell")]
    #[test_case("bash -c 'p=1; mine ${port} {port}'", "bash -c p=1; mine ${port} {port}"; "a shell's own variable")]
    fn only_host_and_port_change(line: &str, result: &str) {
        assert_eq!(shown(line, FREE), result);
    }

    #[test_case("mine -b {host}:{port}", "mine -b 0.0.0.0:8084"; "both")]
    #[test_case("mine --listen {port}", "mine --listen 8084 --host 0.0.0.0"; "only the port")]
    #[test_case("mine --listen {host}", "mine --listen 0.0.0.0 --port 8084"; "only the host")]
    fn a_known_port_fills_its_place_and_is_not_added(line: &str, result: &str) {
        assert_eq!(shown(line, Some(8084)), result);
    }

    #[test]
    fn a_long_command_comes_out_as_it_was_but_for_host_and_port() {
        let line = "uv run --with vllm --with numpy==1.26.4 python -m vllm.entrypoints.openai.api_server --host 127.0.0.1 \
                    --port 8040 --model tiiuae/falcon3-10b-instruct --api-key apikey --gpu-memory-utilization 0.95";
        let result = line.replace("127.0.0.1", "0.0.0.0").replace("8040", "8084");
        assert_eq!(shown(line, Some(8084)), result);
        let prepared = run(&shlex::split(line).unwrap(), Some(8084)).unwrap();
        assert!(prepared.words.iter().all(|word| !word.to_shell().unwrap().contains("$PORT")));
        assert_eq!(prepared.warnings, []);
    }

    #[test]
    fn the_port_is_a_piece_and_not_a_text() {
        let prepared = run(&["mine".into(), "{port}".into(), "a{port}b".into(), String::new()], FREE);
        let words = prepared.unwrap().words;
        assert_eq!(words.get(1).unwrap().to_shell().unwrap(), "\"$PORT\"");
        assert_eq!(words.get(2).unwrap().to_shell().unwrap(), "a\"$PORT\"b");
        assert_eq!(words.get(3).unwrap(), &Word::literal(""));
    }

    #[test_case("vllm serve m", "vllm serve m --uds {socket}"; "added")]
    #[test_case("vllm serve m --uds /s --port 1", "vllm serve m --uds {socket} --port 1"; "replaced")]
    #[test_case("uv run vllm serve m --uds={socket}", "uv run vllm serve m --uds={socket}"; "placed")]
    #[test_case("mine --listen unix:{socket}", "mine --listen unix:{socket}")]
    #[test_case("bash -c 'vllm serve m --uds $SOCKET'", "bash -c vllm serve m --uds $SOCKET")]
    #[test_case("bash -c 'mine {socket}'", "bash -c mine {socket}")]
    #[test_case("sglang serve --model-path m --uds {socket}", "sglang serve --model-path m --uds {socket}"; "of a version to come")]
    fn the_socket_is_placed(line: &str, result: &str) {
        let prepared = prepare(&shlex::split(line).unwrap(), &Bind::Socket, None).unwrap();
        assert_eq!(prepared.words.iter().map(Word::as_written).collect::<Vec<_>>().join(" "), result);
        assert!(prepared.words.iter().any(|word| word.to_shell().unwrap().contains("$SOCKET")));
        assert_eq!(prepared.warnings, []);
    }

    #[test_case(
        "sglang serve --model-path m",
        "SGLang is told of no Unix socket: write {socket} where its command takes the path of one; if it takes none, leave --engine-socket out"
    )]
    #[test_case(
        "mine --serve",
        "a command of your own is told of no Unix socket: write {socket} where its command takes the path of one; if it takes none, leave --engine-socket out"
    )]
    #[test_case(
        "bash -c 'vllm serve m --port $PORT'",
        "vLLM is told of no Unix socket: write {socket} where its command takes the path of one; if it takes none, leave --engine-socket out"
    )]
    #[test_case(
        "mine {socket} {port}",
        "the command has {port} in it, and with --engine-socket there is none; write {socket} where the engine takes the path of its socket"
    )]
    #[test_case(
        "vllm serve m --ssl-keyfile k",
        "the engine must speak plain HTTP, which travels inside the SSH connection; take --ssl-keyfile out of the command"
    )]
    fn says_what_is_wrong_with_a_socket(line: &str, message: &str) {
        let error = prepare(&shlex::split(line).unwrap(), &Bind::Socket, None).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    #[test_case("bash -c 'vllm serve m'", FREE, &[CommandWarning::ShellIgnoresPort])]
    #[test_case("bash -c 'vllm serve m --port 80'", FREE, &[CommandWarning::ShellHasOwnPort])]
    #[test_case("bash -c 'vllm serve m --port 80'", Some(80), &[]; "the same port")]
    #[test_case("bash -c 'vllm serve m --port {port}'", FREE, &[])]
    #[test_case("bash -o pipefail -ec 'vllm serve m --port \"$PORT\"'", FREE, &[])]
    #[test_case("bash run.sh", FREE, &[]; "a script file is given flags")]
    #[test_case("sglang serve --model-path m", FREE, &[CommandWarning::NoKey(Backend::Sglang)])]
    #[test_case("sglang serve --model-path m --api-key k", FREE, &[])]
    fn warns(line: &str, port: Option<u16>, warnings: &[CommandWarning]) {
        assert_eq!(run(&shlex::split(line).unwrap(), port).unwrap().warnings, warnings);
    }

    #[test_case(&[], "h", None, "there is no command to run; write it after the options, as in: vllm serve MODEL")]
    #[test_case(&["vllm", "serve", "{model}"], "h", None, "the command has {model} in it, and no model is named")]
    #[test_case(&["sh", "-c", "x {model}"], "h", Some("a;b"), "the model 'a;b' cannot be put into a shell string; write it there yourself, in quotes")]
    #[test_case(&["x"], "h;i", None, "'h;i' is not a host name or an address that an engine could bind")]
    #[test_case(&["x"], "", None, "'' is not a host name or an address that an engine could bind"; "no host")]
    #[test_case(&["vllm", "serve", "m", "--uds", "/s"], "h", None, "the engine must listen on a port; take --uds out of the command, or give --engine-socket")]
    #[test_case(&["mine", "{socket}"], "h", None, "the command has {socket} in it; give --engine-socket, which makes one")]
    #[test_case(&["vllm", "serve", "m", "--ssl-certfile=c"], "h", None, "the engine must speak plain HTTP, which travels inside the SSH connection; take --ssl-certfile out of the command")]
    fn says_what_is_wrong(command: &[&str], host: &str, model: Option<&str>, message: &str) {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let error = prepare(&command, &Bind::Port { host: host.to_owned(), port: FREE }, model).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    proptest! {
        #[test]
        fn all_other_words_stay_as_they_are(words in proptest::collection::vec("[-a-z0-9= {}$]{0,5}|--port=[0-9]|--host=[a-z]", 1..8)) {
            let command: Vec<String> = [String::from("mine")].into_iter().chain(words).collect();
            prop_assume!(shell_string(&command).is_none());
            let prepared = run(&command, FREE).unwrap();
            let mut texts: Vec<String> = prepared.words.iter().map(Word::as_written).collect();
            let mut expected = command.clone();
            for flag in ["--host", "--port"] {
                argv::remove(&mut texts, flag);
                argv::remove(&mut expected, flag);
            }
            prop_assert_eq!(texts, expected);
        }
    }
}
