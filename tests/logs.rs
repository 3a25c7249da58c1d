//! The engine's log: where the user wants it, both streams told apart, and each line once, whatever happens to the link.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/sshd.rs"]
#[expect(dead_code, reason = "another test uses the rest")]
mod sshd;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sshd::{Sshd, user};
use support::scene::{chat, soon};
use support::{Home, Proxy, engine_path, eventually};

/// A file whose engine writes to both streams.
fn file(more: &str) -> tempfile::TempDir {
    let script = format!(
        "echo to out; echo to err >&2; echo again; exec {} --model test-model --host \"$HOST\" --port \"$PORT\"",
        engine_path().display()
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("backend: custom\nmodel: tiny\ncommand: [sh, -c, '{script}']\n{more}");
    std::fs::write(folder.path().join("serve.yaml"), text).expect("a file in it");
    folder
}

/// What a verb prints.
fn said(home: &Home, arguments: &[&str]) -> String {
    let output = Proxy::builder().home(home).run(arguments.iter().copied());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[tokio::test]
async fn it_is_kept_under_output_dir_and_its_streams_are_told_apart() {
    let folder = file("output_dir: ./server_logs\n");
    let proxy = Proxy::builder().folder(folder.path()).options(["--config", "serve.yaml"]).start().await;
    let home = proxy.home();
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let kept = folder.path().join("server_logs/tiny/engine.log");
    // They come by two ways, and one of them may take longer than the engine takes to start.
    let all_there = async || {
        let log = std::fs::read_to_string(&kept).expect("the log");
        let there = |line: &&str| log.lines().any(|there| there == *line);
        ["stdout | to out", "stderr | to err", "stdout | again"].iter().all(there).then_some(())
    };
    eventually(soon(), "what it said is in the log", all_there).await;
    assert_eq!(mode(&kept), 0o600);
    assert_eq!(mode(&folder.path().join("server_logs/tiny")), 0o700);
    assert!(!home.path().join("state/llm-proxy/tiny/engine.log").exists());

    let out = said(&home, &["logs", "tiny", "--stream", "stdout"]);
    assert_eq!(out, "to out\nagain\n");
    let err = said(&home, &["logs", "tiny", "--stream", "stderr"]);
    assert!(err.starts_with("to err\n") && !err.contains("again") && !err.contains("---"), "{err}");
    assert_eq!(said(&home, &["logs", "tiny", "--stream", "stdout", "-n", "1"]), "again\n");
    let all: Vec<Value> = said(&home, &["logs", "tiny", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(all.contains(&json!({"stream": "stdout", "line": "to out"})), "{all:?}");
    assert!(all.contains(&json!({"stream": "stderr", "line": "to err"})), "{all:?}");
    assert!(all.first().is_some_and(|line| line.get("stream").is_none()), "this program's own: {all:?}");

    assert!(proxy.stop("TERM", soon()).await.success());
    assert_eq!(said(&home, &["logs", "tiny", "--stream", "stdout"]), "to out\nagain\n", "also once the proxy is gone");
}

#[tokio::test]
async fn the_brief_s_variable_says_where_too_and_wins_over_the_file() {
    let (folder, logs) = (file("output_dir: ./server_logs\n"), tempfile::tempdir().expect("a temporary folder"));
    let proxy = Proxy::builder().folder(folder.path()).env("VLLM_BOOTSTRAP_LOG_DIR", logs.path());
    let proxy = proxy.options(["--config", "serve.yaml"]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let log = std::fs::read_to_string(logs.path().join("tiny/engine.log")).expect("the log");
    assert!(log.contains("\nstdout | to out\n"), "{log}");
    assert!(!folder.path().join("server_logs").exists());
    let told = proxy.lines().so_far().join("\n");
    assert!(!told.contains("does nothing yet"), "{told}");
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn where_it_cannot_be_written_the_engine_runs_on_and_the_user_is_told() {
    let folder = file("output_dir: taken/logs\n");
    std::fs::write(folder.path().join("taken"), "a file, and no folder").expect("a file");
    let proxy = Proxy::builder().folder(folder.path()).options(["--config", "serve.yaml"]).start().await;
    let line = proxy.wait_for_line("the engine's log cannot be kept under ", soon()).await;
    assert!(line.contains("taken/logs: Not a directory") && line.contains("; it is kept in "), "{line}");
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert!(said(&proxy.home(), &["logs", "tiny"]).contains("\nto out\n"));
    assert!(proxy.stop("TERM", soon()).await.success());
}

/// Both streams count at once, while the connection is cut again and again.
#[tokio::test]
async fn who_follows_it_over_lost_connections_sees_each_line_once() {
    const BOTH: &str = "(n=0; while sleep 0.02; do n=$((n + 1)); echo \"out $n\"; echo \"err $n\" >&2; done) &";
    let state = tempfile::tempdir().expect("a temporary folder");
    let sshd = Sshd::start(&format!("SetEnv XDG_STATE_HOME={}", state.path().display()));
    let login = format!("{}@127.0.0.1:{}", user(), sshd.port);
    let (key, known) = (sshd.path("key"), sshd.path(".ssh/known_hosts"));
    let proxy = Proxy::builder()
        .options(["--login", &login, "--prelude", BOTH, "--name", "tiny", "-i", &key.display().to_string()])
        .options(["-o", &format!("UserKnownHostsFile={}", known.display()), "-v", "-v"])
        .command([engine_path()])
        .start()
        .await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = proxy.home();
    let mut follow = Proxy::builder().home(&home).spawn_verb(["logs", "-f", "tiny"]);
    let log = follow.stdout();
    let counted = |word: &str| -> Vec<usize> {
        log.so_far().iter().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok()).collect()
    };
    for _ in 0..4 {
        let before = counted("out ").len();
        let goes_on = async || (counted("out ").len() > before + 20).then_some(());
        eventually(soon(), "the log goes on", goes_on).await;
        for process in sshd.process_ids() {
            // It may be gone by now.
            kill(Pid::from_raw(process), Signal::SIGKILL).ok();
        }
    }
    let before = counted("err ").len();
    let goes_on = async || (counted("err ").len() > before + 20).then_some(());
    eventually(soon(), "the log goes on", goes_on).await;
    assert!(sshd.accepted() > 4, "{} connections", sshd.accepted());
    for word in ["out ", "err "] {
        let counted = counted(word);
        assert_eq!(counted, (1..=counted.len()).collect::<Vec<_>>(), "{word}");
    }
    assert!(proxy.stop("TERM", soon()).await.success());
    assert!(follow.wait(soon()).await.success(), "it ends with the proxy");
}
