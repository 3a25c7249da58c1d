//! What becomes of a server whose key is not known.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use llm_proxy::ssh::{Form, Link, SshClient, SshError, SshOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_case::test_case;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::sshd::{self, Sshd, connect, make_key};
use crate::support::{connect_answering, public_key, ssh_answering, ssh_knows};

#[test_case(&["yes"], true, 1; "yes")]
#[test_case(&["YES"], true, 1; "yes in capital letters")]
#[test_case(&["{fingerprint}"], true, 1; "the fingerprint")]
#[test_case(&["no"], false, 1; "no")]
#[test_case(&[""], false, 1; "nothing")]
#[test_case(&["y", "SHA256:other", "yes"], true, 3; "yes at last")]
#[tokio::test]
async fn somebody_is_asked_as_ssh_asks(answers: &[&str], trusted: bool, asked: usize) {
    let server = Sshd::start("");
    let listed = Command::new("ssh-keygen").arg("-lf").arg(server.path("host_ed25519.pub")).output().unwrap();
    let fingerprint = String::from_utf8(listed.stdout).unwrap().split(' ').nth(1).unwrap().to_owned();
    let answers: Vec<String> = answers.iter().map(|answer| answer.replace("{fingerprint}", &fingerprint)).collect();
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    // Other names of the key, one of them hashed, and one of another key.
    let key = server.host_key("ed25519");
    let names = format!("hashed {key}\n");
    server.write_known_hosts(&names);
    let hashed = Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(server.path(".ssh/known_hosts")).output();
    assert!(hashed.unwrap().status.success());
    let hashed = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    let names = format!("{hashed}a,*.b {key}\n@revoked c {}\n", public_key(&server, "key"));
    server.write_known_hosts(&names);
    let (ssh, ssh_asked) = ssh_answering(&server, &answers);
    let after_ssh = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    server.write_known_hosts(&names);
    let (ours, forms) = connect_answering(&server.options(), &answers).await;
    let after_us = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    assert_eq!((ssh, ours.is_ok(), ssh_asked.len(), forms.len()), (trusted, trusted, asked, asked), "{ours:?}");
    let text = |form: &Form| match &*form.words {
        "" => form.prompts.first().unwrap().text.clone(),
        words => format!("{words}\n{}", form.prompts.first().unwrap().text),
    };
    assert_eq!(forms.iter().map(text).collect::<Vec<_>>(), ssh_asked);
    assert_eq!(after_us, after_ssh);
    assert!(ours.is_ok() || matches!(ours, Err(SshError::HostKeyUnknown { .. })), "{ours:?}");
}

#[tokio::test]
async fn it_is_asked_three_times_and_no_more() {
    let server = Sshd::start("");
    server.write_known_hosts("");
    let (result, forms) = connect_answering(&server.options(), &["a", "b", "c", "yes"]).await;
    assert!(matches!(result, Err(SshError::HostKeyUnknown { .. })), "{result:?}");
    assert_eq!((forms.len(), server.begun(), server.accepted()), (3, 1, 0));
}

/// In the settings, `{dir}` is the user's home.
#[test_case("", "[127.0.0.1]:{port}"; "a port")]
#[test_case("HostKeyAlias cluster", "cluster"; "an alias")]
#[test_case("HashKnownHosts yes", "[127.0.0.1]:{port}"; "a hashed name")]
#[test_case("HashKnownHosts yes\nHostKeyAlias Cluster", "cluster"; "a hashed alias")]
#[test_case("UserKnownHostsFile {dir}/new/known_hosts", "[127.0.0.1]:{port}"; "a file of its own")]
#[tokio::test]
async fn what_somebody_trusts_is_trusted_by_ssh_too(config: &str, name: &str) {
    let server = Sshd::start("");
    std::fs::remove_dir_all(server.path(".ssh")).unwrap();
    let config = config.replace("{dir}", server.path("").display().to_string().trim_end_matches('/'));
    std::fs::write(server.path("config"), &config).unwrap();
    let options = SshOptions { config_file: Some(server.path("config")), ..server.options() };
    let (result, forms) = connect_answering(&options, &["yes"]).await;
    result.unwrap();
    assert_eq!((forms.len(), server.begun(), server.accepted()), (1, 2, 1));
    // Nothing is asked the next time, and one connection is enough.
    connect(&options).await.unwrap();
    assert_eq!(server.begun(), 3);

    let file = if config.contains("/new/") { server.path("new/known_hosts") } else { server.path(".ssh/known_hosts") };
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.starts_with("|1|"), config.contains("Hash"), "{text}");
    let name = name.replace("{port}", &server.port.to_string());
    let found = Command::new("ssh-keygen").args(["-F", &name, "-f"]).arg(&file).output().unwrap();
    assert!(found.status.success(), "{text}");
    let own = format!("UserKnownHostsFile={}", file.display());
    let mut settings: Vec<String> = config.lines().map(|line| line.replacen(' ', "=", 1)).collect();
    settings.insert(0, own);
    let (first, rest) = settings.split_first().unwrap();
    let known = Command::new("timeout")
        .args(["60", "ssh", "-F", "none", "-o", first, "-o", "GlobalKnownHostsFile=none", "-o", "BatchMode=yes"])
        .args(["-o", "StrictHostKeyChecking=yes", "-i"])
        .arg(server.path("key"))
        .args(rest.iter().flat_map(|setting| ["-o", setting]))
        .args([&format!("ssh://{}@127.0.0.1:{}", sshd::user(), server.port), "true"])
        .output()
        .unwrap();
    assert!(known.status.success(), "{known:?}");
}

