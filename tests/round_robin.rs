//! One name with two login machines behind it: what was started through one of them is found again through the other.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use support::scene::{SRUN_ARGS, chat, engine_processes, life_folders, soon, wait_until_nothing_is_left};
use support::{Cluster, Deadline, HostName, Proxy, ProxyBuilder, eventually};
use tokio::time::sleep;

/// A proxy on the laptop that knows both machines by one name.
fn proxy<'a>(cluster: &'a Cluster, options: &[&str]) -> ProxyBuilder<'a> {
    Proxy::builder()
        .on_laptop_to(cluster, "cluster")
        .options(options.iter().copied())
        .command([cluster.engine().display().to_string()])
}

/// The machine that the one life was started on, as its folder says, and the other one.
fn machines(cluster: &Cluster) -> (HostName, HostName) {
    let folders = life_folders(cluster);
    let [folder] = folders.as_slice() else { unreachable!("{folders:?}") };
    let life = cluster.home().join(".local/state/llm-proxy/lives").join(folder).join("life");
    let life = std::fs::read_to_string(life).expect("the life's file");
    match life.split_whitespace().nth(1) {
        Some("login") => (HostName::Login, HostName::Login2),
        Some("login2") => (HostName::Login2, HostName::Login),
        other => unreachable!("{other:?}"),
    }
}

fn sshd_folder(cluster: &Cluster, machine: HostName) -> std::path::PathBuf {
    let laptop = cluster.key().parent().expect("the laptop's folder");
    laptop.with_file_name(machine.as_str())
}

