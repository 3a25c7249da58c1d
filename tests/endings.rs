//! No GPU is left behind: signals, lost links, a proxy that is killed, engines that do not want to end.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use futures_util::future::join_all;
use support::scene::{
    chat, controller, engine_processes, queued_proxy, slurm_proxy, soon, state, wait_for_state,
    wait_until_nothing_is_left,
};
use support::{Cluster, Deadline, HostName, Proxy, eventually};

#[tokio::test]
async fn ctrl_c_finishes_what_is_in_flight_then_ends_the_engine() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--token-delay", "200", "--tokens", "10"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    let lines = proxy.lines();
    let (status, (events, complete)) = tokio::join!(proxy.stop("INT", soon()), stream.events());
    assert!(complete && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");
    assert!(status.success(), "{:?}", lines.so_far());
    let said = lines.so_far().join("\n");
    for word in ["finishing what is in flight", "ending the engine", "nothing is left running"] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    // The runner's shell ends with its connection, a moment later.
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--token-delay", "1000", "--tokens", "1000", "--ignore-terms", "99"]);
    let proxy = proxy.start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    proxy.signal("INT");
    proxy.wait_for_line("finishing what is in flight", soon()).await;
    let lines = proxy.lines();
    assert!(proxy.stop("INT", soon()).await.success(), "{:?}", lines.so_far());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    let (events, _) = stream.events().await;
    assert!(!events.iter().any(|event| event.contains("[DONE]")), "{events:?}");
}

/// vLLM writes `[DONE]` after an answer that it aborts.
#[tokio::test]
async fn an_answer_that_we_end_has_no_end_that_looks_whole() {
    let cluster = Cluster::up();
    let proxy =
        slurm_proxy(&cluster, &[], &["--token-delay", "500", "--tokens", "1000", "--done-at-term"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    stream.event().await.expect("an event").expect("an event");
    proxy.signal("INT");
    proxy.wait_for_line("finishing what is in flight", soon()).await;
    let (status, (events, _)) = tokio::join!(proxy.stop("INT", soon()), stream.events());
    assert!(status.success());
    assert!(!events.iter().any(|event| event.contains("[DONE]")), "{events:?}");
    assert!(events.last().is_some_and(|last| last.contains("engine_stopped")), "it is told: {events:?}");
    wait_until_nothing_is_left(&cluster, 20).await;
}

/// One who waits for the whole of an answer is told that the engine was stopped, not that it broke.
#[tokio::test]
async fn a_plain_answer_that_we_end_is_refused_with_the_reason() {
    let proxy = Proxy::builder().command([support::engine_path().into_os_string()]);
    let proxy = proxy.command(["--token-delay", "1000", "--tokens", "1000"]).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        let in_flight = async || {
            let health = proxy.client().get("/health").await.ok();
            (health.pointer("/detail/0/in_flight") == Some(&1.into())).then_some(())
        };
        eventually(soon(), "the request is in flight", in_flight).await;
        proxy.signal("INT");
        proxy.wait_for_line("finishing what is in flight", soon()).await;
        proxy.signal("INT");
    });
    let error = answer.json();
    let code = error.pointer("/error/code").and_then(|code| code.as_str());
    assert_eq!((answer.status.as_u16(), code), (503, Some("engine_stopped")), "{error}");
    assert!(proxy.ended(soon()).await.success());
}

#[tokio::test]
async fn a_queued_job_is_cancelled() {
    let cluster = Cluster::up();
    let proxy = queued_proxy(&cluster).start().await;
    let body = chat(false);
    let (_, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        proxy.wait_for_line("queued (PartitionDown)", soon()).await;
        assert_eq!(cluster.jobs().len(), 1);
        proxy.signal("TERM");
    });
    let lines = proxy.lines();
    assert!(proxy.ended(soon()).await.success(), "{:?}", lines.so_far());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    wait_until_nothing_is_left(&cluster, 10).await;
}

