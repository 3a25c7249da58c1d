//! The way to the login host is barred, cut or odd: what a client is told, what the terminal says, and that a fault which
//! was mended needs no restart.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::scene::{chat, slurm_proxy, soon, state, wait_for_state, wait_until_nothing_is_left};
use support::{Answer, ChildGuard, Cluster, Deadline, HostName, Proxy, eventually};
use tokio::net::UnixListener;
use tokio::time::timeout;

/// A client with less patience than this is rare, and all of these faults must be told sooner. The longest of ours
/// is the SSH handshake's, half a minute.
const PATIENCE: Duration = Duration::from_mins(1);

async fn ask(proxy: &Proxy) -> Answer {
    let body = chat(false);
    let answer = timeout(PATIENCE, proxy.client().post("/v1/chat/completions", &body)).await;
    answer
        .unwrap_or_else(|_late| panic!("no answer within {PATIENCE:?}; stderr:\n{}", proxy.lines().so_far().join("\n")))
}

/// Asks for what cannot be; the error must have all these words, and so must the terminal, with a hint of what to do.
async fn told(proxy: &Proxy, words: &[&str]) -> String {
    let answer = ask(proxy).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let json = answer.json();
    if json["error"]["code"] == "login_required" {
        assert_eq!(answer.headers["x-should-retry"], "false", "a retry is for nothing until a person acts");
    } else {
        let seconds: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((1..=120).contains(&seconds), "an SDK would not come back after {seconds} s");
    }
    for field in ["type", "param", "code"] {
        assert!(json["error"].get(field).is_some(), "no {field} in {json}");
    }
    let message = json["error"]["message"].as_str().expect("a message").to_owned();
    proxy.wait_for_line("hint: ", soon()).await;
    let terminal = proxy.lines().so_far().join("\n");
    for word in words {
        assert!(message.contains(word), "the client is not told {word:?}: {message}");
        assert!(terminal.contains(word), "the terminal does not say {word:?}: {terminal}");
    }
    message
}

