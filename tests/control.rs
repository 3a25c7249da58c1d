//! The verbs that talk to a running proxy over its private socket.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::scene::{chat, slurm_proxy, soon};
use support::verbs::{refused, said, verb};
use support::{ChildGuard, Cluster, Home, Proxy, ProxyBuilder, engine_path, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Nobody's user.
const FOREIGN: &str = "65534";

/// A proxy of this name, whose engine gets these arguments.
fn proxy(home: Option<&Home>, name: &str, engine: &[&str]) -> ProxyBuilder<'static> {
    let builder = Proxy::builder();
    let builder = home.into_iter().fold(builder, ProxyBuilder::home);
    let command = [engine_path().display().to_string()].into_iter().chain(engine.iter().map(ToString::to_string));
    builder.options(["--name", name, "--lease", "5s"]).command(command)
}

fn instances(home: &Home, words: &[&str]) -> Vec<Value> {
    let words: Vec<&str> = ["status", "--json"].iter().chain(words).copied().collect();
    let listing: Value = serde_json::from_str(&said(home, &words)).expect("json");
    listing.get("instances").and_then(Value::as_array).expect("a list").clone()
}

fn folder(home: &Home, name: &str) -> PathBuf {
    home.path().join("state/llm-proxy").join(name)
}

/// Puts a word in the place of what differs from run to run.
fn redacted(mut status: Value) -> Value {
    for (field, value) in status.as_object_mut().expect("an object") {
        if ["pid", "url", "since", "idle_stop", "lease_end", "node"].contains(&field.as_str()) && !value.is_null() {
            *value = json!("*");
        }
    }
    status
}

#[tokio::test]
async fn an_engine_is_started_looked_at_and_stopped_without_a_request() {
    let proxy = proxy(None, "one", &["--log-lines", "3"]).start().await;
    let home = proxy.home();
    let socket = folder(&home, "one").join("control.sock");
    let metadata = std::fs::metadata(&socket).expect("a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let asleep = json!({
        "name": "one", "state": "stopped", "phase": "stopped", "since": "*", "pid": "*", "url": "*", "host": null,
        "job": null, "node": null, "reason": null, "expected_start": null, "loading": null, "route": null,
        "waiting": 0, "in_flight": 0, "idle_stop": null, "walltime_end": null, "lease_end": null,
        "link": null, "problem": null, "models": [], "gpus": [],
    });
    let seen = instances(&home, &[]);
    let status = seen.first().expect("one");
    assert_eq!(status.get("pid"), Some(&json!(proxy.pid())));
    assert_eq!(status.get("url"), Some(&json!(format!("http://{}", proxy.address()))));
    assert_eq!(seen.iter().cloned().map(redacted).collect::<Vec<_>>(), std::slice::from_ref(&asleep));

    assert!(said(&home, &["start", "--wait"]).contains("one: the engine is ready\n"));
    let mut ready = asleep.clone();
    for (field, value) in
        [("state", "ready"), ("phase", "ready"), ("node", "*"), ("idle_stop", "*"), ("lease_end", "*")]
    {
        ready.as_object_mut().expect("an object").insert(field.to_owned(), json!(value));
    }
    let route = json!({"taken": "direct", "passed_over": []});
    ready.as_object_mut().expect("an object").insert("route".to_owned(), route);
    assert_eq!(instances(&home, &["one"]).into_iter().map(redacted).collect::<Vec<_>>(), [ready]);
    assert!(said(&home, &["start"]).contains("ready already"));
    let words = said(&home, &["status"]);
    assert!(words.starts_with("one  ready for 0 s · engine on ") && words.contains("stops at "), "{words}");

    let log = said(&home, &["logs", "-n", "3"]);
    assert!(log.lines().all(|line| line.starts_with("INFO test-engine: ")), "{log}");
    let all = said(&home, &["logs", "--json"]);
    let lines: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert!(lines.contains(&json!({"stream": "stderr", "line": "INFO test-engine: line 2"})), "{all}");

    assert!(said(&home, &["stop"]).contains("one: the engine is gone\n"));
    assert_eq!(instances(&home, &[]).into_iter().map(redacted).collect::<Vec<_>>(), [asleep]);
    assert!(said(&home, &["stop", "one"]).contains("the engine does not run"));

    let log_before = said(&home, &["logs"]);
    assert!(said(&home, &["stop", "--serve"]).contains("one: the engine is gone, and the proxy ends"));
    assert!(proxy.ended(soon()).await.success());
    assert!(!socket.exists());
    let gone = instances(&home, &[]);
    assert_eq!(gone.first().and_then(|status| status.get("state")), Some(&json!("not-running")));
    assert_eq!(said(&home, &["status"]), "one  not running\n");
    assert_eq!(said(&home, &["logs", "one"]), log_before, "what was logged outlives the proxy");
}

