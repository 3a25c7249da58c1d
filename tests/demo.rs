//! `llm-proxy demo`: the whole way, on a machine that has nothing.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::json;
use support::{ChildGuard, Client, Deadline, eventually};
use tempfile::TempDir;
use tokio::time::timeout_at;

/// A user that no machine has, so that every file of it is the demonstration's.
const NOBODY: &str = "64982";

/// Everything takes some four seconds; a busy machine may need longer.
fn soon() -> Deadline {
    Deadline::in_seconds(60)
}

/// Where a demonstration runs: its temporary files are in `tmp`, and it may write nowhere else.
struct Scene {
    root: TempDir,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let scene = Self { root };
        for (folder, mode) in [("tmp", 0o777), ("home", 0o555)] {
            fs::create_dir(scene.path(folder)).expect("a folder");
            fs::set_permissions(scene.path(folder), fs::Permissions::from_mode(mode)).expect("a mode");
        }
        // Where the sources are, others may not look.
        // By a process of its own: a child of another test could hold our copy open for writing, and it would not run.
        let copy = Command::new("cp").arg(env!("CARGO_BIN_EXE_llm-proxy")).arg(scene.path("llm-proxy")).status();
        assert!(copy.is_ok_and(|status| status.success()), "the program cannot be copied");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// `llm-proxy demo` with `arguments`, as whoever the words before it make us.
    fn demo(&self, before: &[&str], arguments: &[&str]) -> ChildGuard {
        let program = self.path("llm-proxy");
        let mut words = before.iter().map(Into::into).chain([program.into_os_string()]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command.args(words).arg("demo").args(arguments).current_dir(self.path("home")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        ChildGuard::start("llm-proxy demo", &mut command)
    }

    /// No file, and no process that was started from here.
    fn nothing_is_left(&self) {
        let files: Vec<_> = ["tmp", "home"].iter().flat_map(|folder| entries(&self.path(folder))).collect();
        assert!(files.is_empty(), "{files:?}");
        let mark = self.root.path().display().to_string();
        let left: Vec<_> = entries(Path::new("/proc"))
            .into_iter()
            .filter(|process| {
                let environment = fs::read(process.join("environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment).contains(&mark)
            })
            .map(|process| (fs::read_to_string(process.join("cmdline")), process))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

async fn ended(mut demo: ChildGuard) -> (ExitStatus, String, String) {
    let status = demo.wait(soon()).await;
    let (out, err) = (demo.stdout().all(soon()).await, demo.stderr().all(soon()).await);
    (status, out.join("\n"), err.join("\n"))
}

/// Times, ports, folders and the like, which differ each time, as words.
fn redacted(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = match line.trim_start().split_once(" s  ") {
            Some((time, rest)) if time.parse::<f64>().is_ok() => format!("TIME s  {rest}"),
            _ => line.to_owned(),
        };
        let words = line.split(' ').map(|word| match word {
            word if word.starts_with("http://127.0.0.1:") => {
                let rest =
                    word.trim_start_matches("http://127.0.0.1:").trim_start_matches(|c: char| c.is_ascii_digit());
                format!("http://ADDRESS{rest}")
            }
            word if word.contains("llm-proxy-demo-") => format!("FOLDER{}", if word.ends_with(',') { "," } else { "" }),
            word => word.to_owned(),
        });
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    lines.join("\n")
}

const ONCE: &str = "\
This is a demonstration: no cluster, no GPU, no model. An SSH login host inside this program, a stand-in for
srun behind it, and a tiny engine play the far end; everything else is what `llm-proxy serve` runs.

listening on http://ADDRESS
all its files are in FOLDER, which goes when this ends

asking: What is this?

answer: This is a demonstration: no model wrote this, and no GPU was used. A tiny engine inside llm-proxy says \
the same to everybody. But it came the whole way: the proxy's own SSH client, srun, a queue, a job, and a stream \
back inside SSH.

time line
TIME s  a request came: POST /v1/chat/completions, streamed
TIME s  connected to the login host by SSH; its host key was verified
TIME s  job 1, asked for by srun, waits in the queue (Resources)
TIME s  job 1 runs on demo-node1: the engine loads
TIME s  the engine is ready
TIME s  first token
TIME s  done: 45 tokens";

/// The times of the time line, in seconds.
fn times(text: &str) -> Vec<f64> {
    text.lines().filter_map(|line| line.split_once(" s  ")?.0.trim().parse().ok()).collect()
}

#[tokio::test]
async fn once_shows_the_whole_way_and_leaves_nothing() {
    let scene = Scene::new();
    let (status, out, err) = ended(scene.demo(&[], &["--once", "--port", "0"])).await;
    assert!(status.success(), "{err}");
    assert_eq!(redacted(&out), ONCE);
    let times = times(&out);
    assert!(times.is_sorted() && times.first() == Some(&0.0), "{times:?}");
    // The queue and the engine's loading each take their second.
    assert!(times.last().is_some_and(|last| (2.0..60.0).contains(last)), "{times:?}");
    // Its engine says that it loads in the words of vLLM, and they are understood.
    assert!(err.contains("loading weights 50 %"), "{err}");
    assert!(err.contains("llm-proxy: done: nothing is left running"), "{err}");
    scene.nothing_is_left();
}

/// On a terminal there is a line that changes, and it stays away from the answer.
#[tokio::test]
async fn the_answer_is_not_torn_on_a_terminal() {
    let scene = Scene::new();
    let script = "export TERM=xterm; exec script -qec \"$0 $*\" /dev/null";
    let (status, out, _) = ended(scene.demo(&["sh", "-c", script], &["--once", "--port", "0"])).await;
    assert!(status.success(), "{out}");
    let (before, rest) = out.split_once("answer: ").expect("an answer");
    assert!(before.contains("\u{1b}[") && before.contains("job 1 on demo-node1: loading weights"), "{out}");
    let (answer, after) = rest.split_once("45 tokens").expect("a time line");
    assert!(answer.contains("inside SSH.") && !answer.contains('\u{1b}'), "{out}");
    assert!(after.contains("nothing is left running"), "{out}");
    scene.nothing_is_left();
}

/// A network of its own with nothing but loopback; gone with the value.
struct NoNetwork(String);

impl NoNetwork {
    fn new() -> Self {
        let name = format!("demo-{}", std::process::id());
        ip(&["netns", "add", &name]);
        let network = Self(name);
        ip(&["-n", &network.0, "link", "set", "lo", "up"]);
        network
    }
}

impl Drop for NoNetwork {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cannot run ip {arguments:?}: this test makes a network of its own; run it as root with iproute2, best by scripts/test"
    );
}

/// Files of our nobody, anywhere that anybody may write.
fn files_of_nobody() -> Vec<String> {
    let places = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/var/lock", "/home"];
    let output = Command::new("find").args(places).args(["-uid", NOBODY]).output().expect("`find` is there");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn it_needs_no_root_no_network_and_no_home() {
    let (scene, network) = (Scene::new(), NoNetwork::new());
    assert_eq!(files_of_nobody(), [""; 0], "left by an earlier run; remove them");
    let nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    let before = [["ip", "netns", "exec", &network.0].as_slice(), &nobody].concat();
    let demo = scene.demo(&before, &["--once"]);
    demo.stderr().wait_for("job 1 on demo-node1", soon()).await;
    let files = files_of_nobody();
    let ours = entries(&scene.path("tmp"));
    let [folder] = ours.as_slice() else { panic!("{ours:?}") };
    let outside: Vec<_> = files.iter().filter(|file| !Path::new(file).starts_with(folder)).collect();
    assert!(files.len() > 10 && outside.is_empty(), "{outside:?} of {files:?}");
    assert_eq!(fs::metadata(folder).expect("its folder").permissions().mode() & 0o777, 0o700);
    let (status, out, err) = ended(demo).await;
    assert!(status.success(), "{err}");
    // In a network of its own the usual port is free.
    assert!(out.contains("http://127.0.0.1:8085\n"), "{out}");
    assert_eq!(redacted(&out), ONCE);
    assert_eq!(files_of_nobody(), [""; 0]);
    scene.nothing_is_left();
}

#[tokio::test]
async fn it_goes_on_listening_until_it_is_told_to_end() {
    let scene = Scene::new();
    let demo = scene.demo(&[], &["--port", "0"]);
    demo.stdout().wait_for("Ctrl-C ends all of it", soon()).await;
    let lines = demo.stdout().so_far().join("\n");
    let curl = lines.lines().find(|line| line.contains("curl ")).expect("a line to try").trim().to_owned();
    // The line as it stands, in a shell.
    let answer =
        Command::new("timeout").args(["60", "sh", "-c", &curl]).env_remove("http_proxy").output().expect("a shell");
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.contains("\"content\":\"This \"") && answer.ends_with("data: [DONE]\n\n"), "{curl}: {answer}");

    let (_, address) = curl.split_once("http://").expect("an address");
    let client = Client::tcp(address.split('/').next().expect("an address"));
    let ask = async {
        let health = client.get("/health").await.ok();
        assert_eq!(health["detail"][0]["state"], "ready", "{health}");
        assert_eq!(client.get("/v1/models").await.ok()["data"][0]["id"], "demo");
        let body = json!({"model": "demo", "prompt": "x", "max_tokens": 2});
        assert_eq!(client.post("/v1/completions", &body).await.ok()["choices"][0]["text"], "This is ");
        assert_eq!(client.post("/v1/completions", &json!(7)).await.status, 400);
        assert_eq!(client.post("/v1/embeddings", &body).await.status, 404);
    };
    timeout_at(soon().at(), ask).await.expect("all is answered");

    demo.signal("TERM");
    let (status, _, err) = ended(demo).await;
    assert!(status.success() && err.contains("nothing is left running"), "{err}");
    scene.nothing_is_left();
}

#[tokio::test]
async fn an_interrupt_in_the_queue_ends_it_in_order() {
    let scene = Scene::new();
    let demo = scene.demo(&[], &["--port", "0"]);
    demo.stderr().wait_for("queued (Resources)", soon()).await;
    demo.signal("INT");
    let (status, out, err) = ended(demo).await;
    assert!(status.success(), "{err}");
    assert!(err.contains("ending: no new requests") && err.contains("nothing is left running"), "{err}");
    assert!(!out.contains("answer:"), "{out}");
    scene.nothing_is_left();
}

/// The reader of its output leaves: it ends in order all the same.
#[tokio::test]
async fn a_reader_who_leaves_keeps_nothing_from_ending() {
    let scene = Scene::new();
    let script = "\"$0\" \"$@\" | head -n 1";
    let (status, out, err) = ended(scene.demo(&["sh", "-c", script], &["--once", "--port", "0"])).await;
    assert!(status.success() && out.lines().count() == 1, "{out}");
    assert!(err.contains("nothing is left running"), "{err}");
    scene.nothing_is_left();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_or_another_is_chosen() {
    let scene = Scene::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (status, _, err) = ended(scene.demo(&[], &["--once", "--port", &port])).await;
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains(&port) && err.contains("another --port"), "{err}");
    scene.nothing_is_left();

    // It may be taken by somebody else, which is as good.
    let _usual = std::net::TcpListener::bind("127.0.0.1:8085");
    let (status, out, err) = ended(scene.demo(&[], &["--once"])).await;
    assert!(status.success() && err.contains("port 8085 is taken; taking a free one"), "{err}");
    assert!(!out.contains(":8085"), "{out}");
    scene.nothing_is_left();
}

#[tokio::test]
async fn a_machine_that_cannot_play_the_cluster_is_told_what_is_missing() {
    let scene = Scene::new();
    let path = format!("PATH={}", scene.path("home").display());
    let (status, _, err) = ended(scene.demo(&["/usr/bin/env", &path], &["--once"])).await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("`setsid`") && err.contains("hint: ") && err.contains("`llm-proxy serve"), "{err}");

    // A temporary folder where no program may be run.
    let mount = format!("mount -t tmpfs -o noexec none '{}' && exec \"$0\" \"$@\"", scene.path("tmp").display());
    let (status, _, err) = ended(scene.demo(&["unshare", "--mount", "sh", "-c", &mount], &["--once"])).await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("cannot be run") && err.contains("TMPDIR"), "{err}");
    scene.nothing_is_left();
}

/// Killed without a chance to end anything: what it started ends itself, and only its folder stays.
#[tokio::test]
async fn what_it_started_ends_itself_if_it_is_killed() {
    let scene = Scene::new();
    let demo = scene.demo(&[], &["--port", "0"]);
    demo.stdout().wait_for("Ctrl-C ends all of it", soon()).await;
    demo.signal("KILL");
    drop(demo);
    for folder in entries(&scene.path("tmp")) {
        let mark = folder.join("cluster").display().to_string();
        let none = async || {
            let left = entries(Path::new("/proc")).into_iter().filter(|process| {
                let environment = fs::read(process.join("environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment).contains(&mark)
            });
            (left.count() == 0).then_some(())
        };
        eventually(Deadline::in_seconds(120), "all of it has ended", none).await;
        fs::remove_dir_all(folder).expect("its folder is removed");
    }
}