#[tokio::test]
async fn a_new_key_can_be_accepted_and_a_changed_one_cannot() {
    let server = Sshd::start("");
    server.write_known_hosts("# mine");
    let options = SshOptions { accept_new_host_key: true, ..server.options() };
    connect(&options).await.unwrap();
    let text = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    assert_eq!(text, format!("# mine\n{}", server.known_hosts_lines(&["ed25519"])));
    assert!(ssh_knows(&server, &[]));

    for name in ["host_ed25519", "host_ed25519.pub"] {
        std::fs::remove_file(server.path(name)).unwrap();
    }
    make_key("ed25519", &server.path("host_ed25519"), "");
    server.reload();
    assert!(!ssh_knows(&server, &["StrictHostKeyChecking=accept-new"]));
    let (result, forms) = connect_answering(&options, &["yes"]).await;
    let Err(error @ SshError::HostKeyChanged { line: 2, .. }) = &result else { panic!("{result:?}") };
    assert!(forms.is_empty());
    let remedy = error.remedy().unwrap();
    let port = server.port;
    assert!(remedy.contains(&format!("`ssh-keygen -R '[127.0.0.1]:{port}' -f '")), "{remedy}");
    assert!(remedy.contains(&format!("`ssh-keyscan -p {port} 127.0.0.1`")), "{remedy}");
    assert_eq!(std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap(), text);
}

#[test_case("UserKnownHostsFile none"; "no file")]
#[test_case("UserKnownHostsFile /dev/null"; "a file that keeps nothing")]
#[test_case("UserKnownHostsFile /proc/nowhere/known_hosts"; "a file that cannot be made")]
#[tokio::test]
async fn what_cannot_be_written_is_trusted_for_this_run(config: &str) {
    let server = Sshd::start("");
    let config = format!("{config}\nGlobalKnownHostsFile none\n");
    std::fs::write(server.path("config"), config).unwrap();
    let options = SshOptions { config_file: Some(server.path("config")), ..server.options() };
    let (result, forms) = connect_answering(&options, &["yes"]).await;
    result.unwrap();
    assert_eq!(forms.len(), 1);
    // Another client knows nothing of it.
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{error:?}");
}

/// `{dir}` is the user's home, where the file is taken away after the first connection.
#[test_case("UserKnownHostsFile none"; "what cannot be written")]
#[test_case("UserKnownHostsFile {dir}/known/hosts"; "what was written and is lost")]
#[tokio::test]
async fn a_server_of_this_run_must_stay_the_same(config: &str) {
    let server = Sshd::start("");
    let dir = server.path("").display().to_string();
    let config =
        format!("{config}\nGlobalKnownHostsFile none\nStrictHostKeyChecking accept-new\n").replace("{dir}", &dir);
    std::fs::write(server.path("config"), &config).unwrap();
    let options = SshOptions { config_file: Some(server.path("config")), ..server.options() };
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    let connect = async || timeout(sshd::DEADLINE, client.connect()).await.unwrap();
    let cut = async || {
        let mut link = client.link();
        for id in server.process_ids() {
            kill(Pid::from_raw(id), Signal::SIGKILL).unwrap();
        }
        let lost = link.wait_for(|link| !matches!(link, Link::Connected));
        timeout(sshd::DEADLINE, lost).await.unwrap().unwrap();
    };
    connect().await.unwrap();
    cut().await;
    assert_eq!(server.path("known/hosts").exists(), config.contains("/known/"));
    let _ = std::fs::remove_dir_all(server.path("known"));
    // The same server is the same server.
    connect().await.unwrap();
    cut().await;
    let _ = std::fs::remove_dir_all(server.path("known"));
    for name in ["host_ed25519", "host_ed25519.pub"] {
        std::fs::remove_file(server.path(name)).unwrap();
    }
    make_key("ed25519", &server.path("host_ed25519"), "");
    server.reload();
    let error = connect().await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { line: 0, .. }), "{error:?}");
    assert!(!server.path("known").exists());
    client.close().await;
}

