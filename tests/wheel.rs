//! The Python wheel of `scripts/wheel`, in a fresh environment: it runs, and brings what belongs beside it.
//!
//! It builds the program anew, for older systems, which takes minutes: a step of its own, `scripts/test --wheel`.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{ChildGuard, Deadline};
use tempfile::TempDir;

/// The newest glibc that the wheel may need, as its name promises.
const GLIBC: (u32, u32) = (2, 17);

/// What a command prints; it must go well.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("it can be run");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn made(folder: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/wheel");
    let said = printed(Command::new(script).arg(folder));
    PathBuf::from(said.lines().last().expect("where the wheel is"))
}

/// A new virtual environment, with the wheel and nothing else in it.
struct Environment(TempDir);

impl Environment {
    fn with(wheel: &Path) -> Self {
        let environment = Self(tempfile::tempdir().expect("a temporary folder"));
        printed(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(environment.0.path()));
        let mut install = Command::new(environment.path("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"]);
        printed(install.arg(wheel));
        environment
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self) -> Command {
        let mut command = Command::new(self.path("bin/llm-proxy"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.0.path()).env("TMPDIR", self.0.path());
        command
    }
}

/// The versions of glibc that a program's symbols name.
fn versions_of_glibc(program: &Path) -> Vec<(u32, u32)> {
    let bytes = fs::read(program).expect("the program");
    let text = String::from_utf8_lossy(&bytes);
    let version = |name: &str| {
        let mut numbers = name.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    text.split("GLIBC_").skip(1).filter_map(version).collect()
}

#[tokio::test]
#[ignore = "builds the program anew, which takes minutes: scripts/test --wheel"]
async fn a_fresh_environment_runs_the_wheel() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wheel = made(folder.path());
    let name = wheel.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with(concat!("llm_proxy-", env!("CARGO_PKG_VERSION"), "-py3-none-")), "{name}");
    assert!(name.contains("manylinux_2_17_") && !name.contains("-linux_"), "{name}");

    let environment = Environment::with(&wheel);
    assert_eq!(printed(environment.program().arg("--version")), concat!("llm-proxy ", env!("CARGO_PKG_VERSION")));

    let versions = versions_of_glibc(&environment.path("bin/llm-proxy"));
    assert!(versions.iter().max().is_some_and(|newest| *newest <= GLIBC), "{versions:?}");

    for (shell, path) in [
        ("bash", "bash-completion/completions/llm-proxy"),
        ("zsh", "zsh/site-functions/_llm-proxy"),
        ("fish", "fish/vendor_completions.d/llm-proxy.fish"),
    ] {
        let installed = fs::read_to_string(environment.path("share").join(path)).expect("the completions");
        assert_eq!(installed.trim_end(), printed(environment.program().args(["completions", shell])), "{shell}");
    }
    let page = fs::read_to_string(environment.path("share/man/man1/llm-proxy-serve.1")).expect("the page");
    assert_eq!(page.trim_end(), printed(environment.program().args(["man", "serve"])));

    let mut demo = ChildGuard::start("llm-proxy demo", environment.program().args(["demo", "--once", "--port", "0"]));
    let deadline = Deadline::in_seconds(60);
    let status = demo.wait(deadline).await;
    let said = demo.stdout().all(deadline).await.join("\n");
    assert!(status.success() && said.contains("answer: This is a demonstration"), "{status}: {said}");
    assert!(said.contains("time line") && said.contains("first token"), "{said}");
}