#[tokio::test]
async fn a_start_and_a_stop_are_told_step_by_step() {
    let proxy = proxy(None, "one", &["--load-delay", "500ms"]).start().await;
    let home = proxy.home();
    let steps = |words: &[&str]| -> Vec<Value> {
        let output = verb(&home, words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
    };
    let phases = |steps: &[Value]| -> Vec<String> {
        let phase = |step: &Value| step.pointer("/status/phase").and_then(Value::as_str).map(str::to_owned);
        steps.iter().filter_map(phase).collect()
    };
    let start = steps(&["start", "--wait", "--json"]);
    assert!(phases(&start).contains(&"starting".to_owned()), "{start:?}");
    assert_eq!(start.last(), Some(&json!({"done": {"words": "the engine is ready"}})));
    let stop = steps(&["stop", "--json"]);
    assert!(phases(&stop).contains(&"stopping".to_owned()), "{stop:?}");
    assert_eq!(stop.last(), Some(&json!({"done": {"words": "the engine is gone"}})));
}

/// Says a line to the socket, and returns what it answers.
async fn raw(socket: &Path, line: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(socket).await.expect("the socket");
    let mut heard = String::new();
    // Where it hangs up in the middle of a line, the rest of that cannot be said.
    drop(stream.write_all(line.as_bytes()).await);
    drop(tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut heard)).await.expect("an answer"));
    heard
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_there_is_a_bound_to_everything() {
    let proxy = proxy(None, "one", &[]).start().await;
    let socket = folder(&proxy.home(), "one").join("control.sock");
    let too_long = "x".repeat(64 * 1024);
    for (line, expected) in [
        ("{\"version\":2,\"ask\":\"status\"}\n", "this proxy speaks version 1 of its protocol"),
        ("{\"version\":1,\"ask\":\"dance\"}\n", "is not understood: unknown variant `dance`"),
        ("status\n", "is not understood: byte 1"),
        (too_long.as_str(), "is longer than 65536 bytes"),
    ] {
        let heard = raw(&socket, line).await;
        assert!(heard.starts_with("{\"failed\":{\"kind\":\"usage\"") && heard.contains(expected), "{heard}");
    }
    let mut idle = Vec::new();
    for _ in 0..32 {
        idle.push(tokio::net::UnixStream::connect(&socket).await.expect("the socket"));
    }
    let ask = "{\"version\":1,\"ask\":\"status\"}\n";
    let refused = async || raw(&socket, ask).await.is_empty().then_some(());
    eventually(soon(), "more than enough have come", refused).await;
    drop(idle);
    let answered = async || raw(&socket, ask).await.starts_with("{\"status\":{").then_some(());
    eventually(soon(), "there is room again", answered).await;
}

