//! vLLM itself, on the CPU, with a model of 7 MB and random weights; and `transformers serve` from the same environment.
//!
//! `scripts/engines vllm` makes the environment, outside the checkout and readable for all, once; `scripts/test --engines`
//! calls it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the environment is.
#[derive(Clone, Debug)]
pub(crate) struct Vllm {
    folder: PathBuf,
}

/// What an engine is told that has neither a GPU nor a network.
pub(crate) const ENVIRONMENT: [&str; 4] =
    ["VLLM_CPU_KVCACHE_SPACE=1", "HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1"];

impl Vllm {
    /// The environment; panics with how to make it if it is not there.
    pub(crate) fn find() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engines");
        let output = Command::new(script).args(["vllm", "--find"]).output().expect("scripts/engines can be run");
        assert!(
            output.status.success(),
            "vLLM is not installed: run scripts/engines vllm\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { folder: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()) }
    }

    /// `vllm serve` of the model, which calls it `tiny`.
    pub(crate) fn serve(&self) -> Vec<String> {
        // Eager, in single precision: what works on every CPU, and starts soonest.
        let words =
            ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager", "--max-model-len", "16384"];
        let mut command = vec![self.file("venv/bin/vllm"), "serve".to_owned(), self.model()];
        command.extend(words.map(str::to_owned));
        command
    }

    /// `transformers serve`, whose models are named by their folders.
    pub(crate) fn transformers(&self) -> Vec<String> {
        let words = ["--device", "cpu", "--dtype", "float32"];
        let mut command = vec![self.file("venv/bin/transformers"), "serve".to_owned(), self.model()];
        command.extend(words.map(str::to_owned));
        command
    }

    /// The model's folder.
    pub(crate) fn model(&self) -> String {
        self.file("tiny")
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}
