//! Makes of the user's command the one that is run: unchanged but for what the engine binds and its port.

use std::fmt;

use super::argv::{self, Occurrence};
use super::engine::{OwnKeys, recognise};
use super::kind::Backend;
use super::placeholder::{HOST, PORT, has_placeholder, next_placeholder};
use super::program::{find, shell_string};
use crate::host::quote::Word;

/// Which port the engine is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortChoice {
    /// A free one, chosen where the engine runs.
    ChosenThere,
    /// This one.
    Given(u16),
}

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
    #[error("the engine must listen on a port; take {flag} out of the command")]
    UnixSocket {
        /// The flag.
        flag: &'static str,
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
    host: &'a str,
    port: Option<u16>,
    model: Option<&'a str>,
    in_shell: bool,
}

/// Makes the command that is run.
///
/// `--host` and `--port` of the engine are replaced where they stand, and others of the same are left out. Where there
/// are none, they are added at the end, unless the command has `{host}` or `{port}`, or is a shell string, which finds
/// them in `$HOST` and `$PORT`. `{model}` becomes the model. No placeholder is seen in `${port}` and `{{port}}`: the
/// one is a shell's variable, the other is of a template. Which words are the engine's: see `program.rs`.
///
/// # Errors
/// See [`CommandError`].
pub fn prepare(
    command: &[String],
    target_host: &str,
    port: PortChoice,
    model: Option<&str>,
) -> Result<PreparedCommand, CommandError> {
    if command.iter().all(String::is_empty) {
        return Err(CommandError::Empty);
    }
    if target_host.is_empty() || !target_host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-_%".contains(c)) {
        return Err(CommandError::Host { host: target_host.to_owned() });
    }
    let port = match port {
        PortChoice::ChosenThere => None,
        PortChoice::Given(port) => Some(port),
    };
    let script = shell_string(command);
    let values = Values { host: target_host, port, model, in_shell: script.is_some() };
    let mut words = command.iter().map(|word| values.fill(word)).collect::<Result<Vec<_>, _>>()?;
    let mut warnings = Vec::new();
    if let Some(script) = script {
        warnings.extend(shell_warning(script, port));
    } else {
        words = with_host_and_port(command, words, &values)?;
    }
    let engine = recognise(command);
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

fn with_host_and_port(command: &[String], words: Vec<Word>, values: &Values<'_>) -> Result<Vec<Word>, CommandError> {
    let (backend, found) = find(command);
    let from = found.first_argument;
    let given = |flag| !argv::occurrences(command, from, flag).is_empty();
    if given("--uds") && backend == Backend::Vllm {
        return Err(CommandError::UnixSocket { flag: "--uds" });
    }
    if let Some(flag) = ["--ssl-certfile", "--ssl-cert-file", "--ssl-keyfile"].into_iter().find(|flag| given(flag)) {
        return Err(CommandError::Tls { flag });
    }
    let host = values.host_word();
    let words = put(command, words, from, (Backend::HOST_FLAG, HOST), &host);
    // The words moved where a duplicate was left out, so the places are looked for in what there is now.
    let texts: Vec<String> = words.iter().map(Word::as_written).collect();
    Ok(put(&texts, words, from, (Backend::PORT_FLAG, PORT), &values.port_word()))
}