#[tokio::test]
async fn those_who_follow_the_log_keep_nobody_from_what_is_over_soon() {
    let proxy = proxy(None, "one", &[]).start().await;
    let home = proxy.home();
    let socket = folder(&home, "one").join("control.sock");
    let follow = "{\"version\":1,\"ask\":{\"logs\":{\"follow\":true,\"tail\":null}}}\n";
    let told = "\"what\":\"24 programs follow this proxy already\",\"hint\":\"end one of them";
    let mut following = Vec::new();
    let full = async || {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.expect("the socket");
        stream.write_all(follow.as_bytes()).await.expect("it listens");
        let mut heard = vec![0; 1024];
        // One that follows hears nothing: there is no engine.
        let read = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut heard)).await;
        let full = read.is_ok() && String::from_utf8_lossy(&heard).contains(told);
        following.push(stream);
        full.then_some(())
    };
    eventually(soon(), "more than enough follow", full).await;
    assert!(refused(&home, &["start", "--wait", "one"], 1).contains("24 programs follow"));
    assert_eq!(instances(&home, &["one"]).len(), 1);
    said(&home, &["start", "one"]);
    assert!(said(&home, &["stop", "one"]).contains("the engine is gone"));
    drop(following);
    let room = async || verb(&home, &["start", "--wait", "one"]).status.success().then_some(());
    eventually(soon(), "there is room again", room).await;
    assert!(said(&home, &["stop", "--serve"]).contains("the proxy ends"));
}

#[tokio::test]
async fn with_several_instances_one_is_named() {
    let one = proxy(None, "one", &[]).start().await;
    let home = one.home();
    let two = proxy(Some(&home), "Two/Model", &[]).start().await;
    assert_eq!(
        refused(&home, &["start"], 2),
        "error: several instances run: one, two-model\nhint: name one, as in `llm-proxy start one`\n"
    );
    said(&home, &["start", "--wait", "Two/Model"]);
    let states: Vec<Value> = instances(&home, &[]).iter().filter_map(|seen| seen.get("state").cloned()).collect();
    assert_eq!(states, ["stopped", "ready"]);
    assert_eq!(
        refused(&home, &["stop", "three"], 1),
        "error: no instance named three runs here\nhint: these run: one, two-model\n"
    );
    assert!(one.stop("TERM", soon()).await.success());
    assert!(said(&home, &["stop"]).contains("two-model: the engine is gone"), "the only one that runs is meant");
    drop(two);
}

#[tokio::test]
async fn where_nothing_runs_it_says_what_to_do() {
    let home = proxy(None, "one", &[]).start().await.home();
    let empty = Proxy::builder();
    let output = empty.run(["status"]);
    assert_eq!(output.status.code(), Some(1));
    let words = "error: no instance runs here\nhint: `llm-proxy serve` starts one\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), words);
    assert_eq!(String::from_utf8_lossy(&empty.run(["status", "--json"]).stdout), "{\"instances\":[]}\n");
    // The proxy was killed: it left its socket behind.
    assert!(folder(&home, "one").join("control.sock").exists());
    for line in [["stop", "one"], ["start", "one"]] {
        let words = "error: no instance named one runs here\nhint: `llm-proxy serve` starts one\n";
        assert_eq!(refused(&home, &line, 1), words);
    }
    assert_eq!(refused(&home, &["logs"], 1), words);
    assert!(refused(&home, &["status", "two"], 1).contains("no instance named two runs here"));
    let again = proxy(Some(&home), "one", &[]).start().await;
    assert_eq!(instances(&home, &[]).first().and_then(|seen| seen.get("pid")), Some(&json!(again.pid())));
}

#[test]
fn a_state_folder_of_another_user_is_refused_untouched() {
    let state = tempfile::tempdir().expect("a folder");
    let folder = state.path().join("llm-proxy/one");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::os::unix::fs::chown(&folder, FOREIGN.parse().ok(), None).expect("run this test as root, as CI does");
    let engine = engine_path().display().to_string();
    for line in
        [vec!["serve", "--port", "0", "--name", "one"], vec!["serve", "--port", "0", "--name", "one", "--detach"]]
    {
        let builder = Proxy::builder().env("XDG_STATE_HOME", state.path());
        let output = builder.run(line.into_iter().chain(["--", engine.as_str()]));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}");
        let told = format!("error: the state folder {} belongs to another user (uid {FOREIGN})\n", folder.display());
        assert!(words.contains(&told) && words.contains("\nhint: give this one another --name"), "{words}");
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
    }
}