/// Ends, on the login host, who started the job: `srun`, and the shell that waits for it.
fn kill_launcher(cluster: &Cluster) {
    let kill = format!("pkill -KILL -u {user} srun; pkill -KILL -u {user} -f '^/bin/sh -s /'", user = cluster.user());
    cluster.on(HostName::Login, &["sh", "-c", &kill]);
}

#[tokio::test]
async fn a_launcher_that_is_killed_while_the_job_waits_strands_nobody() {
    let cluster = Cluster::up();
    let proxy = queued_proxy(&cluster).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        proxy.wait_for_line("queued (PartitionDown)", soon()).await;
        kill_launcher(&cluster);
        cluster.on_as_user(HostName::Login, &["scancel", "--me"]);
    });
    assert_eq!(answer.status, 503, "{}", answer.text());
    wait_for_state(&proxy, "failed", 30).await;
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn a_launcher_that_is_killed_while_the_engine_runs_is_noticed_at_the_end() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--stop-timeout", "1s"], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    kill_launcher(&cluster);
    assert!(proxy.stop("TERM", Deadline::in_seconds(60)).await.success());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_scheduler_that_does_not_answer_means_unknown_and_not_gone() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--idle-timeout", "2s"], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let pid = controller(&cluster);
    cluster.on(HostName::Login, &["kill", "-STOP", &pid]);
    proxy.wait_for_line("ending the engine", soon()).await;
    let until = tokio::time::Instant::now() + Duration::from_secs(4);
    while tokio::time::Instant::now() < until {
        assert_eq!(state(&proxy).await, "stopping", "nobody said that it is gone");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster.on(HostName::Login, &["kill", "-CONT", &pid]);
    wait_for_state(&proxy, "stopped", 120).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn an_engine_that_ignores_term_and_its_children_are_ended_all_the_same() {
    let cluster = Cluster::up();
    let stubborn = ["--ignore-terms", "99", "--children", "2", "--children-setsid", "--children-ignore-term"];
    let proxy = slurm_proxy(&cluster, &["--stop-timeout", "2s"], &stubborn).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert!(engine_processes(&cluster).len() >= 3, "the engine and its children run");
    assert!(proxy.stop("TERM", soon()).await.success());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    wait_until_nothing_is_left(&cluster, 20).await;
}

#[tokio::test]
async fn a_proxy_that_is_killed_leaves_a_job_that_ends_itself() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--lease", "4s"], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let home = proxy.home();
    proxy.stop("KILL", soon()).await;
    assert_eq!(cluster.jobs().len(), 1, "the job runs on for a while");
    wait_until_nothing_is_left(&cluster, 30).await;
    let record = home.record_file("test-engine");
    assert!(record.exists(), "what a later start needs to find the job is on disk");
}

#[tokio::test]
async fn a_lease_that_is_renewed_does_not_run_out() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--lease", "2s"], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let job = cluster.jobs();
    let until = tokio::time::Instant::now() + Duration::from_secs(6);
    while tokio::time::Instant::now() < until {
        assert_eq!(state(&proxy).await, "ready");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(cluster.jobs(), job);
}

#[tokio::test]
async fn a_lost_link_loses_nothing() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let job = cluster.jobs();
    let kill = format!("pkill -KILL -u {} sshd", cluster.user());
    cluster.on(HostName::Login, &["sh", "-c", &kill]);
    proxy.wait_for_line("lost the connection", soon()).await;
    proxy.wait_for_line("connected again", soon()).await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(cluster.jobs(), job, "the same job serves on");
    assert!(proxy.stop("TERM", soon()).await.success());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_link_that_is_lost_while_the_job_waits_in_the_queue_keeps_its_place() {
    let cluster = Cluster::up();
    // Both nodes are taken, so that the job waits, until the one who took them leaves.
    let mut holder = cluster.user_command(HostName::Login, "srun");
    holder.args(["--nodes=2", "--exclusive", "--mem=1G", "sleep", "600"]);
    let holder = support::ChildGuard::start("the one who holds the nodes", &mut holder);
    let held = async || cluster.jobs().iter().any(|job| job.contains("RUNNING")).then_some(());
    eventually(soon(), "the nodes are taken", held).await;
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        proxy.wait_for_line("queued (Resources)", soon()).await;
        let mine = |jobs: Vec<String>| jobs.into_iter().find(|job| job.contains("llm-proxy"));
        let before = mine(cluster.jobs()).expect("our job");
        let kill = format!("pkill -KILL -u {} sshd", cluster.user());
        cluster.on(HostName::Login, &["sh", "-c", &kill]);
        proxy.wait_for_line("connected again", soon()).await;
        assert_eq!(mine(cluster.jobs()), Some(before));
        cluster.on_as_user(HostName::Login, &["scancel", "--name=sleep"]);
    });
    answer.ok();
    drop(holder);
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 20).await;
}

