//! The ways into the cluster that have to be asked for: passwords, one-time codes, a second login host, other shells; and
//! a laptop's link that is lost. All by OpenSSH's own client, so that what ours is held against is known to be right.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use support::{ChildGuard, Cluster, Deadline, HostName};
use tempfile::TempDir;

/// `ssh` on the laptop, which asks nobody.
fn ssh(cluster: &Cluster) -> Command {
    let mut ssh = cluster.laptop_command("timeout");
    ssh.args(["20", "ssh", "-F"]).arg(cluster.ssh_config());
    ssh
}

/// What one who answers `ssh`'s questions makes of it.
struct Answered {
    output: Output,
    questions: String,
}

impl Answered {
    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).trim_end().to_owned()
    }
}

/// Runs `ssh OPTION... HOST COMMAND`; the password is the answer to a question for one, the code to any other.
fn ssh_with_answers(cluster: &Cluster, password: &str, code: &str, words: &[&str]) -> Answered {
    let folder = TempDir::new().expect("a temporary folder");
    let (program, questions) = (folder.path().join("answer"), folder.path().join("questions"));
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$1\" >>'{}'\ncase $1 in\n*[Pp]assword:*) echo '{password}' ;;\n*) echo '{code}' ;;\nesac\n",
        questions.display()
    );
    std::fs::write(&program, script).expect("a file can be written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a file's mode can be set");
    let mut ssh = ssh(cluster);
    ssh.args(["-o", "NumberOfPasswordPrompts=1"]).args(words);
    ssh.env("SSH_ASKPASS", &program).env("SSH_ASKPASS_REQUIRE", "force");
    let output = ssh.stdin(Stdio::null()).output().expect("ssh can be run");
    Answered { output, questions: std::fs::read_to_string(&questions).unwrap_or_default() }
}

#[test]
fn a_password_lets_its_user_in_and_no_other_one_does() {
    let cluster = Cluster::builder().password("open sesame").sshd_option("PasswordAuthentication yes").up();
    let words = ["-o", "PubkeyAuthentication=no", "login", "hostname"];
    let wrong = ssh_with_answers(&cluster, "open says me", "", &words);
    assert!(!wrong.output.status.success(), "{}", wrong.stdout());
    assert_eq!(ssh_with_answers(&cluster, cluster.password(), "", &words).stdout(), "login");
    let by_key = ssh(&cluster).args(["login", "hostname"]).output().expect("ssh can be run");
    assert!(by_key.status.success(), "the key is still good");
}

#[test]
fn after_the_key_come_the_password_and_a_code_that_is_good_once() {
    let cluster = Cluster::builder()
        .password("open sesame")
        .one_time_codes()
        .second_login()
        .sshd_option("AuthenticationMethods publickey,keyboard-interactive")
        .up();
    let password = cluster.password();
    let enter = |host, password: &str, code: &str| ssh_with_answers(&cluster, password, code, &[host, "hostname"]);
    assert!(!enter("login", password, "000000").output.status.success(), "a wrong code opened the door");
    let code = cluster.one_time_code();
    assert!(!enter("login", "open says me", &code).output.status.success(), "a wrong password opened the door");
    let entered = enter("login", password, &code);
    assert_eq!(entered.stdout(), "login");
    let asked: Vec<&str> = entered.questions.lines().collect();
    assert!(matches!(asked.as_slice(), [first, second] if first.contains("Password") && second.contains("One-time")));
    assert!(!enter("login2", password, &code).output.status.success(), "a code was good twice");
    assert_eq!(enter("login2", password, &cluster.one_time_code()).stdout(), "login2");
}

#[test]
fn a_code_alone_can_be_all_that_is_asked_for() {
    let cluster = Cluster::builder().one_time_codes().sshd_option("AuthenticationMethods keyboard-interactive").up();
    let entered = ssh_with_answers(&cluster, "", &cluster.one_time_code(), &["login", "hostname"]);
    assert_eq!(entered.stdout(), "login");
    assert_eq!(entered.questions.lines().count(), 1, "{}", entered.questions);
}