#[test]
fn what_is_kept_is_forgotten_without_a_proxy_and_where_there_is_no_keyring_it_says_so() {
    let output = Proxy::builder().run(["login", "--forget"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.starts_with("error: no keyring answers here: "), "{words}");
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_no_hindrance() {
    let home = tempfile::tempdir().expect("a folder");
    let deep = home.path().join("d".repeat(120));
    let builder = proxy(None, "one", &[]).env("XDG_STATE_HOME", &deep);
    let output = {
        let verbs = Proxy::builder().env("XDG_STATE_HOME", &deep);
        let _proxy = builder.start().await;
        verbs.run(["start", "--wait"])
    };
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_log_is_followed_over_a_restart_of_the_engine() {
    let proxy = proxy(None, "one", &["--log-lines", "2"]).start().await;
    let home = proxy.home();
    let mut follow = Proxy::builder().home(&home).spawn_verb(["logs", "-f", "one"]);
    let log = follow.stdout();
    let lives = async |count: usize| {
        eventually(soon(), "the log of each life is shown", async || {
            let lines = log.so_far();
            (lines.iter().filter(|line| *line == "INFO test-engine: line 1").count() == count).then_some(())
        })
        .await;
    };
    for life in 1..=3 {
        said(&home, &["start", "--wait"]);
        lives(life).await;
        said(&home, &["stop"]);
    }
    let asked_for = log.so_far().iter().filter(|line| line.ends_with(": a new engine is asked for ---")).count();
    assert_eq!(asked_for, 3, "{:?}", log.so_far());
    said(&home, &["stop", "--serve"]);
    assert!(follow.wait(soon()).await.success(), "it ends with the proxy");
}

#[tokio::test]
async fn who_waits_is_told_that_the_engine_was_stopped() {
    let proxy = proxy(None, "one", &["--start-delay", "60"]).start().await;
    let home = proxy.home();
    let request = chat(false);
    let waiting = proxy.client().post("/v1/chat/completions", &request);
    let stopping = async {
        eventually(soon(), "a request waits", async || {
            let seen = instances(&home, &["one"]);
            (seen.first().and_then(|seen| seen.get("waiting")) == Some(&json!(1))).then_some(())
        })
        .await;
        said(&home, &["stop"])
    };
    let (answer, words) = tokio::join!(waiting, stopping);
    assert!(words.contains("one: the engine is gone"), "{words}");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers.get("x-should-retry").and_then(|value| value.to_str().ok()), Some("false"));
    assert_eq!(answer.json().pointer("/error/code"), Some(&json!("engine_stopped")));
}

#[tokio::test]
async fn a_stop_waits_for_what_is_in_flight_and_may_be_hurried_or_left() {
    let proxy = proxy(None, "one", &["--token-delay", "500", "--tokens", "1000"]).start().await;
    let home = proxy.home();
    said(&home, &["start", "--wait"]);
    let mut answers = Vec::new();
    for hurries in [1, 2] {
        said(&home, &["start", "--wait"]);
        answers.push(proxy.client().stream("/v1/chat/completions", &chat(true)).await);
        let mut stop = Proxy::builder().home(&home).spawn_verb(["stop"]);
        stop.stderr().wait_for("draining", soon()).await;
        stop.signal("INT");
        if hurries == 2 {
            // The engine takes its time to end in order, but by force it is gone soon: whoever leaves must be quick.
            stop.signal("TERM");
            let status = stop.wait(soon()).await;
            assert!(matches!(status.code(), Some(130 | 0)), "{status:?}");
        } else {
            stop.stderr().wait_for("hurrying", soon()).await;
            assert!(stop.wait(soon()).await.success());
            assert_eq!(instances(&home, &[]).first().and_then(|seen| seen.get("state")), Some(&json!("stopped")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_is_withdrawn_by_a_stop() {
    let cluster = Cluster::up();
    let begin = [String::from("--srun-arg=--begin=now+1hour")];
    let proxy = slurm_proxy(&cluster, &["--name", "one"], &[]).options(begin).start().await;
    let verbs = Proxy::builder().on_laptop(&cluster).home(&proxy.home());
    assert!(verbs.run(["start"]).status.success());
    let queued = eventually(soon(), "the job waits", async || {
        let output = verbs.run(["status", "one", "--json"]);
        let listing: Value = serde_json::from_slice(&output.stdout).expect("json");
        listing.pointer("/instances/0").filter(|seen| seen.get("reason").is_some_and(Value::is_string)).cloned()
    })
    .await;
    assert_eq!((queued.get("phase"), queued.get("reason")), (Some(&json!("queued")), Some(&json!("BeginTime"))));
    assert_eq!(queued.get("host"), Some(&json!("login")));
    assert_eq!(queued.pointer("/link/state"), Some(&json!("connected")));
    let job = queued.get("job").and_then(Value::as_u64).expect("a number");
    let words = String::from_utf8_lossy(&verbs.run(["status"]).stdout).into_owned();
    assert!(words.contains("queued (BeginTime) for ") && words.contains(&format!(" · job {job} · ")), "{words}");
    let output = verbs.run(["stop"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("one: the engine is gone"), "{output:?}");
    assert!(cluster.jobs().is_empty(), "{:?}", cluster.jobs());
}

/// Run as another user, with Perl, which every Debian has.
fn foreign_perl(script: &str, socket: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        FOREIGN,
        "--regid",
        FOREIGN,
        "--clear-groups",
        "perl",
        "-MIO::Socket::UNIX",
        "-e",
        script,
    ]);
    command.arg(socket);
    command
}

/// Lets everybody in, as nobody should.
fn open_the_doors(home: &Home, name: &str) {
    for path in
        [home.path().to_owned(), home.path().join("state"), home.path().join("state/llm-proxy"), folder(home, name)]
    {
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).expect("the test runs as root");
    }
}

#[tokio::test]
async fn another_user_is_turned_away_though_every_door_is_open() {
    let proxy = proxy(None, "one", &[]).start().await;
    let home = proxy.home();
    let socket = folder(&home, "one").join("control.sock");
    let ask = r#"$SIG{PIPE} = "IGNORE"; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "cannot connect: $!";
        syswrite($s, "{\"version\":1,\"ask\":\"status\"}\n"); print "heard: ", <$s> // "nothing";"#;
    let closed = foreign_perl(ask, &socket).output().expect("setpriv and perl");
    assert!(String::from_utf8_lossy(&closed.stderr).contains("Permission denied"), "{closed:?}");
    open_the_doors(&home, "one");
    std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("the test runs as root");
    let open = foreign_perl(ask, &socket).output().expect("setpriv and perl");
    assert_eq!(String::from_utf8_lossy(&open.stdout), "heard: nothing", "{open:?}");
    proxy.wait_for_line("belongs to another user (uid 65534)", soon()).await;
    said(&home, &["status", "one"]);
}

#[tokio::test]
async fn nothing_is_said_to_a_socket_of_another_user() {
    let home = proxy(None, "one", &[]).start().await.home();
    open_the_doors(&home, "one");
    let socket = folder(&home, "one").join("control.sock");
    std::fs::remove_file(&socket).expect("a killed proxy left it behind");
    let listen = r#"$SIG{PIPE} = "IGNORE"; my $l = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die "cannot listen: $!";
        chmod 0666, $ARGV[0]; $| = 1; print "ready\n"; my $s = $l->accept; print "heard: ", <$s> // "nothing", "\n";"#;
    let listener = ChildGuard::start("a foreign listener", &mut foreign_perl(listen, &socket));
    let mut heard = listener.stdout();
    heard.wait_for("ready", soon()).await;
    let words = refused(&home, &["stop", "one"], 1);
    assert!(words.contains("belongs to another user (uid 65534)"), "{words}");
    heard.wait_for("heard: nothing", soon()).await;
}
