//! Starts that fail: told to all who wait, in Slurm's or the engine's own words, with what to do; and then tried afresh.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::StatusCode;
use support::scene::{
    chat, engine_processes, life_folders, slurm_proxy, soon, state, wait_for_state, wait_until_nothing_is_left,
};
use support::{Answer, Cluster, HostName, Proxy};

/// The error's message, of an answer that must be an OpenAI-shaped error with this status.
fn message(answer: &Answer, status: StatusCode) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    let json = answer.json();
    for field in ["type", "param", "code"] {
        assert!(json["error"].get(field).is_some(), "no {field} in {json}");
    }
    json["error"]["message"].as_str().expect("a message").to_owned()
}

fn unavailable(answer: &Answer) -> String {
    assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    message(answer, StatusCode::SERVICE_UNAVAILABLE)
}

#[tokio::test]
async fn an_engine_that_fails_is_quoted_to_all_who_wait_and_then_tried_afresh() {
    let cluster = Cluster::up();
    let text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB";
    let proxy = slurm_proxy(&cluster, &[], &["--start-delay", "500ms", "--fail", text, "--exit", "1"]).start().await;
    let asking = (0..5).map(|_| async { proxy.client().post("/v1/chat/completions", &chat(false)).await });
    for answer in join_all(asking).await {
        let said = unavailable(&answer);
        assert!(said.contains("CUDA out of memory"), "{said}");
        assert!(said.contains("--gpu-memory-utilization") || said.contains("smaller"), "no remedy: {said}");
    }
    wait_for_state(&proxy, "failed", 30).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "failed is said only once it is gone");
    let before_its_time = proxy.client().post("/v1/chat/completions", &chat(false)).await;
    assert!(unavailable(&before_its_time).contains("CUDA out of memory"));
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "no job before the back-off is over");
    let seconds: u64 = before_its_time.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=5).contains(&seconds), "{seconds}");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    unavailable(&proxy.client().post("/v1/chat/completions", &chat(false)).await);
    let jobs = cluster.say(HostName::Login, &["scontrol", "show", "job", "--oneliner"]);
    assert_eq!(jobs.lines().filter(|line| line.contains("JobId=")).count(), 2, "a second life was tried: {jobs}");
    assert!(proxy.stop("TERM", soon()).await.success());
    assert_eq!(life_folders(&cluster), Vec::<String>::new());
}

#[tokio::test]
async fn slurm_is_quoted_where_it_refuses() {
    let cluster = Cluster::up();
    let refusals = [
        ("--mem=1G --gres=gpu:7", "Requested node configuration is not available"),
        ("--mem=1G --partition=nosuch", "nvalid partition"),
        ("--mem=1G --gres=tpu:1", "nvalid generic resource"),
        ("--mem=1G --nosuchoption", "unrecognized option"),
    ];
    let engine = cluster.engine().display().to_string();
    for (arguments, words) in refusals {
        let options = ["--use-slurm", "--srun-args", arguments];
        let proxy = Proxy::builder().on_laptop(&cluster).options(options).command([&engine]).start().await;
        let said = unavailable(&proxy.client().post("/v1/chat/completions", &chat(false)).await);
        assert!(said.contains(words), "{arguments}: {said}");
        assert!(said.contains("--srun-args"), "no remedy: {said}");
        assert!(proxy.stop("TERM", soon()).await.success());
    }
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    let cluster = Cluster::up();
    let proxy = Proxy::builder()
        .on_laptop(&cluster)
        .options(["--use-slurm", "--srun-args", support::scene::SRUN_ARGS])
        .command(["vllm", "serve", "tiny"])
        .start()
        .await;
    let said = unavailable(&proxy.client().post("/v1/chat/completions", &chat(false)).await);
    assert!(said.contains("vllm") && said.contains("not found"), "{said}");
    assert!(said.contains("--prelude") || said.contains("PATH"), "no remedy: {said}");
}

/// A `PATH` with all that a host has, but for the commands whose names start with one of these.
fn path_without(hidden: &[&str]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in ["/usr/bin", "/bin"].iter().flat_map(|bin| std::fs::read_dir(bin).expect("a folder")).flatten() {
        let name = entry.file_name();
        if !hidden.iter().any(|hidden| name.to_string_lossy().starts_with(hidden)) {
            // What is in both folders is linked once.
            let _ = std::os::unix::fs::symlink(entry.path(), folder.path().join(name));
        }
    }
    let path = folder.path().display().to_string();
    (folder, path)
}

