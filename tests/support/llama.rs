//! A real engine for every test run: llama.cpp's own server, with a model of 0.6 MB.
//!
//! `scripts/engines llama` makes its environment, outside the checkout and readable for all, once; `scripts/test` calls it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the environment is.
#[derive(Clone, Debug)]
pub(crate) struct Llama {
    folder: PathBuf,
}

impl Llama {
    /// The environment; panics with how to make it if it is not there.
    pub(crate) fn find() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engines");
        let output = Command::new(script).args(["llama", "--find"]).output().expect("scripts/engines can be run");
        assert!(
            output.status.success(),
            "llama.cpp's server is not installed: run scripts/engines llama\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { folder: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()) }
    }

    /// The command that serves the model as `tiny` on `{host}` and `{port}`, for a proxy to fill in; with the key of the
    /// environment variable `LLAMA_API_KEY`, if that is set.
    pub(crate) fn command(&self) -> Vec<String> {
        self.command_on("{host}", "{port}")
    }

    /// The same, at a place of one's own choice.
    pub(crate) fn command_on(&self, host: &str, port: &str) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let (python, server, model) = (file("venv/bin/python"), file("server.py"), file("tiny.gguf"));
        let words = [&python, &server, "--model", &model, "--host", host, "--port", port];
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}