/// A person says that the fault is mended: nothing that a host refused is tried again before.
fn log_in(cluster: &Cluster, proxy: &Proxy) {
    let output = Proxy::builder().on_laptop(cluster).home(&proxy.home()).run(["login"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The fault is mended: with no restart, and no more than its back-off later, a request is served; and it all ends well.
async fn works_again(cluster: &Cluster, proxy: Proxy) {
    let served = async || (ask(&proxy).await.status == 200).then_some(());
    eventually(PATIENCE, "a request is served again", served).await;
    ends_well(cluster, proxy).await;
}

async fn ends_well(cluster: &Cluster, proxy: Proxy) {
    let lines = proxy.lines();
    assert!(proxy.stop("TERM", PATIENCE).await.success(), "{}", lines.so_far().join("\n"));
    wait_until_nothing_is_left(cluster, 10).await;
}

/// Where `scripts/cluster` keeps what belongs to a host.
fn belongings(cluster: &Cluster, host: HostName) -> PathBuf {
    let laptop = cluster.key().parent().expect("the laptop's folder");
    laptop.with_file_name(host.as_str())
}

/// The laptop's `/etc/hosts`, which all of its processes see change.
fn laptop_hosts(cluster: &Cluster) -> PathBuf {
    let state = cluster.key().ancestors().nth(2).and_then(Path::file_name).expect("the cluster's name");
    Path::new("/etc/netns").join(format!("{}-laptop/hosts", state.to_string_lossy()))
}

/// Lets the laptop's alias `login` lead elsewhere, for proxies that start after.
fn let_login_be(cluster: &Cluster, host: &str, port: u16) {
    let text = fs::read_to_string(cluster.ssh_config()).expect("the laptop's ssh_config");
    let mut lines: Vec<String> = text.lines().filter(|line| !line.contains("  Port ")).map(str::to_owned).collect();
    let place = lines.iter().position(|line| line.contains("  HostName ")).expect("the alias's HostName");
    lines.splice(place..=place, [format!("  HostName {host}"), format!("  Port {port}")]);
    fs::write(cluster.ssh_config(), lines.join("\n") + "\n").expect("the laptop's ssh_config");
}

/// A relay on login, from this port of its to what `to` names.
async fn relay_on_login(cluster: &Cluster, port: u16, to: &str) -> ChildGuard {
    let mut command = cluster.command(HostName::Login, cluster.engine());
    command.args(["relay", "--listen", &format!("0.0.0.0:{port}"), "--to", to]);
    let relay = ChildGuard::start("the relay on login", &mut command);
    relay.stderr().wait_for("listening on", Deadline::in_seconds(10)).await;
    relay
}

fn ssh_keygen(arguments: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(arguments).output().expect("ssh-keygen is there");
    assert!(output.status.success(), "ssh-keygen {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn no_job_was_asked_for(cluster: &Cluster) {
    let jobs = cluster.say(HostName::Login, &["scontrol", "show", "job", "--oneliner"]);
    assert!(!jobs.contains("JobId="), "{jobs}");
}

#[tokio::test]
async fn an_unknown_host_key_is_told_with_its_fingerprint() {
    let cluster = Cluster::up();
    let known = fs::read(cluster.known_hosts()).expect("known_hosts");
    fs::write(cluster.known_hosts(), "").expect("known_hosts");
    let key = belongings(&cluster, HostName::Login).join("ssh_host_ed25519_key.pub");
    let fingerprint = ssh_keygen(&["-lf", &key.display().to_string()]);
    let fingerprint = fingerprint.split_whitespace().nth(1).expect("a fingerprint");
    assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");

    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    let file = cluster.known_hosts().display().to_string();
    told(&proxy, &["the host key of login is not known", fingerprint, &file, "`ssh ", "answer yes"]).await;
    let deadline = Deadline::in_seconds(20);
    while state(&proxy).await != "failed" {
        assert!(!deadline.is_over(), "it never came to rest");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    no_job_was_asked_for(&cluster);
    fs::write(cluster.known_hosts(), known).expect("known_hosts");
    log_in(&cluster, &proxy);
    works_again(&cluster, proxy).await;
}

#[tokio::test]
async fn a_changed_host_key_is_told_with_file_and_line() {
    let cluster = Cluster::up();
    let known = fs::read_to_string(cluster.known_hosts()).expect("known_hosts");
    let another = belongings(&cluster, HostName::Node1).join("ssh_host_ed25519_key.pub");
    let another = fs::read_to_string(another).expect("another key");
    fs::write(cluster.known_hosts(), format!("# ours\n\nlogin {another}")).expect("known_hosts");
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    let place = format!("{}:3", cluster.known_hosts().display());
    told(&proxy, &["the host key of login has changed", &place, "SHA256:", "ssh-keygen -R"]).await;
    no_job_was_asked_for(&cluster);

    // As the hint says; and then the key that was published.
    let file = cluster.known_hosts().display().to_string();
    ssh_keygen(&["-R", "login", "-f", &file]);
    let rest = fs::read_to_string(cluster.known_hosts()).expect("known_hosts");
    fs::write(cluster.known_hosts(), rest + &known).expect("known_hosts");
    log_in(&cluster, &proxy);
    works_again(&cluster, proxy).await;
}

#[tokio::test]
async fn a_wrong_key_is_told_with_what_was_tried() {
    let cluster = Cluster::up();
    let right = fs::read(cluster.key()).expect("the key");
    let wrong = tempfile::tempdir().expect("a temporary folder");
    let file = wrong.path().join("key");
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &file.display().to_string()]);
    fs::copy(&file, cluster.key()).expect("the wrong key");
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    let key = cluster.key().display().to_string();
    let who = format!("{}@", cluster.user());
    told(&proxy, &["could not be authenticated", &who, &key, "publickey", "-i", "ssh-add"]).await;
    no_job_was_asked_for(&cluster);
    fs::write(cluster.key(), right).expect("the key");
    log_in(&cluster, &proxy);
    works_again(&cluster, proxy).await;
}

#[tokio::test]
async fn a_key_with_a_passphrase_asks_for_an_agent_and_is_then_used_by_it() {
    let cluster = Cluster::up();
    let key = cluster.key().display().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (socket, open) = (folder.path().join("agent"), folder.path().join("open"));
    fs::copy(cluster.key(), &open).expect("a copy of the key");
    ssh_keygen(&["-q", "-p", "-P", "", "-N", "correct horse", "-f", &key]);
    let proxy = slurm_proxy(&cluster, &[], &[]).env("SSH_AUTH_SOCK", &socket).start().await;
    told(&proxy, &["passphrase", &key, &format!("ssh-add '{key}'")]).await;
    no_job_was_asked_for(&cluster);

    let agent = ChildGuard::start("ssh-agent", Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket));
    eventually(soon(), "the agent listens", async || socket.exists().then_some(())).await;
    let added = Command::new("ssh-add").arg("-q").arg(&open).env("SSH_AUTH_SOCK", &socket).status();
    assert!(added.expect("ssh-add is there").success());
    log_in(&cluster, &proxy);
    works_again(&cluster, proxy).await;
    drop(agent);
}

#[tokio::test]
async fn a_login_host_that_has_no_address_is_told() {
    let cluster = Cluster::up();
    let (config, hosts) = (cluster.ssh_config(), laptop_hosts(&cluster));
    let (right, names) = (fs::read(config).expect("ssh_config"), fs::read(&hosts).expect("hosts"));
    let_login_be(&cluster, "login.nowhere.invalid", 22);
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    told(&proxy, &["the host name login.nowhere.invalid cannot be resolved", "check the spelling", "VPN"]).await;
    drop(proxy);

    // No alias of that name, and no host either.
    let nobodys = String::from_utf8_lossy(&right).replace("Host login", "Host another");
    fs::write(config, nobodys).expect("ssh_config");
    fs::write(&hosts, "127.0.0.1 localhost laptop\n").expect("hosts");
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    told(&proxy, &["the host name login cannot be resolved", "check the spelling, your SSH configuration"]).await;
    no_job_was_asked_for(&cluster);
    fs::write(&hosts, names).expect("hosts");
    works_again(&cluster, proxy).await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_or_nobody_speaks_is_told() {
    let cluster = Cluster::up();
    let address = cluster.address(HostName::Login).to_owned();
    let_login_be(&cluster, &address, 2222);
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    told(&proxy, &[&format!("{address} port 2222 refused the connection"), "check the port"]).await;

    // Somebody listens there, and never says a word: only our own clock ends that.
    let socket = cluster.share().join("silence");
    let silence = UnixListener::bind(&socket).expect("a socket");
    let relay = relay_on_login(&cluster, 2222, &format!("unix:{}", socket.display())).await;
    let silent = slurm_proxy(&cluster, &[], &[]).start().await;
    told(&silent, &["did not finish its SSH handshake within", "check that this port is an SSH server's"]).await;
    no_job_was_asked_for(&cluster);
    drop((silent, silence, relay));

    let _relay = relay_on_login(&cluster, 2222, "127.0.0.1:22").await;
    works_again(&cluster, proxy).await;
}

/// The engine runs, and nobody can reach it: that is known at the first dial, and half an hour of waiting changes nothing.
#[tokio::test]
async fn a_login_host_that_forbids_forwarding_is_told_and_the_job_is_ended() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding no").up();
    let proxy = slurm_proxy(&cluster, &["--route", "direct"], &[]).start().await;
    told(&proxy, &["does not allow a connection to node", "AllowTcpForwarding"]).await;
    wait_for_state(&proxy, "failed", 30).await;
    wait_until_nothing_is_left(&cluster, 10).await;
    ends_well(&cluster, proxy).await;
}

#[tokio::test]
async fn one_session_at_a_time_is_enough() {
    let cluster = Cluster::builder().sshd_option("MaxSessions 1").up();
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    for _ in 0..3 {
        ask(&proxy).await.ok();
    }
    ends_well(&cluster, proxy).await;
}

/// The queue is looked at, and `scancel` asked, while the runner holds the one session.
#[tokio::test]
async fn with_one_session_at_a_time_a_queued_job_is_still_seen_and_cancelled() {
    let cluster = Cluster::builder().sshd_option("MaxSessions 1").up();
    let options = ["--use-slurm", "--srun-args", "--mem=1G --partition=closed"];
    let engine = cluster.engine().display().to_string();
    let proxy = Proxy::builder().on_laptop(&cluster).options(options).command([&engine]).start().await;
    let queued = async || {
        // A client that leaves withdraws nothing for two minutes.
        let body = chat(false);
        let _left = timeout(Duration::from_secs(2), proxy.client().post("/v1/chat/completions", &body)).await;
        (cluster.jobs().len() == 1).then_some(())
    };
    eventually(soon(), "a job is queued", queued).await;
    proxy.wait_for_line("queued (PartitionDown)", soon()).await;
    ends_well(&cluster, proxy).await;
}

/// The pid of login's listening sshd, which names itself with its settings.
fn sshd_listener(cluster: &Cluster) -> u32 {
    let settings = belongings(cluster, HostName::Login).join("sshd_config").display().to_string();
    let pids = cluster.on(HostName::Login, &["pgrep", "-x", "sshd"]).stdout;
    let ours = |pid: &u32| {
        let said = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&said).contains(&settings)
    };
    let pids = String::from_utf8_lossy(&pids).into_owned();
    pids.lines().filter_map(|pid| pid.parse().ok()).find(ours).expect("login's sshd")
}

#[tokio::test]
async fn an_sshd_that_goes_down_and_comes_back_costs_no_job() {
    let cluster = Cluster::up();
    let proxy = slurm_proxy(&cluster, &[], &["--token-delay", "100", "--tokens", "300"]).start().await;
    let mut stream = proxy.client().stream("/v1/chat/completions", &chat(true)).await;
    timeout(PATIENCE, stream.event()).await.expect("in time").expect("an event").expect("an event");
    let job = cluster.jobs();
    assert_eq!(job.len(), 1, "{job:?}");

    let listener = sshd_listener(&cluster).to_string();
    cluster.on(HostName::Login, &["kill", "-KILL", &listener]);
    // What stands is not touched by that.
    timeout(PATIENCE, stream.event()).await.expect("in time").expect("an event").expect("an event");
    cluster.on(HostName::Login, &["sh", "-c", &format!("pkill -KILL -u {} sshd", cluster.user())]);
    proxy.wait_for_line("lost the connection", soon()).await;
    let (events, _) = timeout(PATIENCE, stream.events()).await.expect("the stream ends in time");
    assert!(!events.iter().any(|event| event.contains("[DONE]")), "{events:?}");
    assert!(events.last().is_some_and(|last| last.contains("\"error\"")), "{events:?}");
    let health = proxy.client().get("/health").await.ok();
    assert_eq!(health["detail"][0]["link"], "reconnecting", "{health}");
    assert!(health["detail"][0]["link_since_s"].is_u64(), "{health}");

    // Nothing of it was sent yet, so it waits.
    let meanwhile = timeout(PATIENCE, proxy.client().get("/v1/models"));
    let settings = belongings(&cluster, HostName::Login).join("sshd_config");
    let mut sshd = cluster.command(HostName::Login, "/usr/sbin/sshd");
    let (meanwhile, sshd) = tokio::join!(meanwhile, async {
        let sshd = ChildGuard::start("sshd", sshd.args(["-D", "-e", "-f"]).arg(settings));
        proxy.wait_for_line("connected again", PATIENCE).await;
        sshd
    });
    meanwhile.expect("an answer in time").ok();
    assert_eq!(cluster.jobs(), job, "the same job serves on");
    ends_well(&cluster, proxy).await;
    drop(sshd);
}

/// What `ssh login true` prints on the laptop: whatever login's shell says by itself.
fn what_the_shell_says(cluster: &Cluster) -> String {
    let mut ssh = cluster.laptop_command("ssh");
    let output = ssh.arg("-F").arg(cluster.ssh_config()).args(["login", "true"]).output().expect("ssh is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Lets login's shell say something by itself: sshd's bash reads `.bashrc` although it is not interactive, and
/// `--login-shell` reads the profile.
fn let_the_shell_say(cluster: &Cluster, commands: &str) {
    for file in [".bashrc", ".profile", ".bash_profile"] {
        fs::write(cluster.home().join(file), commands).expect("a file in the user's home");
    }
}

#[tokio::test]
async fn a_login_shell_that_prints_noise_is_no_matter() {
    let cluster = Cluster::up();
    let_the_shell_say(&cluster, "echo noise; echo noise >&2; printf 'no end of line'; printf 'none here' >&2\n");
    assert_eq!(what_the_shell_says(&cluster).matches("noise").count(), 2, "there is noise at all");
    for options in [&[][..], &["--login-shell"]] {
        let proxy = slurm_proxy(&cluster, options, &[]).start().await;
        ask(&proxy).await.ok();
        ends_well(&cluster, proxy).await;
    }
}

/// A greeting in Latin-1, say.
#[tokio::test]
async fn a_login_shell_whose_noise_is_not_utf_8_is_no_matter() {
    let cluster = Cluster::up();
    let_the_shell_say(&cluster, "printf 'gr\\374\\337e\\n'; printf 'gr\\374\\337e\\n' >&2\n");
    assert_eq!(what_the_shell_says(&cluster).matches("gr\u{fffd}\u{fffd}e").count(), 2, "there is noise at all");
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    ask(&proxy).await.ok();
    ends_well(&cluster, proxy).await;
}

/// A shell that knows no syntax at all stands for csh, fish and their like: what all of them take is one word.
#[tokio::test]
async fn a_login_shell_of_another_kind_is_no_matter() {
    let cluster = Cluster::up();
    let shell = cluster.share().join("odd-shell");
    let text = "#!/bin/sh\necho 'welcome to the odd shell'\necho 'it is odd' >&2\n\
                [ \"$1\" = -c ] && [ $# = 2 ] || exit 97\nset -f\nIFS=' '\nset -- $2\nexec \"$@\"\n";
    fs::write(&shell, text).expect("the odd shell");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("the odd shell");
    let changed = async || {
        // Others make and remove users at the same time, and then the file is locked for a moment.
        let status = Command::new("usermod").arg("-s").arg(&shell).arg(cluster.user()).status().expect("usermod");
        status.success().then_some(())
    };
    eventually(soon(), "the user has the odd shell", changed).await;
    assert!(what_the_shell_says(&cluster).contains("it is odd"));
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    ask(&proxy).await.ok();
    ends_well(&cluster, proxy).await;
}

#[tokio::test]
async fn a_home_folder_that_takes_no_files_is_told() {
    let cluster = Cluster::up();
    let state = cluster.home().join(".local/state");
    fs::create_dir_all(&state).expect("a folder of root's");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o555)).expect("a folder of root's");
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    told(&proxy, &["the host cannot keep the engine's files", "Permission denied", "~/.local/state/llm-proxy"]).await;
    no_job_was_asked_for(&cluster);
    let home = fs::metadata(cluster.home().join(".ssh")).expect("the user's own folder");
    let (user, group) = (std::os::unix::fs::MetadataExt::uid(&home), std::os::unix::fs::MetadataExt::gid(&home));
    for folder in [state.as_path(), state.parent().expect("a folder above")] {
        chown(folder, Some(user), Some(group)).expect("the user's own folder");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("the user's own folder");
    }
    works_again(&cluster, proxy).await;
}

/// A quota that is used up looks the same as a file system that is full, which is easier to come by.
#[tokio::test]
async fn a_home_folder_that_is_full_is_told() {
    let cluster = Cluster::up();
    let folder = cluster.home().join(".local/state/llm-proxy");
    cluster.say(HostName::Login, &["mkdir", "-p", &folder.display().to_string()]);
    let inside = |words: &[&str]| {
        // In sshd's own view of the file system, which all of its sessions share.
        let sshd = sshd_listener(&cluster).to_string();
        let output = Command::new("nsenter").args(["-t", &sshd, "-m", "--"]).args(words).output().expect("nsenter");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let folder = folder.display().to_string();
    inside(&["mount", "-t", "tmpfs", "-o", "size=4k,mode=777", "tmpfs", &folder]);
    inside(&["sh", "-c", &format!("head -c 4096 /dev/zero >'{folder}/full'")]);
    let proxy = slurm_proxy(&cluster, &[], &[]).start().await;
    told(&proxy, &["the host cannot keep the engine's files", "make room in your home folder"]).await;
    no_job_was_asked_for(&cluster);
    inside(&["umount", &folder]);
    works_again(&cluster, proxy).await;
}
