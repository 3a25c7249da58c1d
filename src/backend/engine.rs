//! What a command tells of its engine: the kind, the models, the key.

use super::kind::Backend;
use super::program::{file_name, find, shell_string, until_next_command, words_of_shell};
use crate::id::InstanceName;
use crate::secret::Key;

/// The engine that a command starts.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Its kind.
    pub backend: Backend,
    /// The names of the models that it serves, as far as the command tells; the first is the main one.
    pub models: Vec<String>,
    /// A name for the instance: the model's, without its owner; else the program's.
    pub suggested_name: Option<InstanceName>,
    /// The command's own key.
    pub own_keys: OwnKeys,
}

/// The key that a command gives its engine by itself.
#[derive(Clone, Debug)]
pub enum OwnKeys {
    /// It gives none.
    None,
    /// Any of these opens the engine.
    Known(Vec<Key>),
    /// It gives one that only the shell which runs it knows, as in `--api-key $KEY`.
    Unreadable,
}

/// Reads a command. It may be one of ours to change, or a shell string.
#[must_use]
pub fn recognise(argv: &[String]) -> Engine {
    let in_shell = shell_string(argv).map(words_of_shell);
    let words = in_shell.as_deref().unwrap_or(argv);
    let (backend, found) = find(words);
    let arguments = words.get(found.first_argument..).unwrap_or_default();
    let arguments = if in_shell.is_some() { until_next_command(arguments) } else { arguments.to_vec() };
    let profile = backend.profile();
    let (models, keys) = ((profile.models)(&arguments, found.subcommand), (profile.keys)(&arguments));
    let is_literal = |text: &String| in_shell.is_none() || !text.contains(['$', '`']);
    let own_keys = if keys.is_empty() {
        OwnKeys::None
    } else if keys.iter().all(is_literal) {
        OwnKeys::Known(keys.into_iter().map(Key::new).collect())
    } else {
        OwnKeys::Unreadable
    };
    let models: Vec<String> =
        models.into_iter().filter(is_literal).filter(|model| !model.contains("{model}")).collect();
    let suggested_name = models.first().map(String::as_str).or_else(|| program(argv)).and_then(short_name);
    Engine { backend, models, suggested_name, own_keys }
}

fn program(argv: &[String]) -> Option<&str> {
    argv.first().map(String::as_str)
}

/// What an instance of this model is called where nobody says.
#[must_use]
pub fn short_name(text: &str) -> Option<InstanceName> {
    let name = file_name(text.trim_end_matches('/'));
    InstanceName::from_text(name.strip_suffix(".gguf").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    fn engine(line: &str) -> Engine {
        recognise(&shlex::split(line).unwrap())
    }

    fn keys(line: &str) -> Vec<String> {
        match engine(line).own_keys {
            OwnKeys::None => vec![],
            OwnKeys::Known(keys) => keys.iter().map(|key| key.expose().to_owned()).collect(),
            OwnKeys::Unreadable => vec!["unreadable".to_owned()],
        }
    }

    #[test_case("vllm serve org/M-7B --port 1", Backend::Vllm, &["org/M-7B"], "m-7b")]
    #[test_case("/opt/v/bin/vllm serve --model org/M", Backend::Vllm, &["org/M"], "m"; "by path and flag")]
    #[test_case("python -m vllm.entrypoints.openai.api_server --model org/M", Backend::Vllm, &["org/M"], "m"; "module")]
    #[test_case("uv run --with vllm vllm.entrypoints.openai.api_server --host 0.0.0.0 --model tiiuae/falcon3-10b-instruct", Backend::Vllm, &["tiiuae/falcon3-10b-instruct"], "falcon3-10b-instruct"; "a module without python")]
    #[test_case("uv run --with vllm --with numpy==1.26.4 python -m vllm.entrypoints.openai.api_server --model=a/b", Backend::Vllm, &["a/b"], "b"; "uv with python")]
    #[test_case("vllm serve org/M --served-model-name a b --port 1", Backend::Vllm, &["a", "b"], "a"; "served names")]
    #[test_case("vllm serve org/M --served_model_name a --served-model-name b", Backend::Vllm, &["b"], "b"; "argparse takes the last")]
    #[test_case("apptainer exec --nv x.sif vllm serve org/M", Backend::Vllm, &["org/M"], "m"; "in a container")]
    #[test_case("apptainer exec docker://vllm/vllm-openai:v0 vllm serve org/M", Backend::Vllm, &["org/M"], "m"; "image and program")]
    #[test_case("docker run --gpus all vllm/vllm-openai:latest --model org/M", Backend::Vllm, &["org/M"], "m"; "image alone")]
    #[test_case("bash -lc 'module load cuda && vllm serve org/M --port $PORT; echo over'", Backend::Vllm, &["org/M"], "m"; "shell")]
    #[test_case("bash -c 'vllm serve $MODEL'", Backend::Vllm, &[], "bash"; "a model that only the shell knows")]
    #[test_case("vllm serve {model}", Backend::Vllm, &[], "vllm"; "a model that is put in later")]
    #[test_case("python3 -m sglang.launch_server --model-path org/M", Backend::Sglang, &["org/M"], "m")]
    #[test_case("uv run --with sglang[all] sglang serve --model-path org/M --served-model-name s", Backend::Sglang, &["s"], "s")]
    #[test_case("llama-server -m x.gguf --alias tiny", Backend::Custom, &["tiny"], "tiny")]
    #[test_case("python3 -m llama_cpp.server --model /m/tiny.Q4.gguf", Backend::Custom, &["/m/tiny.Q4.gguf"], "tiny.q4")]
    #[test_case("./serve.sh --quiet", Backend::Custom, &[], "serve.sh")]
    #[test_case("pip install vllm", Backend::Custom, &[], "pip"; "only the name of a package")]
    fn tells_the_engine(line: &str, backend: Backend, models: &[&str], name: &str) {
        let engine = engine(line);
        assert_eq!(
            (engine.backend, engine.models.as_slice()),
            (backend, models.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>().as_slice())
        );
        assert_eq!(engine.suggested_name.unwrap().as_str(), name);
    }

    #[test_case("vllm serve m", &[])]
    #[test_case("vllm serve m --api-key a b --port 1", &["a", "b"])]
    #[test_case("vllm serve m --api_key=a", &["a"])]
    #[test_case("python -m sglang.launch_server --model m --api-key a", &["a"])]
    #[test_case("llama-server --api-key a,b", &["a", "b"])]
    #[test_case("sh -c 'vllm serve m --api-key $KEY'", &["unreadable"])]
    #[test_case("sh -c 'vllm serve m --api-key k; wait'", &["k"])]
    #[test_case("wrap --api-key w vllm serve m", &[]; "a wrapper's key")]
    fn tells_the_commands_own_keys(line: &str, expected: &[&str]) {
        assert_eq!(keys(line), expected);
    }

    #[test]
    fn an_empty_command_panics_nowhere() {
        assert_eq!(recognise(&[]).backend, Backend::Custom);
    }
}
