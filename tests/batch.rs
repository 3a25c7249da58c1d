//! `--batch`: the whole way with a job that `sbatch` asked for, at a site that kills what a user leaves on the login host.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;

use support::scene::{
    chat, engine_processes, life_folders, queued_proxy, slurm_proxy, soon, wait_for_state, wait_until_nothing_is_left,
};
use support::{Cluster, Deadline, HostName, Proxy, ProxyBuilder, eventually};

/// Counts aloud in the engine's log for as long as it runs.
const COUNTS: &str = "(n=0; while sleep 0.05; do n=$((n + 1)); echo \"count $n\"; done) &";

fn batch_proxy<'a>(cluster: &'a Cluster, options: &[&str], engine: &[&str]) -> ProxyBuilder<'a> {
    slurm_proxy(cluster, &["--batch"], engine).options(options.iter().copied())
}

/// The processes of the cluster's user on a login host.
fn on_login(cluster: &Cluster, machine: HostName) -> Vec<String> {
    let name = |pid: &str| format!("/proc/{pid}/ns/net");
    let there = cluster.on(machine, &["readlink", &name("self")]).stdout;
    let there = String::from_utf8_lossy(&there).trim().to_owned();
    let all = cluster.on(machine, &["ps", "-u", cluster.user(), "-o", "pid=,stat=,args="]).stdout;
    let is_there = |line: &&str| {
        let pid = line.split_whitespace().next().unwrap_or_default();
        let link = std::fs::read_link(name(pid)).unwrap_or_default();
        link.to_string_lossy() == there && !line.contains(" Z")
    };
    String::from_utf8_lossy(&all).lines().filter(is_there).map(|line| line.trim().to_owned()).collect()
}

async fn until_nothing_is_on_login(cluster: &Cluster) {
    let none = async || on_login(cluster, HostName::Login).is_empty().then_some(());
    eventually(soon(), "nothing of the user's is on the login host", none).await;
}

/// What `KillUserProcesses` does once a user's last session has ended.
fn kill_all(cluster: &Cluster, machine: HostName) -> Vec<String> {
    let found = on_login(cluster, machine);
    for process in &found {
        let pid = process.split_whitespace().next().expect("a process id");
        cluster.on(machine, &["kill", "-KILL", pid]);
    }
    found
}

