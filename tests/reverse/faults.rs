//! What goes wrong with a tunnel, what is said, and that the lines that are printed mend it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use llm_proxy::host::reverse::KEY_LIMITS;
use serde_json::Value;
use test_case::test_case;

use crate::scene::{ask, on_laptop};
use crate::support::carried::LONG;
use crate::support::left::wait_until_nothing_runs;
use crate::support::scene::{ends_well, soon, wait_until_nothing_is_left};
use crate::support::{ChildGuard, Cluster, HostName, Proxy, eventually};

/// The answer to a request that no tunnel could be had for.
async fn refused(proxy: &Proxy) -> String {
    let answer = ask(proxy).await;
    assert_ne!(answer.status, 200, "{}", answer.text());
    let message = answer.json().pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
    message.unwrap_or_else(|| panic!("no message in {}", answer.text()))
}

/// It is tried afresh once a short pause is over.
async fn answers_again(proxy: &Proxy) {
    eventually(LONG, "the engine answers", async || (ask(proxy).await.status == 200).then_some(())).await;
}

/// The lines between backquotes, in order.
fn lines_to_paste(message: &str) -> Vec<String> {
    message.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// As a user would: pasted at a prompt of the login host.
fn paste(cluster: &Cluster, line: &str) -> String {
    let output = cluster.on_as_user(HostName::Login, &["timeout", "60", "bash", "-c", line]);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn file(cluster: &Cluster, name: &str) -> std::path::PathBuf {
    cluster.home().join(".ssh").join(name)
}

/// One key, which may make a tunnel and nothing else.
fn is_limited_key(added: &str) -> bool {
    added.starts_with(&format!("{KEY_LIMITS} ssh-ed25519 ")) && added.lines().count() == 1 && added.ends_with('\n')
}

/// Also where the user's ssh, or the site's, takes whichever key it is shown.
#[test_case(""; "by default")]
#[test_case("StrictHostKeyChecking no\n"; "whatever the configuration says")]
#[tokio::test]
async fn an_unknown_host_is_named_and_the_printed_line_mends_it(configuration: &str) {
    let cluster = Cluster::up();
    write(&file(&cluster, "config"), configuration, 0o644);
    std::fs::write(file(&cluster, "known_hosts"), "").expect("the user's file");
    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    let message = refused(&proxy).await;
    assert!(message.contains("does not know the host key of login"), "{message}");
    wait_until_nothing_is_left(&cluster, 30).await;
    let lines = lines_to_paste(&message);
    let [learn, show, compare, _undo] = lines.as_slice() else { panic!("{lines:?}") };
    paste(&cluster, learn);
    let (learnt, shown) = (paste(&cluster, show), fingerprint_of_login(&cluster, compare));
    assert!(learnt.contains(&shown), "{learnt} is not {shown}");
    answers_again(&proxy).await;
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// The cluster's sshd has its key elsewhere.
fn fingerprint_of_login(cluster: &Cluster, line: &str) -> String {
    let key = cluster.share().join("host_key.pub");
    let known = std::fs::read_to_string(cluster.known_hosts()).expect("the laptop's file");
    let login = known.lines().find_map(|line| line.strip_prefix("login,")?.split_once(' ')).expect("login's key");
    std::fs::write(&key, login.1).expect("a file in the share");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("the file");
    let said = paste(cluster, &line.replace("/etc/ssh/ssh_host_*_key.pub", &key.display().to_string()));
    said.split_whitespace().nth(1).expect("a fingerprint").to_owned()
}

#[tokio::test]
async fn a_key_that_opens_nothing_is_named_and_the_printed_line_mends_it() {
    let cluster = Cluster::up();
    for key in ["id_ed25519", "id_ed25519.pub"] {
        std::fs::remove_file(file(&cluster, key)).expect("the user's file");
    }
    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    let message = refused(&proxy).await;
    assert!(message.contains("does not let the job's ssh in") && message.contains("Permission denied"), "{message}");
    wait_until_nothing_is_left(&cluster, 30).await;
    let lines = lines_to_paste(&message);
    let [mend] = lines.as_slice() else { panic!("{lines:?}") };
    // As an editor may leave it.
    let authorised = file(&cluster, "authorized_keys");
    let before = std::fs::read_to_string(&authorised).expect("the user's file");
    std::fs::write(&authorised, before.trim_end()).expect("the user's file");
    paste(&cluster, mend);
    let after = std::fs::read_to_string(&authorised).expect("the user's file");
    let added = after.strip_prefix(&before).unwrap_or_else(|| panic!("{after:?} does not begin with {before:?}"));
    assert!(is_limited_key(added), "{added}");
    answers_again(&proxy).await;
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// The user says who logs in and where, and the nodes have neither a known host nor a key. What to do is in the answer, in
/// the log and in `status`.
#[tokio::test]
async fn for_a_named_host_the_printed_lines_mend_one_fault_after_the_other() {
    let cluster = Cluster::builder().second_login().up();
    for name in ["known_hosts", "id_ed25519", "id_ed25519.pub"] {
        std::fs::remove_file(file(&cluster, name)).expect("the user's file");
    }
    let user = cluster.user().to_owned();
    let proxy = on_laptop(&cluster, &["--loopback-user", &user, "--loopback-host", "login2"]).start().await;
    let unknown = refused(&proxy).await;
    assert!(unknown.contains("does not know the host key of login2"), "{unknown}");
    wait_until_nothing_is_left(&cluster, 30).await;
    let lines = lines_to_paste(&unknown);
    told_everywhere(&proxy, &lines);
    let [learn, show, ..] = lines.as_slice() else { panic!("{lines:?}") };
    // It ends with `Permission denied`, as it says.
    cluster.on_as_user(HostName::Login, &["timeout", "60", "bash", "-c", learn]);
    assert!(paste(&cluster, show).contains("SHA256:"));

    let denied = eventually(LONG, "the key is asked for", async || {
        let message = refused(&proxy).await;
        message.contains("does not let the job's ssh in").then_some(message)
    });
    let denied = denied.await;
    assert!(denied.contains(&format!("authorized_keys of {user} on login2")), "{denied}");
    wait_until_nothing_is_left(&cluster, 30).await;
    let lines = lines_to_paste(&denied);
    told_everywhere(&proxy, &lines);
    let [make] = lines.as_slice() else { panic!("{lines:?}") };
    let key = paste(&cluster, make);
    assert!(is_limited_key(&key), "{key}");
    let authorised = file(&cluster, "authorized_keys");
    let before = std::fs::read_to_string(&authorised).expect("the user's file");
    std::fs::write(&authorised, before + &key).expect("the user's file");
    answers_again(&proxy).await;
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// The lines to paste are in the log and in `status`.
fn told_everywhere(proxy: &Proxy, lines: &[String]) {
    let log = proxy.lines().so_far().join("\n");
    let status = Proxy::builder().home(&proxy.home()).run(["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    for line in lines {
        assert!(log.contains(line), "{line} in {log}");
        assert!(status.contains(line), "{line} in {status}");
    }
}

#[tokio::test]
async fn an_sshd_that_forwards_no_ports_is_named() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding local").up();
    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    let message = refused(&proxy).await;
    assert!(message.contains("the sshd of login does not forward a port"), "{message}");
    assert!(message.contains("AllowTcpForwarding"), "{message}");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// An `ssh` that claims to have been given a port that another user has.
#[tokio::test]
async fn nothing_is_sent_to_another_users_port() {
    let cluster = Cluster::up();
    let mut thief = cluster.command(HostName::Login, cluster.engine());
    let thief = ChildGuard::start("the thief", thief.args(["--host", "127.0.0.1", "--port", "4242"]));
    thief.stderr().wait_for("listening", soon()).await;
    let fake = "#!/bin/sh\necho 'Allocated port 4242 for remote forward to 127.0.0.1:1' >&2\nexec sleep 600\n";
    let bin = cluster.home().join("bin");
    std::fs::create_dir(&bin).expect("a folder in the user's home");
    write(&bin.join("ssh"), fake, 0o755);
    // Read by a shell that sshd starts; Slurm takes its PATH to the node.
    write(&cluster.home().join(".bashrc"), &format!("export PATH={}:$PATH\n", bin.display()), 0o644);

    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    let message = refused(&proxy).await;
    assert!(message.contains("port 4242 of login belongs to another user (number 0)"), "{message}");
    ends_well(proxy).await;
    let client = cluster.client(HostName::Login, "127.0.0.1:4242").await;
    let stats = client.get("/stats").await.ok();
    assert_eq!(stats.get("connections"), Some(&Value::from(1)), "{stats}");
    wait_until_nothing_is_left_but_the_thief(&cluster).await;
}

async fn wait_until_nothing_is_left_but_the_thief(cluster: &Cluster) {
    // It is root's, and so not counted.
    wait_until_nothing_runs(cluster, 15).await;
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).expect("a file in the user's home");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the file");
}