/// Whether `ssh` and we connect where nobody is asked, and whether the key is written down then; `known` is what stood there before.
#[test_case("accept-new", "", true; "a new key is accepted")]
#[test_case("no", "", true; "no is read as accept new")]
#[test_case("yes", "", false; "a new key is refused")]
#[test_case("ask", "", false; "nobody is there")]
#[test_case("accept-new", "{name} {other}", false; "a changed key is not accepted")]
#[test_case("accept-new", "@revoked * {key}", false; "a revoked key is not accepted")]
#[tokio::test]
async fn strictness_is_read_as_ssh_reads_it(strictness: &str, known: &str, expected: bool) {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("other"), "");
    let known = known.replace("{name}", &format!("[127.0.0.1]:{}", server.port));
    let known = known.replace("{other}", &public_key(&server, "other")).replace("{key}", &server.host_key("ed25519"));
    let setting = format!("StrictHostKeyChecking={strictness}");
    server.write_known_hosts(&known);
    let ssh = ssh_knows(&server, &[&setting]);
    let after_ssh = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    server.write_known_hosts(&known);
    let options = SshOptions { settings: vec![setting], ..server.options() };
    let ours = connect(&options).await;
    let after_us = std::fs::read_to_string(server.path(".ssh/known_hosts")).unwrap();
    assert_eq!((ssh, ours.is_ok()), (expected, expected), "{ours:?}");
    assert_eq!(after_us, after_ssh);
    assert_eq!(after_us != known, expected);
}

#[test_case("no"; "strict checking off")]
#[test_case("accept-new"; "accepting new keys")]
#[tokio::test]
async fn no_setting_trusts_a_changed_key(strictness: &str) {
    let server = Sshd::start("");
    make_key("ed25519", &server.path("other"), "");
    server.write_known_hosts(&format!("[127.0.0.1]:{} {}\n", server.port, public_key(&server, "other")));
    let settings = vec![format!("StrictHostKeyChecking={strictness}"), "CheckHostIP=no".to_owned()];
    let options = SshOptions { settings, accept_new_host_key: true, ..server.options() };
    let (result, forms) = connect_answering(&options, &["yes"]).await;
    assert!(matches!(result, Err(SshError::HostKeyChanged { line: 1, .. })), "{result:?}");
    assert!(forms.is_empty() && server.accepted() == 0);
}

#[tokio::test]
async fn a_server_on_the_way_is_asked_about_too() {
    let (gate, inside) = (Sshd::start(""), Sshd::start(""));
    inside.write_known_hosts("");
    // The gate takes the key that the user names for the server behind it.
    std::fs::copy(inside.path("key.pub"), gate.path("authorized_keys")).unwrap();
    std::fs::copy(inside.path("key"), inside.path(".ssh/id_ed25519")).unwrap();
    let jump = Some(format!("{}@127.0.0.1:{}", sshd::user(), gate.port));
    let options = SshOptions { jump, ..inside.options() };
    let (result, forms) = connect_answering(&options, &["yes", "yes"]).await;
    result.unwrap();
    let [first, second] = &*forms else { panic!("{forms:?}") };
    assert!(first.words.contains(&format!("host '[127.0.0.1]:{0} ([127.0.0.1]:{0})'", gate.port)), "{}", first.words);
    assert!(second.words.contains(&format!("host '[127.0.0.1]:{}'", inside.port)), "{}", second.words);
    let known = std::fs::read_to_string(inside.path(".ssh/known_hosts")).unwrap();
    assert_eq!(known, gate.known_hosts_lines(&["ed25519"]) + &inside.known_hosts_lines(&["ed25519"]));
    connect(&options).await.unwrap();
}
