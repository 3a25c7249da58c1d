//! A stop is verified, and told: job, processes, port, GPU memory; what is left, by name.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::scene::{chat, engine_processes, slurm_proxy, soon, wait_for_state, wait_until_nothing_is_left};
use support::{Cluster, Deadline, HostName, Proxy, ProxyBuilder};

/// A small engine that writes its process id into `engine` of this folder, beside a `nvidia-smi` that runs these lines there.
fn engine_and_card(folder: &Path, nvidia_smi: &str) -> ProxyBuilder<'static> {
    let stand_in = folder.join("nvidia-smi");
    std::fs::write(&stand_in, format!("#!/bin/sh\ncd {} || exit\n{nvidia_smi}\n", folder.display())).expect("a script");
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let engine = format!(
        "echo $$ >{}/engine; exec {} --host \"$HOST\" --port \"$PORT\"",
        folder.display(),
        support::engine_path().display()
    );
    Proxy::builder().with_programs_of(folder).command(["sh", "-c", &engine])
}

/// The log of the one instance of this home.
fn kept_log(home: &Path) -> String {
    let folders = std::fs::read_dir(home.join("state/llm-proxy")).expect("the state").flatten();
    folders.filter_map(|folder| std::fs::read_to_string(folder.path().join("engine.log")).ok()).collect()
}

#[tokio::test]
async fn with_debug_the_whole_account_is_shown_and_without_it_only_kept_in_the_log() {
    for debug in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let options: &[&str] = if debug { &["--debug"] } else { &[] };
        let proxy = engine_and_card(folder.path(), "echo '1, 99, init'").options(options.iter().copied()).start().await;
        proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
        let (home, lines) = (proxy.home(), proxy.lines());
        assert!(proxy.stop("TERM", soon()).await.success());
        let said = lines.so_far().join("\n");
        assert!(said.contains("done: nothing is left running"), "{said}");
        let log = kept_log(home.path());
        let pid = std::fs::read_to_string(folder.path().join("engine")).expect("the engine's process");
        let looked = format!("looked for the engine's process {}", pid.trim());
        for word in
            [looked.as_str(), "no process of the engine is left", "is free", "no process of the engine holds GPU"]
        {
            assert!(log.contains(word), "no {word:?} in {log}");
            assert_eq!(said.contains(word), debug, "{word:?} in {said}");
        }
    }
}

#[tokio::test]
async fn a_card_that_is_never_released_is_named_in_status_and_as_the_last_thing() {
    let folder = tempfile::tempdir().expect("a folder");
    let card = "echo \"$(cat engine), 512, python3\"";
    let proxy = engine_and_card(folder.path(), card).options(["--idle-timeout", "1s"]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    wait_for_state(&proxy, "stopped", 60).await;
    let pid = std::fs::read_to_string(folder.path().join("engine")).expect("the engine's process");
    let left = format!("process {} (python3) still holds 512 MiB of GPU memory", pid.trim());
    let status = Proxy::builder().home(&proxy.home()).run(["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains(&format!("left behind: {left}")), "{status}");
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", soon()).await.success());
    let said = lines.so_far();
    let (last, warned) = (said.join("\n"), said.iter().any(|line| line.contains("WARN") && line.contains(&left)));
    assert!(warned && !last.contains("nothing is left running"), "{last}");
    assert!(last.contains(&format!("done, but not all could be ended:\n  left behind: {left}")), "{last}");
}

/// As vLLM's workers after a SIGKILL of its API server: they live on and hold the card.
#[tokio::test]
async fn workers_that_outlive_a_killed_server_are_ended_and_accounted_for() {
    let cluster = Cluster::up();
    let workers = ["--children", "2", "--children-setsid", "--children-ignore-term"];
    let proxy = slurm_proxy(&cluster, &["--debug"], &workers).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert!(engine_processes(&cluster).len() >= 3, "the engine and its workers run");
    let health = proxy.client().get("/health").await.ok();
    let job = cluster.jobs();
    let kill = "p=$(pgrep -o -u USER test-engine) && kill -KILL $p && echo $p";
    let killed = cluster.say(HostName::Login, &["sh", "-c", &kill.replace("USER", cluster.user())]);
    proxy.wait_for_line("Slurm: job", Deadline::in_seconds(60)).await;
    wait_until_nothing_is_left(&cluster, 10).await;
    let said = proxy.lines().so_far().join("\n");
    let looked = format!("looked for the engine's process {}", killed.trim());
    for word in [looked.as_str(), "no process of the engine is left", "is free", "is gone"] {
        assert!(said.contains(word), "no {word:?} in {said}\n{health} {job:?}");
    }
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn a_node_that_nobody_could_look_at_is_said_to_be_so() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--debug", "--stop-timeout", "1s"], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let kill = "pkill -KILL -u USER -P \"$(pgrep -d, slurmstepd)\" sh".replace("USER", cluster.user());
    assert!(cluster.on(HostName::Login, &["sh", "-c", &kill]).status.success(), "the keeper is killed");
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", Deadline::in_seconds(120)).await.success());
    let said = lines.so_far().join("\n");
    assert!(said.contains("node1: not looked at, for the engine's keeper was ended before it could"), "{said}");
    wait_until_nothing_is_left(&cluster, 10).await;
}
