//! The far end that is played in this process behaves as a login host does.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use llm_proxy::demo::FarEnd;
use llm_proxy::ssh::{Exec, ExitStatus, SshClient, SshError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

const DEADLINE: Duration = Duration::from_secs(20);

/// More than the window of a stream, a pipe and all buffers on the way.
const MUCH: usize = 8 << 20;

async fn start() -> (FarEnd, SshClient) {
    let far_end = FarEnd::start().await.expect("a far end");
    let client = SshClient::new(&far_end.ssh_options(), TaskTracker::new()).expect("a client");
    (far_end, client)
}

async fn shell(client: &SshClient, script: &str) -> Exec {
    let mut exec = client.exec("/bin/sh -s").await.expect("a shell");
    exec.stdin.write_all(script.as_bytes()).await.expect("the script is taken");
    exec
}

/// Runs `script` in the host's shell: its two outputs and how it ended.
async fn run(client: &SshClient, script: &str) -> (String, String, ExitStatus) {
    let run = async {
        let mut exec = shell(client, script).await;
        exec.stdin.shutdown().await.expect("the end of the script is taken");
        let (mut out, mut err) = (String::new(), String::new());
        let (first, second) = tokio::join!(exec.stdout.read_to_string(&mut out), exec.stderr.read_to_string(&mut err));
        first.expect("standard output");
        second.expect("standard error");
        (out, err, exec.exit.wait().await.expect("the connection lasts"))
    };
    timeout(DEADLINE, run).await.expect("it ends")
}

#[tokio::test]
async fn a_command_has_its_streams_and_its_exit_code_and_nothing_of_ours() {
    let (far_end, client) = start().await;
    let (out, err, exit) = run(&client, "echo out; echo err >&2; pwd; env; exit 7").await;
    assert_eq!((err.as_str(), exit), ("err\n", ExitStatus::Code(7)));
    let home = far_end.folder().join("cluster/home").display().to_string();
    assert!(out.starts_with(&format!("out\n{home}\n")), "{out}");
    let names = out.lines().skip(2).filter_map(|line| line.split('=').next());
    let known = ["HOME", "XDG_STATE_HOME", "TMPDIR", "USER", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    let others: Vec<_> = names.filter(|name| !known.contains(name)).collect();
    assert!(others.is_empty(), "{others:?}");
    let (_, _, exit) = run(&client, "kill -KILL $$").await;
    assert_eq!(exit, ExitStatus::Code(128 + 9));
}

#[tokio::test]
async fn much_goes_through_in_both_directions() {
    let (_far_end, client) = start().await;
    let script = format!("head -c {MUCH} /dev/zero | tr '\\0' x; exit 3\n");
    let (out, _, exit) = run(&client, &script).await;
    assert_eq!((out.len(), exit), (MUCH, ExitStatus::Code(3)));
    let mut exec = client.exec("wc -c").await.expect("a command");
    let sent = async {
        exec.stdin.write_all(&vec![0; MUCH]).await.expect("it is taken");
        exec.stdin.shutdown().await.expect("its end is taken");
        let mut out = String::new();
        exec.stdout.read_to_string(&mut out).await.expect("an answer");
        out.trim().to_owned()
    };
    assert_eq!(timeout(DEADLINE, sent).await.expect("it ends"), MUCH.to_string());
}

/// The client's window holds the command back: nothing is collected for who does not read.
#[tokio::test]
async fn a_command_waits_for_its_reader_and_hears_when_the_reader_leaves() {
    let (far_end, client) = start().await;
    let done = far_end.folder().join("done");
    let script = format!("head -c 1000000000 /dev/zero; echo \"$?\" >'{}'\nexit\n", done.display());
    let mut exec = shell(&client, &script).await;
    let mut some = vec![0; 1000];
    timeout(DEADLINE, exec.stdout.read_exact(&mut some)).await.expect("in time").expect("some output");
    // Other channels of the connection are not held up meanwhile, and the command has not run through.
    assert_eq!(run(&client, "echo here").await.0, "here\n");
    assert!(!done.exists());
    drop(exec);
    let left = async {
        while !done.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, left).await.expect("the command ends");
    assert_ne!(std::fs::read_to_string(done).expect("its exit code").trim(), "0");
}

#[tokio::test]
async fn streams_lead_to_the_nodes_and_nowhere_else() {
    let (_far_end, client) = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut stream = client.dial("demo-node1", port).await.expect("a stream");
    let (mut far, _) = listener.accept().await.expect("a connection");
    stream.write_all(b"ping").await.expect("it is taken");
    stream.shutdown().await.expect("its end is taken");
    let mut found = String::new();
    timeout(DEADLINE, far.read_to_string(&mut found)).await.expect("in time").expect("it is read");
    assert_eq!(found, "ping");
    // The other direction goes on.
    far.write_all(b"pong").await.expect("it is taken");
    drop(far);
    found.clear();
    timeout(DEADLINE, stream.read_to_string(&mut found)).await.expect("in time").expect("it is read");
    assert_eq!(found, "pong");

    for host in ["localhost", "127.0.0.1", "demo-node2", "example.org"] {
        let error = client.dial(host, port).await.expect_err("it is refused");
        assert!(matches!(error, SshError::Prohibited { .. }), "{host}: {error:?}");
    }
    // A port that is nobody's: one that was free a moment ago may be another test's by now.
    let error = client.dial("demo-node1", 1).await.expect_err("nobody listens");
    assert!(matches!(error, SshError::ConnectFailed { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_else_comes_in_and_no_other_host_is_taken_for_it() {
    let (far_end, _) = start().await;
    let other = FarEnd::start().await.expect("a far end");
    let ssh = |far_end: &FarEnd| far_end.ssh_options().home.ssh_dir;
    // The right host with another user's key.
    std::fs::copy(ssh(&other).join("id_ed25519"), ssh(&far_end).join("id_ed25519")).expect("a key");
    let client = SshClient::new(&far_end.ssh_options(), TaskTracker::new()).expect("a client");
    let error = client.connect().await.expect_err("it is refused");
    assert!(error.is_authentication(), "{error:?}");
    // The right key, and a host whose key is not the known one.
    let known = std::fs::read_to_string(ssh(&far_end).join("known_hosts")).expect("known hosts");
    let (_, key) = known.split_once(' ').expect("a key");
    let port = other.login().address().port();
    std::fs::write(ssh(&other).join("known_hosts"), format!("[127.0.0.1]:{port} {key}")).expect("a file");
    let client = SshClient::new(&other.ssh_options(), TaskTracker::new()).expect("a client");
    let error = client.connect().await.expect_err("it is not trusted");
    assert!(error.is_host_key(), "{error:?}");
    assert_eq!((far_end.login().first_login(), other.login().first_login()), (None, None));
}

#[tokio::test]
async fn what_a_command_left_behind_is_ended_and_the_folder_goes() {
    let (far_end, client) = start().await;
    let folder = far_end.folder().to_owned();
    let (pid, _, _) = run(&client, "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo \"$!\"").await;
    assert_eq!(far_end.end().await.expect("nothing is left"), 1);
    assert!(!folder.exists() && !std::path::Path::new("/proc").join(pid.trim()).join("exe").exists());
}

/// The second of two jobs of one name waits for the first, and can be cancelled meanwhile.
#[tokio::test]
async fn the_stand_ins_keep_a_queue() {
    let (_far_end, client) = start().await;
    let script = "
        look() { squeue --noheader --name=a | tr '\\037' ' ' | cut -d ' ' -f 1-3 | tr '\\n' ';'; }
        until_seen() { until [ \"$(look)\" = \"$1\" ]; do sleep 0.05; done; echo \"$1\"; }
        echo in | srun --job-name=a sh -c 'read -r word; until [ -e go ]; do sleep 0.05; done; echo $word; exit 4' &
        first=$!
        until_seen '1 PENDING Resources;'
        srun --job-name=a echo second &
        second=$!
        until_seen '1 RUNNING None;2 PENDING Dependency;'
        scancel 2; wait $second; echo \"=$?\"
        >go; wait $first; echo \"=$?\"
        squeue --name=other; until_seen '1 FAILED NonZeroExitCode;2 CANCELLED None;'
    ";
    let (out, err, _) = run(&client, script).await;
    let expected = "1 PENDING Resources;\n1 RUNNING None;2 PENDING Dependency;\n=1\nin\n=4\n\
                    1 FAILED NonZeroExitCode;2 CANCELLED None;\n";
    assert_eq!(out, expected, "{err}");
    assert!(err.contains("srun: job 1 queued and waiting for resources"), "{err}");
    assert!(err.contains("srun: Job allocation 2 has been revoked"), "{err}");
}
