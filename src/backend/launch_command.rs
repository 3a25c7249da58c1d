//! The command of an engine that is described by its kind and its model, and not written out by the user.

use super::argv;
use super::kind::Backend;
use super::placeholder::MODEL;
use super::program::shell_string;
use crate::host::quote;

/// An engine that is to be started. Without a `Debug`: an argument may be a key.
#[derive(Clone, Copy)]
pub struct LaunchCommand<'a> {
    /// Its kind.
    pub backend: Backend,
    /// The model's name or path.
    pub model: &'a str,
    /// What it is to call the model, where its arguments do not say; of an engine that takes one name, the first.
    pub names: &'a [String],
    /// What stands before the engine's own words, such as `uv run --with vllm` or `apptainer exec --nv vllm.sif`. Where it
    /// ends with a shell that takes a string (`bash -lc`), the engine's words become that string.
    pub wrapper: &'a [String],
    /// Whether it is started as a Python module, `python3 -m …`, and not by its program.
    pub as_module: bool,
    /// The program, where it is not the usual one: of `vllm` or of `python3`.
    pub program: Option<&'a str>,
    /// Its arguments.
    pub arguments: &'a [String],
    /// Whether it listens on a Unix socket.
    pub on_socket: bool,
}

/// There is no such command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchCommandError {
    /// Nobody knows how such an engine is started.
    #[error("nobody knows how {} is started: give its command, in which {{model}}, {{host}} and {{port}} may stand", .0.name())]
    NoCommand(Backend),
    /// The model would be read as a flag.
    #[error("'{model}' is not the name of a model: it is empty, or begins with a dash")]
    Model {
        /// The model.
        model: String,
    },
    /// A word cannot be given to a shell.
    #[error("a word of the command cannot be given to a shell")]
    Quote(#[from] quote::QuoteError),
}

impl LaunchCommand<'_> {
    /// The command's words. What the engine binds, and its port, are put in later, by [`super::prepare`].
    ///
    /// # Errors
    /// See [`LaunchCommandError`].
    pub fn words(&self) -> Result<Vec<String>, LaunchCommandError> {
        let commands = self.backend.profile().commands.iter();
        let as_module = |command: &&&[&str]| command.contains(&"-m");
        let template =
            commands.clone().find(|command| as_module(command) == self.as_module).or(commands.clone().next());
        let template = template.ok_or(LaunchCommandError::NoCommand(self.backend))?;
        if self.model.is_empty() || self.model.starts_with('-') {
            return Err(LaunchCommandError::Model { model: self.model.to_owned() });
        }
        let mut own: Vec<String> =
            template.iter().map(|word| if *word == MODEL { self.model } else { word }.to_owned()).collect();
        if let (Some(first), Some(program)) = (own.first_mut(), self.program) {
            program.clone_into(first);
        }
        own.extend_from_slice(self.arguments);
        own.extend(name_words(self.backend, self.names, self.arguments));
        let mut words = self.wrapper.to_vec();
        if self.ends_with_shell() {
            words.push(format!("{} {}", quote::quote(&own)?, self.binds()));
        } else {
            words.extend(own);
        }
        Ok(words)
    }

    /// What it listens on, for a shell. Without a flag for a socket there is none, which [`super::prepare`] then says.
    fn binds(&self) -> String {
        match self.backend.profile().socket_flag {
            Some(flag) if self.on_socket => format!("{flag} \"$SOCKET\""),
            None if self.on_socket => String::new(),
            Some(_) | None => format!("{} \"$HOST\" {} \"$PORT\"", Backend::HOST_FLAG, Backend::PORT_FLAG),
        }
    }

    fn ends_with_shell(&self) -> bool {
        const HERE: &str = "HERE";
        let probe: Vec<String> = self.wrapper.iter().cloned().chain([HERE.to_owned()]).collect();
        shell_string(&probe) == Some(HERE)
    }
}

