//! What is started beside the engine for a tunnel, by every shell that may be a host's `sh`, with an `ssh` that only tells what
//! it was given.
#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

mod support;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use llm_proxy::host::reverse::{own_server, to_sshd};
use llm_proxy::host::{Address, Endpoint};
use support::{Deadline, eventually};
use tempfile::TempDir;
use test_case::test_case;

/// Tells its words and its pid, and waits; or ends as it is told.
const SSH: &str = r#"#!/bin/sh
printf '%s\n' "$@" >"$PLACE/words"
cp "$TMPDIR"/*/key "$TMPDIR"/*/known_hosts "$PLACE" 2>/dev/null
echo $$ >"$PLACE/pid.new" && mv "$PLACE/pid.new" "$PLACE/pid"
[ -z "$ENDS_BY" ] || exit "$ENDS_BY"
exec sleep 600
"#;

struct Scene {
    folder: TempDir,
    child: Child,
}

impl Scene {
    /// Starts the command by this shell.
    fn start(shell: &str, argv: &[String], ends_by: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["bin", "tmp"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        std::fs::write(path("bin/ssh"), SSH).unwrap();
        std::fs::set_permissions(path("bin/ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut words = shell.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let usual = std::env::var("PATH").unwrap();
        command
            .args(words)
            .args(argv.get(1..).unwrap())
            .env("PATH", format!("{}:{usual}", path("bin").display()))
            .env("PLACE", folder.path())
            .env("TMPDIR", path("tmp"))
            .env("ENDS_BY", ends_by)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { folder, child }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Once its ssh runs.
    async fn pid(&self) -> String {
        let pid = async || std::fs::read_to_string(self.file("pid")).ok();
        eventually(Deadline::in_seconds(10), "an ssh runs", pid).await.trim().to_owned()
    }

    /// Once it has ended.
    async fn ended(&mut self) -> std::process::ExitStatus {
        let deadline = Deadline::in_seconds(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(!deadline.is_over(), "it goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn tell(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }
}

fn address() -> Endpoint {
    Address { host: "127.0.0.1".to_owned(), port: 8000 }.into()
}

fn runs(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("status").exists() && !status(pid).contains("Z (zombie)")
}

fn status(pid: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

async fn wait_until_gone(pid: &str) {
    eventually(Deadline::in_seconds(10), "its ssh has ended", async || (!runs(pid)).then_some(())).await;
}

#[test_case("dash")]
#[test_case("bash")]
#[test_case("busybox sh")]
#[tokio::test]
async fn a_tunnel_ends_with_its_standard_input(shell: &str) {
    let mut scene = Scene::start(shell, &to_sshd("ada", "far", &address()), "");
    let pid = scene.pid().await;
    assert!(scene.read("words").ends_with("--\nada@far\n"), "{}", scene.read("words"));
    assert!(scene.read("words").starts_with("-N\n-T\n-R\n0:127.0.0.1:8000\n"), "{}", scene.read("words"));
    scene.tell("whatever\n");
    assert!(runs(&pid) && scene.child.try_wait().unwrap().is_none());
    drop(scene.child.stdin.take());
    assert!(!scene.ended().await.success());
    wait_until_gone(&pid).await;
}

#[tokio::test]
async fn a_tunnel_may_lead_to_a_unix_socket() {
    let socket = Endpoint::Unix("/tmp/llm-proxy-a/engine.sock".to_owned());
    let mut scene = Scene::start("dash", &to_sshd("ada", "far", &socket), "");
    let pid = scene.pid().await;
    let words = scene.read("words");
    assert!(words.starts_with("-N\n-T\n-R\n0:/tmp/llm-proxy-a/engine.sock\n"), "{words}");
    drop(scene.child.stdin.take());
    scene.ended().await;
    wait_until_gone(&pid).await;
}

#[test_case("dash")]
#[test_case("bash")]
#[test_case("busybox sh")]
#[tokio::test]
async fn a_tunnel_ends_as_its_ssh_does(shell: &str) {
    let mut scene = Scene::start(shell, &to_sshd("ada", "far", &address()), "77");
    assert_eq!(scene.ended().await.code(), Some(77));
}

#[test_case("dash")]
#[test_case("bash")]
#[test_case("busybox sh")]
#[tokio::test]
async fn a_tunnel_that_slurm_ends_takes_its_ssh_along(shell: &str) {
    let mut scene = Scene::start(shell, &own_server("llm-proxy", "nonce-1", &address()), "");
    scene.tell("10.0.0.1\n4022\nllm-proxy ssh-ed25519 AAAA\nsecret\nkey\n.\n");
    let pid = scene.pid().await;
    let own = nix::unistd::Pid::from_raw(i32::try_from(scene.child.id()).unwrap());
    nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = scene.ended().await;
    assert!(status.code() == Some(143) || status.signal() == Some(15), "{status:?}");
    wait_until_gone(&pid).await;
    assert_eq!(std::fs::read_dir(scene.file("tmp")).unwrap().count(), 0, "the key was left");
}

#[test_case("dash")]
#[test_case("bash")]
#[test_case("busybox sh")]
#[tokio::test]
async fn what_it_is_told_is_for_its_user_alone_and_gone_afterwards(shell: &str) {
    let mut scene = Scene::start(shell, &own_server("llm-proxy", "nonce-1", &address()), "");
    scene.tell("10.0.0.1\n4022\nllm-proxy ssh-ed25519 AAAA\nsecret\nkey\n.\n");
    let pid = scene.pid().await;
    assert_eq!(scene.read("key"), "secret\nkey\n");
    assert_eq!(scene.read("known_hosts"), "llm-proxy ssh-ed25519 AAAA\n");
    let words = scene.read("words");
    assert!(words.contains("-p\n4022\n") && words.ends_with("--\n10.0.0.1\n"), "{words}");
    assert!(!words.contains("secret"), "{words}");
    let folder = std::fs::read_dir(scene.file("tmp")).unwrap().next().unwrap().unwrap().path();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("key"))), (0o700, 0o600));
    drop(scene.child.stdin.take());
    assert!(!scene.ended().await.success());
    wait_until_gone(&pid).await;
    assert_eq!(std::fs::read_dir(scene.file("tmp")).unwrap().count(), 0, "the key was left");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut scene.child.stdout.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, "nonce-1 reverse\n");
}