/// The kept log of the engine.
fn log_of(proxy: &Proxy) -> String {
    let log = proxy.home().path().join("state/llm-proxy/test-engine/engine.log");
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

fn counted(proxy: &Proxy) -> Vec<u32> {
    log_of(proxy).lines().filter_map(|line| line.strip_prefix("stdout | count ")?.parse().ok()).collect()
}

fn job_number(cluster: &Cluster) -> String {
    let jobs = cluster.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs[0].split(' ').next().expect("a number").to_owned()
}

#[tokio::test]
async fn a_request_starts_a_job_and_streams_and_the_job_ends_when_idle() {
    let cluster = Cluster::up();
    let engine = ["--bar", "300ms", "--token-delay", "50"];
    let proxy = batch_proxy(&cluster, &["--idle-timeout", "2s", "--env", "SECRET=hf_sesame"], &engine).start().await;
    let body = chat(true);
    let (mut stream, ()) = tokio::join!(proxy.client().stream("/v1/chat/completions", &body), async {
        for percent in [0, 50, 100] {
            proxy.wait_for_line(&format!(": loading weights {percent} %"), soon()).await;
        }
    });
    assert!(stream.event().await.expect("an event").expect("an event").starts_with("data: {"));
    let job = job_number(&cluster);
    assert_eq!(proxy.home().record("test-engine")["job"].to_string(), job);
    let shown = cluster.say(HostName::Login, &["scontrol", "show", "job", &job]);
    for word in ["BatchFlag=1", "Requeue=0", "JobState=RUNNING", "JobName=llm-proxy-"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    let script = cluster.say(HostName::Login, &["scontrol", "write", "batch_script", &job, "-"]);
    let key = proxy.home().record("test-engine")["engine_key"].to_string();
    for secret in ["hf_sesame", key.trim_matches('"')] {
        assert!(!script.contains(secret), "Slurm shows a secret: {script}");
    }
    let (events, complete) = stream.events().await;
    assert!(complete && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");

    wait_for_state(&proxy, "stopped", 30).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "stopped is said only once Slurm says so");
    let state = cluster.say(HostName::Login, &["squeue", "-h", "-t", "all", "-j", &job, "-o", "%T"]);
    assert!(!state.contains("CANCELLED"), "it ended by itself: {state}");
    assert_eq!((engine_processes(&cluster), life_folders(&cluster)), (vec![], vec![]));
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn what_a_site_kills_on_the_login_host_ends_nothing() {
    let cluster = Cluster::up();
    let config = std::fs::read_to_string(cluster.ssh_config()).expect("the laptop's settings");
    let quick = format!("{config}  ServerAliveInterval 1\n  ServerAliveCountMax 2\n  ConnectTimeout 2\n");
    std::fs::write(cluster.ssh_config(), quick).expect("the laptop's settings");
    let proxy = batch_proxy(&cluster, &["--prelude", COUNTS], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let job = cluster.jobs();
    for _ in 0..2 {
        let before = counted(&proxy).len();
        cluster.cut();
        let killed = kill_all(&cluster, HostName::Login);
        assert!(!killed.is_empty(), "the connection's own");
        // What dies with its shell dies a moment later.
        until_nothing_is_on_login(&cluster).await;
        proxy.wait_for_line("lost the connection", soon()).await;
        cluster.mend();
        let goes_on = async || (counted(&proxy).len() > before + 20).then_some(());
        eventually(soon(), "the log goes on", goes_on).await;
        proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
        assert_eq!(cluster.jobs(), job, "the same job serves on");
    }
    let counted = counted(&proxy);
    let whole: Vec<u32> = (1..).take(counted.len()).collect();
    assert_eq!(counted, whole, "no line is lost or told twice");
    assert!(proxy.stop("TERM", soon()).await.success());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn a_connection_that_ends_leaves_nothing_on_the_login_host() {
    let cluster = Cluster::up();
    let proxy = batch_proxy(&cluster, &["--lease", "6s"], &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert!(!on_login(&cluster, HostName::Login).is_empty(), "the connection's own");
    proxy.stop("KILL", soon()).await;
    until_nothing_is_on_login(&cluster).await;
    assert_eq!(cluster.jobs().len(), 1, "and the job runs on for a while");
    wait_until_nothing_is_left(&cluster, 40).await;
    assert_eq!(on_login(&cluster, HostName::Login), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_that_waits_keeps_its_place_without_anything_on_the_login_host_and_is_cancelled() {
    let cluster = Cluster::up();
    let proxy = queued_proxy(&cluster).options(["--batch"]).start().await;
    let body = chat(false);
    let (_, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        proxy.wait_for_line("queued (PartitionDown)", soon()).await;
        let job = cluster.jobs();
        kill_all(&cluster, HostName::Login);
        proxy.wait_for_line("connected again", soon()).await;
        assert_eq!((cluster.jobs(), job.len()), (job, 1));
        proxy.signal("TERM");
    });
    let lines = proxy.lines();
    assert!(proxy.ended(soon()).await.success(), "{:?}", lines.so_far());
    assert_eq!((cluster.jobs(), life_folders(&cluster)), (vec![], vec![]));
}

/// A folder of the user's before the host's own ones in every session's `PATH`, with an `sbatch` that asks for the job and
/// then says nothing for as long as there is a file `hold`.
fn hold_up_sbatch(cluster: &Cluster) {
    let shims = cluster.home().join("shims");
    std::fs::create_dir_all(&shims).expect("a folder in a home");
    let script = "#!/bin/sh\n/usr/bin/sbatch \"$@\" || exit\nwhile [ -e ~/hold ]; do sleep 0.1; done\n";
    std::fs::write(shims.join("sbatch"), script).expect("a file in a home");
    std::fs::set_permissions(shims.join("sbatch"), PermissionsExt::from_mode(0o755)).expect("our own file");
    std::fs::write(cluster.home().join(".bashrc"), "export PATH=~/shims:$PATH\n").expect("a file in a home");
    std::fs::write(cluster.home().join("hold"), "").expect("a file in a home");
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_comes_to_no_second_job_and_to_no_lost_one() {
    let cluster = Cluster::up();
    hold_up_sbatch(&cluster);
    let proxy = batch_proxy(&cluster, &[], &[]).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        eventually(soon(), "a job", async || (cluster.jobs().len() == 1).then_some(())).await;
        kill_all(&cluster, HostName::Login);
    });
    assert_eq!(answer.status, 503, "it is told: {}", answer.text());
    wait_for_state(&proxy, "failed", 60).await;
    assert_eq!((cluster.jobs(), life_folders(&cluster)), (vec![], vec![]), "it was ended, and seen to be gone");
    std::fs::remove_file(cluster.home().join("hold")).expect("the file that holds it up");
    let again = async || (proxy.client().post("/v1/chat/completions", &chat(false)).await.status == 200).then_some(());
    eventually(Deadline::in_seconds(60), "it is started afresh", again).await;
    assert_eq!(cluster.jobs().len(), 1);
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn a_job_whose_asking_is_stopped_is_ended() {
    let cluster = Cluster::up();
    hold_up_sbatch(&cluster);
    let proxy = batch_proxy(&cluster, &[], &[]).start().await;
    let body = chat(false);
    tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        eventually(soon(), "a job", async || (cluster.jobs().len() == 1).then_some(())).await;
        proxy.signal("TERM");
    });
    assert!(proxy.ended(soon()).await.success());
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    until_nothing_is_on_login(&cluster).await;
}

#[tokio::test]
async fn a_job_that_somebody_cancels_is_told_whether_or_not_it_could_say_so() {
    let cluster = Cluster::up();
    let proxy = batch_proxy(&cluster, &[], &[]).start().await;
    let (kill, cancel): (&[&str], &[&str]) = (&["--signal=KILL", "--full"], &[]);
    for (how, may_write, seconds) in [(kill, true, 40), (cancel, true, 40), (kill, false, 60)] {
        let again =
            async || (proxy.client().post("/v1/chat/completions", &chat(false)).await.status == 200).then_some(());
        eventually(Deadline::in_seconds(60), "it is started, and started afresh", again).await;
        let job = job_number(&cluster);
        if !may_write {
            let folder = life_folders(&cluster).pop().expect("the life's folder");
            let reports = cluster.home().join(".local/state/llm-proxy/lives").join(folder).join("reports");
            std::fs::set_permissions(reports, PermissionsExt::from_mode(0o400)).expect("a file in a home");
        }
        cluster.on(HostName::Login, &[&["scancel"], how, &[&job]].concat());
        wait_for_state(&proxy, "failed", seconds).await;
        wait_until_nothing_is_left(&cluster, 20).await;
    }
    assert!(proxy.stop("TERM", soon()).await.success());
    assert_eq!(life_folders(&cluster), Vec::<String>::new());
}

#[tokio::test]
async fn what_an_engine_says_and_its_exit_code_arrive() {
    let cluster = Cluster::up();
    let text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB";
    for (words, told) in [(text, "CUDA out of memory"), ("I do not like this machine", "exit code 42")] {
        let proxy = batch_proxy(&cluster, &[], &["--fail", words, "--exit", "42"]).start().await;
        let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
        assert!(answer.status == 503 && answer.text().contains(told), "{}", answer.text());
        wait_for_state(&proxy, "failed", 30).await;
        assert!(proxy.stop("TERM", soon()).await.success());
        wait_until_nothing_is_left(&cluster, 10).await;
    }
}

#[tokio::test]
async fn what_slurm_or_the_host_refuses_is_told_in_their_words() {
    let cluster = Cluster::up();
    for (arguments, words) in [
        ("--mem=1G --gres=gpu:7", "Requested node configuration is not available"),
        ("--mem=1G --partition=nosuch", "nvalid partition"),
        ("--mem=1G --nosuchoption", "unrecognized option"),
    ] {
        let options = ["--use-slurm", "--batch", "--srun-args", arguments];
        let proxy = Proxy::builder().on_laptop(&cluster).options(options).command([cluster.engine().into_os_string()]);
        let proxy = proxy.start().await;
        let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
        assert!(answer.status == 503 && answer.text().contains(words), "{arguments}: {}", answer.text());
        assert!(answer.text().contains("--srun-args"), "no remedy: {}", answer.text());
        assert!(proxy.stop("TERM", soon()).await.success());
    }
    assert_eq!(life_folders(&cluster), Vec::<String>::new());
}

/// /tmp is each host's own.
#[tokio::test]
async fn a_folder_that_the_nodes_do_not_share_is_told() {
    let cluster = Cluster::up();
    std::fs::write(cluster.home().join(".bashrc"), "export XDG_STATE_HOME=/tmp/state\n").expect("a file in a home");
    let proxy = batch_proxy(&cluster, &[], &[]).start().await;
    let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
    let told = answer.json()["error"].to_string();
    assert!(answer.status == 503 && told.contains("XDG_STATE_HOME"), "{told}");
    assert!(told.contains("node") && told.contains("could not begin the job"), "{told}");
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn sbatch_on_this_machine() {
    let cluster = Cluster::up();
    let proxy = Proxy::builder()
        .on_login(&cluster)
        .options(["--use-slurm", "--batch", "--srun-args", support::scene::SRUN_ARGS])
        .command([cluster.engine().display().to_string()])
        .start()
        .await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(cluster.jobs().len(), 1);
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}