/// The words that tell an engine what to call its model, unless what it is given does so already.
pub(super) fn name_words(backend: Backend, names: &[String], given: &[String]) -> Vec<String> {
    let Some(flag) = backend.profile().name_flag.filter(|flag| argv::list(given, flag).is_empty()) else {
        return Vec::new();
    };
    let names = names.iter().filter(|name| !name.starts_with('-'));
    let names = names.take(if backend.takes_several_names() { usize::MAX } else { 1 });
    let words: Vec<String> = std::iter::once(flag.to_owned()).chain(names.cloned()).collect();
    if words.len() > 1 { words } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;
    use crate::backend::{prepare, recognise};
    use crate::host::Bind;
    use crate::host::quote::Word;

    fn command(backend: Backend, wrapper: &str, as_module: bool) -> Result<Vec<String>, LaunchCommandError> {
        let wrapper = shlex::split(wrapper).unwrap();
        let arguments = ["--hf-overrides".to_owned(), "{\"a b\": 1}".to_owned()];
        let on_socket = false;
        LaunchCommand {
            backend,
            model: "org/M",
            names: &[],
            wrapper: &wrapper,
            as_module,
            program: None,
            arguments: &arguments,
            on_socket,
        }
        .words()
    }

    #[test_case(Backend::Vllm, "", false, r#"vllm serve org/M --hf-overrides '{"a b": 1}' --host 0.0.0.0 --port 80"#)]
    #[test_case(Backend::Vllm, "uv run --with vllm", true, r#"uv run --with vllm python3 -m vllm.entrypoints.openai.api_server --model org/M --hf-overrides '{"a b": 1}' --host 0.0.0.0 --port 80"#; "uv and a module")]
    #[test_case(Backend::Vllm, "apptainer exec --nv x.sif", false, r#"apptainer exec --nv x.sif vllm serve org/M --hf-overrides '{"a b": 1}' --host 0.0.0.0 --port 80"#; "a container")]
    #[test_case(Backend::Sglang, "", true, r#"python3 -m sglang.launch_server --model-path org/M --hf-overrides '{"a b": 1}' --host 0.0.0.0 --port 80"#; "sglang")]
    #[test_case(Backend::Sglang, "", false, r#"sglang serve --model-path org/M --hf-overrides '{"a b": 1}' --host 0.0.0.0 --port 80"#; "sglang by its program")]
    fn is_recognised_and_prepared(backend: Backend, wrapper: &str, as_module: bool, expected: &str) {
        let words = command(backend, wrapper, as_module).unwrap();
        let engine = recognise(&words);
        assert_eq!((engine.backend, engine.models), (backend, vec!["org/M".to_owned()]));
        let prepared = prepare(&words, &Bind::Port { host: "0.0.0.0".to_owned(), port: Some(80) }, None).unwrap();
        let shown: Vec<String> = prepared.words.iter().map(Word::as_written).collect();
        assert_eq!(shown, shlex::split(expected).unwrap());
    }

    #[test]
    fn a_shell_gets_one_string_that_it_takes_apart_again() {
        let words = command(Backend::Vllm, "apptainer exec x.sif bash -lc", false).unwrap();
        assert_eq!(words.len(), 6);
        let script = words.last().unwrap().replace("\"$HOST\"", "h").replace("\"$PORT\"", "80");
        let expected = "vllm serve org/M --hf-overrides '{\"a b\": 1}' --host h --port 80";
        assert_eq!(shlex::split(&script).unwrap(), shlex::split(expected).unwrap());
        assert_eq!(recognise(&words).models, ["org/M"]);
        let prepared = prepare(&words, &Bind::Port { host: "h".to_owned(), port: None }, None).unwrap();
        assert_eq!(prepared.warnings, []);
    }

    #[test]
    fn says_what_it_cannot_do() {
        let error = command(Backend::Custom, "", false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nobody knows how a command of your own is started: give its command, in which {model}, {host} and {port} may stand"
        );
        let launch = LaunchCommand {
            backend: Backend::Vllm,
            model: "--trust-remote-code",
            names: &[],
            wrapper: &[],
            as_module: false,
            program: Some("/opt/vllm"),
            arguments: &[],
            on_socket: false,
        };
        assert_eq!(
            launch.words().unwrap_err().to_string(),
            "'--trust-remote-code' is not the name of a model: it is empty, or begins with a dash"
        );
        assert_eq!(LaunchCommand { model: "m", ..launch }.words().unwrap(), ["/opt/vllm", "serve", "m"]);
    }

    #[test_case(Backend::Vllm, &[], "vllm serve org/M --served-model-name a b"; "all of them")]
    #[test_case(Backend::Vllm, &["--served_model_name", "c"], "vllm serve org/M --served_model_name c"; "what the arguments say")]
    #[test_case(Backend::Sglang, &[], "sglang serve --model-path org/M --served-model-name a"; "one alone")]
    fn calls_the_model(backend: Backend, arguments: &[&str], expected: &str) {
        let (names, arguments) = (["a", "b"].map(str::to_owned), arguments.iter().map(|word| (*word).to_owned()));
        let launch = LaunchCommand {
            backend,
            model: "org/M",
            names: &names,
            wrapper: &[],
            as_module: false,
            program: None,
            arguments: &arguments.collect::<Vec<_>>(),
            on_socket: false,
        };
        assert_eq!(launch.words().unwrap().join(" "), expected);
    }
}