/// How often that machine let somebody in.
fn logins(cluster: &Cluster, machine: HostName) -> usize {
    let log = std::fs::read_to_string(sshd_folder(cluster, machine).join("sshd.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains("Accepted ")).count()
}

/// That machine's SSH server is gone, and then the laptop's way to it; what runs there goes on.
fn lose(cluster: &Cluster, machine: HostName) {
    let settings = sshd_folder(cluster, machine).join("sshd_config").display().to_string();
    let pids = cluster.on(machine, &["pgrep", "-x", "sshd"]).stdout;
    let is_listener = |pid: &&str| {
        let said = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&said).contains(&settings)
    };
    let pids = String::from_utf8_lossy(&pids).into_owned();
    let listener = pids.lines().find(is_listener).expect("that machine's sshd");
    cluster.on(machine, &["kill", "-KILL", listener]);
    end_sessions(cluster, machine);
    cluster.cut_from(machine);
}

fn end_sessions(cluster: &Cluster, machine: HostName) {
    cluster.on(machine, &["pkill", "-KILL", "-u", cluster.user(), "sshd"]);
}

#[tokio::test]
async fn a_job_is_found_again_from_the_other_machine() {
    is_found_again(&[]).await;
}

#[tokio::test]
async fn a_batch_job_is_found_again_from_the_other_machine() {
    is_found_again(&["--batch"]).await;
}

async fn is_found_again(more: &[&str]) {
    let cluster = Cluster::builder().second_login().up();
    let options = ["--use-slurm", "--srun-args", SRUN_ARGS, "--lease", "6s"];
    let proxy = proxy(&cluster, &[&options, more].concat()).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let jobs = cluster.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    let (first, other) = machines(&cluster);
    assert_eq!(logins(&cluster, other), 0);

    lose(&cluster, first);
    proxy.wait_for_line("lost the connection", soon()).await;
    // It waits for the way to be there again.
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert!(logins(&cluster, other) > 0, "by the other machine");
    // Its keeper hears from us by way of the other machine, or its lease would run out.
    sleep(Duration::from_secs(10)).await;
    let (events, whole) = proxy.client().stream("/v1/chat/completions", &chat(true)).await.events().await;
    assert!(whole && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");
    assert_eq!(cluster.jobs(), jobs, "the same job serves on");

    let lines = proxy.lines();
    assert!(proxy.stop("TERM", soon()).await.success(), "{:?}", lines.so_far());
    assert_eq!(jobs_seen_from(&cluster, other), "", "it was verified gone");
    wait_until_nothing_is_left(&cluster, 10).await;
    assert_eq!(life_folders(&cluster), Vec::<String>::new());
}

fn jobs_seen_from(cluster: &Cluster, machine: HostName) -> String {
    cluster.say(machine, &["squeue", "-h", "-o", "%i %T %j"])
}

#[tokio::test]
async fn the_same_machine_is_gone_back_to_first() {
    let cluster = Cluster::builder().second_login().up();
    let options = ["--use-slurm", "--srun-args", SRUN_ARGS];
    let proxy = proxy(&cluster, &options).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let (first, other) = machines(&cluster);
    for _ in 0..3 {
        let before = logins(&cluster, first);
        end_sessions(&cluster, first);
        let back = async || (logins(&cluster, first) > before).then_some(());
        eventually(soon(), "it is back on the same machine", back).await;
        proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    }
    assert_eq!(logins(&cluster, other), 0);
    assert!(proxy.stop("TERM", soon()).await.success());
}

/// Without Slurm the engine runs on one of the machines itself, and the other one's loopback is not the way to it: what
/// listens there may be anybody's.
#[tokio::test]
async fn a_process_on_the_lost_machine_is_ended_by_its_files_and_told() {
    let cluster = Cluster::builder().second_login().up();
    let proxy = proxy(&cluster, &[]).start().await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    let (first, other) = machines(&cluster);
    let before = engine_processes(&cluster);
    assert!(!before.is_empty());
    lose(&cluster, first);
    let told = format!("the engine runs on {}, and the host's name now leads to {}", first.as_str(), other.as_str());
    proxy.wait_for_line(&told, soon()).await;
    let again = async || (proxy.client().post("/v1/chat/completions", &chat(false)).await.status == 200).then_some(());
    eventually(Deadline::in_seconds(40), "another one serves from the other machine", again).await;
    let now = engine_processes(&cluster);
    assert!(!before.iter().any(|process| now.contains(process)), "of the first one something is left: {now:?}");
    assert_eq!(machines(&cluster).0, other);
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

/// A program of this name that waits, where `when` holds, for as long as there is a file `hold` in the user's home. It is
/// found before the host's own one in every session.
fn hold_up(cluster: &Cluster, program: &str, when: &str) {
    let (home, real) = (cluster.home(), format!("/usr/bin/{program}"));
    let script =
        format!("#!/bin/sh\nif {when}; then while [ -e ~/hold ]; do sleep 0.1; done; fi\nexec {real} \"$@\"\n");
    std::fs::create_dir_all(home.join("shims")).expect("a folder in the user's home");
    let shim = home.join("shims").join(program);
    std::fs::write(&shim, script).expect("a file in the user's home");
    std::fs::set_permissions(&shim, std::fs::Permissions::from_mode(0o755)).expect("our own file");
    // /tmp is each machine's own, and so are the files of a life then.
    let lines = "export PATH=~/shims:$PATH XDG_STATE_HOME=/tmp/state\n";
    std::fs::write(home.join(".bashrc"), lines).expect("a file in the user's home");
    std::fs::write(home.join("hold"), "").expect("a file in the user's home");
    let user = cluster.user();
    cluster.on(HostName::Login, &["chown", "-R", user, &home.display().to_string()]);
}

/// Holds up a launch after the job was asked for, and before that is said.
fn hold_up_the_answer(cluster: &Cluster) {
    hold_up(cluster, "uname", "ls /tmp/state/llm-proxy/lives/* >/dev/null 2>&1");
}

fn let_go(cluster: &Cluster) {
    std::fs::remove_file(cluster.home().join("hold")).expect("the file that holds it up");
}

/// The jobs that Slurm ever had, those that are over among them.
fn jobs_ever(cluster: &Cluster, machine: HostName) -> usize {
    cluster.say(machine, &["squeue", "-h", "-t", "all", "-o", "%i"]).lines().count()
}

/// The machine that was logged in to, and the other one.
fn reached(cluster: &Cluster) -> (HostName, HostName) {
    let [login, login2] = [HostName::Login, HostName::Login2].map(|machine| logins(cluster, machine));
    assert!((login == 0) != (login2 == 0), "one of them: {login} {login2}");
    if login > 0 { (HostName::Login, HostName::Login2) } else { (HostName::Login2, HostName::Login) }
}

async fn until_a_job_is_there(cluster: &Cluster) {
    eventually(soon(), "a job", async || (cluster.jobs().len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_launch_whose_answer_is_lost_is_found_on_the_same_machine() {
    let cluster = Cluster::builder().second_login().up();
    hold_up_the_answer(&cluster);
    let proxy = proxy(&cluster, &["--use-slurm", "--srun-args", SRUN_ARGS]).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        until_a_job_is_there(&cluster).await;
        end_sessions(&cluster, reached(&cluster).0);
        proxy.wait_for_line("lost the connection", soon()).await;
        let_go(&cluster);
    });
    answer.ok();
    assert_eq!(jobs_ever(&cluster, HostName::Login), 1);
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

/// The machine that is left knows nothing of the launch: neither a folder nor a word; but Slurm does.
#[tokio::test]
async fn a_launch_whose_answer_is_lost_with_its_machine_is_not_asked_for_again() {
    let cluster = Cluster::builder().second_login().up();
    hold_up_the_answer(&cluster);
    let proxy = proxy(&cluster, &["--use-slurm", "--srun-args", SRUN_ARGS]).start().await;
    let body = chat(false);
    let lines = proxy.lines();
    let (_, other) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        until_a_job_is_there(&cluster).await;
        let (first, other) = reached(&cluster);
        lose(&cluster, first);
        proxy.wait_for_line("connected again", soon()).await;
        assert!(logins(&cluster, other) > 0, "by the other machine");
        for _ in 0..40 {
            assert_eq!(jobs_ever(&cluster, other), 1, "{:?}", lines.so_far());
            sleep(Duration::from_millis(250)).await;
        }
        proxy.signal("TERM");
        other
    });
    assert!(proxy.ended(soon()).await.success(), "{:?}", lines.so_far());
    assert_eq!(jobs_seen_from(&cluster, other), "", "it was ended, and verified gone");
    assert_eq!(jobs_ever(&cluster, other), 1);
}

/// What was asked for on the lost connection happens all the same, but late.
#[tokio::test]
async fn a_launch_that_comes_late_comes_to_nothing() {
    let cluster = Cluster::builder().second_login().up();
    hold_up(&cluster, "mkdir", "[ \"$1\" = -p ] && /usr/bin/mkdir ~/asked 2>/dev/null");
    let proxy = proxy(&cluster, &["--use-slurm", "--srun-args", SRUN_ARGS]).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        let asked = async || cluster.home().join("asked").exists().then_some(());
        eventually(soon(), "the launch is on its way", asked).await;
        end_sessions(&cluster, reached(&cluster).0);
    });
    answer.ok();
    let job = cluster.jobs();
    let_go(&cluster);
    let runners = || cluster.on(HostName::Login, &["pgrep", "-u", cluster.user(), "-f", "shims/mkdir"]).stdout;
    eventually(soon(), "the late one is over", async || runners().is_empty().then_some(())).await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!((cluster.jobs(), jobs_ever(&cluster, HostName::Login)), (job, 1));
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}