/// What is asked for meanwhile is no promise to the wind: it is told as not done yet, and done once the link is back.
#[tokio::test]
async fn a_stop_while_the_link_is_down_is_carried_out_when_it_is_back() {
    let cluster = Cluster::up();
    let config = std::fs::read_to_string(cluster.ssh_config()).expect("the laptop's settings");
    let quick = format!("{config}  ServerAliveInterval 1\n  ServerAliveCountMax 2\n  ConnectTimeout 2\n");
    std::fs::write(cluster.ssh_config(), quick).expect("the laptop's settings");
    for (builder, there) in
        [(slurm_proxy(&cluster, &[], &[]), "ready in"), (queued_proxy(&cluster), "queued (PartitionDown)")]
    {
        let proxy = builder.start().await;
        let home = proxy.home();
        proxy.client().get("/v1/models").await;
        proxy.wait_for_line(there, soon()).await;
        let job = cluster.jobs();
        cluster.cut();
        proxy.wait_for_line("lost the connection", soon()).await;

        let ready = there == "ready in";
        if ready {
            // Whoever leaves while he waits for the link holds nothing any more.
            let body = chat(false);
            let waits =
                tokio::time::timeout(Duration::from_secs(1), proxy.client().post("/v1/chat/completions", &body));
            assert!(waits.await.is_err(), "it is held until the link is back");
            let held = async || {
                let health = proxy.client().get("/health").await.ok();
                (health.pointer("/detail/0/in_flight") == Some(&0.into())).then_some(())
            };
            eventually(soon(), "nothing is in flight", held).await;
        }
        let mut stop = Proxy::builder().home(&home).spawn_verb(["stop"]);
        wait_for_state(&proxy, "stopping", 20).await;
        let health = proxy.client().get("/health").await.ok();
        assert_eq!(health.pointer("/detail/0/link"), Some(&"reconnecting".into()), "{health}");
        assert!(stop.try_wait().is_none(), "it is not done yet: {:?}", stop.stderr().so_far());
        assert_eq!(cluster.jobs(), job);

        cluster.mend();
        assert!(stop.wait(Deadline::in_seconds(60)).await.success(), "{:?}", stop.stderr().so_far());
        assert_eq!(cluster.jobs(), Vec::<String>::new());
        assert!(proxy.stop("TERM", soon()).await.success());
        wait_until_nothing_is_left(&cluster, 10).await;
    }
}

#[tokio::test]
async fn a_job_that_somebody_cancels_is_told_and_started_afresh() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    cluster.on_as_user(HostName::Login, &["scancel", "--me"]);
    wait_for_state(&proxy, "failed", 30).await;
    wait_until_nothing_is_left(&cluster, 20).await;
    let again = async || (proxy.client().post("/v1/chat/completions", &chat(false)).await.status == 200).then_some(());
    eventually(Deadline::in_seconds(40), "it is started afresh", again).await;
}

#[tokio::test]
async fn a_request_while_the_engine_ends_is_served_by_the_next_life() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--idle-timeout", "1s"], &["--ignore-terms", "1"]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    proxy.wait_for_line("ending the engine", soon()).await;
    let asking = (0..3).map(|_| async { proxy.client().post("/v1/chat/completions", &chat(false)).await });
    for answer in join_all(asking).await {
        answer.ok();
    }
    assert_eq!(cluster.jobs().len(), 1);
    assert!(proxy.stop("TERM", soon()).await.success());
}