#[test]
fn two_login_hosts_share_a_name_and_a_cluster_but_no_key() {
    let cluster = Cluster::builder().second_login().up();
    let addresses = cluster.on(HostName::Laptop, &["getent", "ahostsv4", "cluster"]);
    let addresses = String::from_utf8_lossy(&addresses.stdout).into_owned();
    let addresses: Vec<_> = addresses.lines().filter(|line| line.contains("STREAM")).collect();
    assert!(
        matches!(addresses.as_slice(), [first, second] if first.starts_with(cluster.address(HostName::Login))
            && second.starts_with(cluster.address(HostName::Login2))),
        "{addresses:?}"
    );
    let say = |words: &[&str]| {
        let output = ssh(&cluster).args(["-o", "ConnectTimeout=2"]).args(words).output().expect("ssh can be run");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    assert_eq!(say(&["cluster", "hostname"]), "login");
    assert_eq!(say(&["login2", "srun hostname; echo of $HOSTNAME >~/note"]), "node1");
    assert_eq!(say(&["login", "cat ~/note"]), "of login2");
    let job = say(&["login2", "sbatch --parsable --wrap 'sleep 600'"]);
    assert!(say(&["login", "squeue -h -o %i"]).contains(&job));
    assert_eq!(say(&["login2", &format!("scancel {job} && hostname")]), "login2");
    cluster.cut_from(HostName::Login);
    assert_eq!(say(&["cluster", "hostname"]), "login2", "the other one is tried, and its key is known");
    cluster.mend();
    assert_eq!(say(&["cluster", "hostname"]), "login");
    let [one, two] = ["login", "login2"].map(|host| {
        let file = cluster.known_hosts().with_file_name(format!("../{host}/ssh_host_ed25519_key.pub"));
        std::fs::read(file).expect("a host's key")
    });
    assert_ne!(one, two);
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_lost_without_a_word() {
    let cluster = Cluster::up();
    let mut command = cluster.laptop_command("ssh");
    command.arg("-F").arg(cluster.ssh_config()).args(["login", "while read -r word; do echo \"got $word\"; done"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut talk = command.spawn().expect("ssh can be run");
    let mut stdin = talk.stdin.take().expect("a pipe was asked for");
    let mut talk = ChildGuard::keep("ssh", talk);
    let mut got = talk.stdout();
    writeln!(stdin, "before").expect("a line can be written");
    got.wait_for("got before", Deadline::in_seconds(10)).await;

    cluster.cut();
    writeln!(stdin, "meanwhile").expect("a line can be written");
    let tried = ssh(&cluster).args(["-o", "ConnectTimeout=2", "login", "true"]).output().expect("ssh can be run");
    let words = String::from_utf8_lossy(&tried.stderr);
    assert!(words.contains("Connection timed out"), "neither refused nor unreachable: {words}");
    assert_eq!(got.so_far(), ["got before"], "nothing comes through");
    assert!(talk.try_wait().is_none(), "and nobody is told");
    // Login still is what it was to those behind it.
    assert_eq!(cluster.say(HostName::Login, &["srun", "hostname"]), "node1");

    cluster.mend();
    got.wait_for("got meanwhile", Deadline::in_seconds(20)).await;
    drop(stdin);
    assert!(talk.wait(Deadline::in_seconds(10)).await.success());
    cluster.mend();
}

#[test]
fn the_user_has_the_login_shell_that_was_asked_for() {
    let cluster = Cluster::builder().shell("/bin/tcsh").up();
    let name = || {
        let output = ssh(&cluster).args(["login", "ps -o comm= -p $$; echo $0"]).output().expect("ssh can be run");
        String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(name(), "tcsh");
    for shell in ["bash", "dash"] {
        cluster.set_shell(&format!("/bin/{shell}"));
        assert_eq!(name(), shell);
    }
    cluster.set_shell("/usr/bin/fish");
    let output = ssh(&cluster).args(["login", "echo $FISH_VERSION"]).output().expect("ssh can be run");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(char::is_numeric), "{output:?}");
}