#[tokio::test]
async fn a_machine_without_slurm_is_named_and_does_not_wait_for_its_answer() {
    let (_folder, path) = path_without(&["srun", "squeue", "scancel"]);
    let proxy = Proxy::builder().env("PATH", path).options(["--use-slurm"]).command(["vllm", "serve", "m"]);
    let proxy = proxy.start().await;
    let said = unavailable(&proxy.client().post("/v1/chat/completions", &chat(false)).await);
    assert!(said.contains("srun") && said.contains("--login-shell"), "{said}");
    wait_for_state(&proxy, "failed", 10).await;
    proxy.wait_for_line("hint:", soon()).await;
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn a_host_that_lacks_what_our_script_needs_is_named() {
    let (_folder, path) = path_without(&["setsid"]);
    let proxy = Proxy::builder().env("PATH", path).command(["vllm", "serve", "m"]).start().await;
    let said = unavailable(&proxy.client().post("/v1/chat/completions", &chat(false)).await);
    assert!(said.contains("setsid"), "{said}");
    assert!(proxy.stop("TERM", soon()).await.success());
}

#[tokio::test]
async fn an_engine_that_never_gets_ready_is_given_up_and_ended() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &["--startup-timeout", "2s"], &["--load-delay", "60m"]).start().await;
    let said = unavailable(&proxy.client().post("/v1/chat/completions", &chat(false)).await);
    assert!(said.contains("--startup-timeout"), "{said}");
    wait_for_state(&proxy, "failed", 30).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    assert_eq!(engine_processes(&cluster), Vec::<String>::new());
}

#[tokio::test]
async fn a_queue_that_does_not_move_is_told_and_left_in_time() {
    let cluster = Cluster::up();
    let options = ["--use-slurm", "--srun-args", "--mem=1G --partition=closed", "--queue-timeout", "4s"];
    let engine = cluster.engine().display().to_string();
    let proxy = Proxy::builder().on_laptop(&cluster).options(options).command([&engine]).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        proxy.wait_for_line("queued (PartitionDown)", soon()).await;
        assert_eq!(state(&proxy).await, "bootstrapping");
        let health = proxy.client().get("/health").await.ok();
        assert!(health.to_string().contains("PartitionDown"), "{health}");
    });
    let said = unavailable(&answer);
    assert!(said.contains("--queue-timeout"), "{said}");
    wait_for_state(&proxy, "failed", 30).await;
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn more_than_may_wait_are_turned_away() {
    let cluster = Cluster::up();
    let options = ["--use-slurm", "--srun-args", "--mem=1G --partition=closed", "--max-waiting", "3"];
    let engine = cluster.engine().display().to_string();
    let proxy = Proxy::builder().on_laptop(&cluster).options(options).command([&engine]).start().await;
    let body = chat(false);
    let asking = join_all((0..3).map(|_| proxy.client().post("/v1/chat/completions", &body)));
    let refused = async {
        proxy.wait_for_line("queued (PartitionDown)", soon()).await;
        let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
        message(&answer, StatusCode::TOO_MANY_REQUESTS);
        assert!(answer.headers.contains_key("retry-after"));
        proxy.signal("TERM");
    };
    let (answers, ()) = tokio::join!(asking, refused);
    for answer in answers {
        message(&answer, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(proxy.stop("TERM", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 10).await;
}

/// An `srun` before the host's own that is given its job and does not hear of it, as when the scheduler was restarted in that
/// moment: the job runs, and nothing in it.
fn lose_the_answer_to_srun(cluster: &Cluster) {
    let shims = cluster.home().join("shims");
    std::fs::create_dir_all(&shims).expect("a folder in a home");
    let script = "#!/bin/sh\nfor word; do\n  [ \"$word\" != --unbuffered ] || break\n  words=\"$words $word\"\ndone\n\
                  salloc --no-shell $words || exit\nexec sleep 1000\n";
    std::fs::write(shims.join("srun"), script).expect("a file in a home");
    std::fs::set_permissions(shims.join("srun"), std::fs::Permissions::from_mode(0o755)).expect("our own file");
    std::fs::write(cluster.home().join(".bashrc"), "export PATH=~/shims:$PATH\n").expect("a file in a home");
}

#[tokio::test]
async fn a_job_that_runs_and_starts_nothing_is_ended_in_time() {
    let cluster = Cluster::up();
    lose_the_answer_to_srun(&cluster);
    let proxy = slurm_proxy(&cluster, &["--startup-timeout", "5s"], &[]).start().await;
    let body = chat(false);
    let (answer, ()) = tokio::join!(proxy.client().post("/v1/chat/completions", &body), async {
        proxy.wait_for_line("job 1 on node1: starting", soon()).await;
    });
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("startup_timeout"), "{}", answer.text());
    wait_until_nothing_is_left(&cluster, 20).await;
    let left = cluster.on(HostName::Login, &["pgrep", "-u", cluster.user(), "-x", "sleep"]);
    assert!(!left.status.success(), "what asked for it is left: {left:?}");
    assert!(proxy.stop("TERM", soon()).await.success());
}