/// `words` with `flag` set to `value`. `texts` are the same words as text, to look for it.
fn put(texts: &[String], words: Vec<Word>, from: usize, flag: (&str, &str), value: &Word) -> Vec<Word> {
    let (flag, placeholder) = flag;
    let found = argv::occurrences(texts, from, flag);
    if found.is_empty() {
        let placed = texts.iter().any(|text| has_placeholder(text, placeholder));
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
    fn host_word(&self) -> Word {
        Word::literal(self.host)
    }

    fn port_word(&self) -> Word {
        let mut word = Word::default();
        word.push_port(self.port);
        word
    }

    /// A word with its placeholders filled.
    fn fill(&self, text: &str) -> Result<Word, CommandError> {
        let mut word = Word::literal("");
        let mut done = 0;
        while let Some((at, name)) = next_placeholder(text, done) {
            word.push_text(text.get(done..at).unwrap_or_default());
            done = at + name.len();
            match name {
                HOST => word.push_text(self.host),
                PORT => word.push_port(self.port),
                _ => word.push_text(self.model()?),
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

    fn run(command: &[String], port: PortChoice) -> Result<PreparedCommand, CommandError> {
        prepare(command, "0.0.0.0", port, Some("org/M"))
    }

    fn shown(line: &str, port: PortChoice) -> String {
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
        assert_eq!(shown(line, PortChoice::ChosenThere), result);
    }

    #[test]
    fn a_long_command_comes_out_as_it_was_but_for_host_and_port() {
        let line = "uv run --with vllm --with numpy==1.26.4 python -m vllm.entrypoints.openai.api_server --host 127.0.0.1 \
                    --port 8040 --model tiiuae/falcon3-10b-instruct --api-key apikey --gpu-memory-utilization 0.95";
        let result = line.replace("127.0.0.1", "0.0.0.0").replace("8040", "8084");
        assert_eq!(shown(line, PortChoice::Given(8084)), result);
        let prepared = run(&shlex::split(line).unwrap(), PortChoice::Given(8084)).unwrap();
        assert!(prepared.words.iter().all(|word| !word.to_shell().unwrap().contains("$PORT")));
        assert_eq!(prepared.warnings, []);
    }

    #[test]
    fn the_port_is_a_piece_and_not_a_text() {
        let prepared =
            run(&["mine".into(), "{port}".into(), "a{port}b".into(), String::new()], PortChoice::ChosenThere);
        let words = prepared.unwrap().words;
        assert_eq!(words.get(1).unwrap().to_shell().unwrap(), "\"$PORT\"");
        assert_eq!(words.get(2).unwrap().to_shell().unwrap(), "a\"$PORT\"b");
        assert_eq!(words.get(3).unwrap(), &Word::literal(""));
    }

    #[test_case("bash -c 'vllm serve m'", PortChoice::ChosenThere, &[CommandWarning::ShellIgnoresPort])]
    #[test_case("bash -c 'vllm serve m --port 80'", PortChoice::ChosenThere, &[CommandWarning::ShellHasOwnPort])]
    #[test_case("bash -c 'vllm serve m --port 80'", PortChoice::Given(80), &[]; "the same port")]
    #[test_case("bash -c 'vllm serve m --port {port}'", PortChoice::ChosenThere, &[])]
    #[test_case("bash -o pipefail -ec 'vllm serve m --port \"$PORT\"'", PortChoice::ChosenThere, &[])]
    #[test_case("bash run.sh", PortChoice::ChosenThere, &[]; "a script file is given flags")]
    #[test_case("sglang serve --model-path m", PortChoice::ChosenThere, &[CommandWarning::NoKey(Backend::Sglang)])]
    #[test_case("sglang serve --model-path m --api-key k", PortChoice::ChosenThere, &[])]
    fn warns(line: &str, port: PortChoice, warnings: &[CommandWarning]) {
        assert_eq!(run(&shlex::split(line).unwrap(), port).unwrap().warnings, warnings);
    }

    #[test_case(&[], "h", None, "there is no command to run; write it after the options, as in: vllm serve MODEL")]
    #[test_case(&["vllm", "serve", "{model}"], "h", None, "the command has {model} in it, and no model is named")]
    #[test_case(&["sh", "-c", "x {model}"], "h", Some("a;b"), "the model 'a;b' cannot be put into a shell string; write it there yourself, in quotes")]
    #[test_case(&["x"], "h;i", None, "'h;i' is not a host name or an address that an engine could bind")]
    #[test_case(&["x"], "", None, "'' is not a host name or an address that an engine could bind"; "no host")]
    #[test_case(&["vllm", "serve", "m", "--uds", "/s"], "h", None, "the engine must listen on a port; take --uds out of the command")]
    #[test_case(&["vllm", "serve", "m", "--ssl-certfile=c"], "h", None, "the engine must speak plain HTTP, which travels inside the SSH connection; take --ssl-certfile out of the command")]
    fn says_what_is_wrong(command: &[&str], host: &str, model: Option<&str>, message: &str) {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let error = prepare(&command, host, PortChoice::ChosenThere, model).unwrap_err();
        assert_eq!(error.to_string(), message);
    }

    proptest! {
        #[test]
        fn all_other_words_stay_as_they_are(words in proptest::collection::vec("[-a-z0-9= {}$]{0,5}|--port=[0-9]|--host=[a-z]", 1..8)) {
            let command: Vec<String> = [String::from("mine")].into_iter().chain(words).collect();
            prop_assume!(shell_string(&command).is_none());
            let prepared = run(&command, PortChoice::ChosenThere).unwrap();
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
