//! The model that an engine may have to download: its name at Hugging Face's hub, and how large it is said to be.

use super::argv;
use super::engine::recognise;
use super::kind::Backend;
use super::model_size::ModelSize;

/// A model of the hub's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    /// `owner/name`.
    pub name: String,
    /// How large its files are, where the user says so; else the hub is asked.
    pub size: Option<ModelSize>,
}

impl HubModel {
    /// Of a command, whose model a configuration may name; `size` is in bytes. None for a folder, for what no hub has, for
    /// what goes to another folder than the library's own, and for a command of one's own whose size nobody says: that it downloads anything is not known.
    #[must_use]
    pub fn of_command(command: &[String], backend: Backend, named: Option<&str>, size: Option<u64>) -> Option<Self> {
        if !argv::occurrences(command, 0, "--download-dir").is_empty() {
            return None;
        }
        // What it is called when it is served is no name at the hub.
        let mut words = command.to_vec();
        argv::remove(&mut words, "--served-model-name");
        let model = recognise(&words).models.into_iter().next();
        Self::of(backend, &model.or_else(|| named.map(str::to_owned))?, size)
    }

    fn of(backend: Backend, name: &str, size: Option<u64>) -> Option<Self> {
        let downloads = match backend {
            Backend::Vllm | Backend::Sglang => true,
            Backend::Custom => size.is_some(),
        };
        let (owner, model) = name.split_once('/')?;
        let plain = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(fits)
        };
        let is_hubs = downloads && plain(owner) && plain(model);
        is_hubs.then(|| Self { name: name.to_owned(), size: size.map(ModelSize::of_bytes) })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use test_case::test_case;

    use super::*;

    #[test_case("vllm serve org/M-7B --port 1", None, Some("org/M-7B"))]
    #[test_case("vllm serve org/M --served-model-name a b --port 1", None, Some("org/M"); "served under other names")]
    #[test_case("python3 -m sglang.launch_server --model-path org/M --served-model-name=s", None, Some("org/M"); "sglang")]
    #[test_case("vllm serve org/M --download-dir /big", None, None; "into another folder")]
    #[test_case("vllm serve org/M --download_dir=/big", Some(7), None; "into another folder, and its size is known")]
    #[test_case("vllm serve /models/M", None, None; "a folder")]
    #[test_case("vllm serve ./org/M", None, None; "a folder here")]
    #[test_case("vllm serve org/M/x", None, None; "too deep")]
    #[test_case("vllm serve M", None, None; "without an owner")]
    #[test_case("./serve.sh --model org/M", None, None; "nobody knows what it does")]
    #[test_case("./serve.sh --model org/M", Some(7), Some("org/M"); "but for its size")]
    fn is_told_by_a_command(line: &str, size: Option<u64>, name: Option<&str>) {
        let command = shlex::split(line).unwrap();
        let model = HubModel::of_command(&command, recognise(&command).backend, None, size);
        assert_eq!(model.as_ref().map(|model| model.name.as_str()), name);
        assert_eq!(model.and_then(|model| model.size).map(ModelSize::bytes), size.filter(|_| name.is_some()));
    }
}
