//! The documented mode: a tunnel from the job back to a host, whose keys the doctor sets up, or says how.

use std::fs;

use crate::patient::Patient;
use crate::support::pty::Pty;
use crate::support::scene::{SRUN_ARGS, chat, soon, wait_until_nothing_is_left};
use crate::support::{Cluster, HostName, Proxy};

const CHECK: &str = "loopback";

/// A login shell that reads quotes otherwise than others.
const CSH: &str = "/bin/tcsh";

/// What a line of `authorized_keys` begins with that the doctor wrote.
const LIMITS: &str =
    r#"restrict,port-forwarding,permitlisten="localhost:*",permitopen="localhost:1",command="exit" ssh-ed25519 "#;

/// The nodes know nobody, and have no key. Somebody's editor left the last lines of the user's files without an end.
fn forget_all(cluster: &Cluster) {
    let file = |name: &str| cluster.home().join(".ssh").join(name);
    for name in ["id_ed25519", "id_ed25519.pub"] {
        fs::remove_file(file(name)).expect("the user's file");
    }
    fs::write(file("known_hosts"), "# mine").expect("the user's file");
    let keys = fs::read_to_string(file("authorized_keys")).expect("the user's keys");
    fs::write(file("authorized_keys"), keys.trim_end()).expect("the user's keys");
}

fn words<'w>(cluster: &'w Cluster, more: &[&'w str]) -> Vec<&'w str> {
    let config = cluster.ssh_config().to_str().expect("a plain name");
    [&["--ssh-config", config, "--login", "login", "--use-slurm", "--srun-args", SRUN_ARGS], more].concat()
}

fn last_authorised(cluster: &Cluster) -> String {
    let keys = fs::read_to_string(cluster.home().join(".ssh/authorized_keys")).expect("the user's keys");
    keys.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_ends_on_the_login_host_the_lines_set_it_up_and_a_tunnel_is_had() {
    let cluster = Cluster::builder().shell(CSH).up();
    let patient = Patient::on_laptop(&cluster);
    forget_all(&cluster);
    let words = words(&cluster, &["--route", "reverse"]);
    let found = patient.examine(&words);
    let line = found.fault(CHECK, "does not know the host key of login");
    assert!(found.advice().contains("SHA256:"), "{}", found.advice());
    patient.apply(&line);
    patient.apply(&patient.examine(&words).fault(CHECK, "Permission denied"));
    let found = patient.examine(&words);
    found.is_well();
    found.is_ok(CHECK);
    assert!(last_authorised(&cluster).starts_with(LIMITS), "{}", last_authorised(&cluster));

    // So little is enough, and no more than that can be done with it.
    let proxy = Proxy::builder().on_laptop(&cluster).options(["--use-slurm", "--srun-args", SRUN_ARGS]);
    let proxy = proxy.options(["--route", "reverse"]).command([cluster.engine().display().to_string()]).start().await;
    let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(proxy.stop("INT", soon()).await.success());
    wait_until_nothing_is_left(&cluster, 30).await;
    let shell = cluster.say(HostName::Node1, &["ssh", "-o", "BatchMode=yes", "login", "id"]);
    assert_eq!(shell, "");
    let open = cluster.on_as_user(HostName::Node1, &["timeout", "20", "ssh", "-W", "127.0.0.1:22", "login"]);
    assert!(String::from_utf8_lossy(&open.stderr).contains("administratively prohibited"), "{open:?}");
}

#[test]
fn where_it_ends_elsewhere_the_line_for_that_host_is_printed() {
    let cluster = Cluster::builder().second_login().up();
    let patient = Patient::on_laptop(&cluster);
    for name in ["id_ed25519", "id_ed25519.pub"] {
        fs::remove_file(cluster.home().join(".ssh").join(name)).expect("the user's file");
    }
    let words = words(&cluster, &["--loopback-host", "login2"]);
    // First a key, on this side.
    patient.apply(&patient.examine(&words).fault(CHECK, "Permission denied"));
    let found = patient.examine(&words);
    let line = found.fault(CHECK, "Permission denied");
    assert!(found.advice().contains("paste this on login2, as"), "{}", found.advice());
    cluster.say(HostName::Login2, &["/bin/sh", "-c", &line]);
    patient.examine(&words).is_well();
}

#[test]
fn another_key_than_the_known_one_is_forgotten_only_by_who_says_so() {
    let cluster = Cluster::builder().shell(CSH).up();
    let patient = Patient::on_laptop(&cluster);
    let known = cluster.home().join(".ssh/known_hosts");
    let text = fs::read_to_string(&known).expect("the user's file");
    let other = text.lines().find_map(|line| line.strip_prefix("node1,")).expect("another's key");
    let key = other.split_once(' ').expect("a key").1;
    fs::write(&known, format!("login {key}\n")).expect("the user's file");
    let words = words(&cluster, &["--route", "reverse"]);
    let line = patient.examine(&words).fault(CHECK, "another host key than it knows");
    patient.apply(&line);
    patient.apply(&patient.examine(&words).fault(CHECK, "does not know the host key"));
    patient.examine(&words).is_well();
}

#[test]
fn where_no_port_is_forwarded_another_route_is_offered() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding local").up();
    let patient = Patient::on_laptop(&cluster);
    let found = patient.examine(&words(&cluster, &["--loopback-user", cluster.user()]));
    let line = found.fault(CHECK, "does not forward a port");
    assert!(line.ends_with("--route auto"), "{line}");
    patient.call_again(&line);
}

#[test]
fn a_tunnel_to_this_program_needs_nobody() {
    let cluster = Cluster::up();
    let patient = Patient::on_laptop(&cluster);
    forget_all(&cluster);
    let laptop = cluster.address(HostName::Laptop);
    let found = patient.examine(&words(&cluster, &["--loopback-host", laptop]));
    found.is_well();
    assert!(found.is_ok(CHECK).contains("comes to this program itself"));
}

/// The same at a terminal, by somebody who compares and says yes: each is shown first, and done once.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_saying_yes_sets_up_the_keys() {
    let cluster = Cluster::builder().shell(CSH).up();
    forget_all(&cluster);
    let file = |name: &str| fs::read_to_string(cluster.home().join(".ssh").join(name)).expect("the user's file");
    let before = file("authorized_keys");
    let enter = cluster.laptop_command("env");
    let enter = std::iter::once(enter.get_program()).chain(enter.get_args()).map(|word| word.to_str().expect("words"));
    let called = ["TERM=xterm", env!("CARGO_BIN_EXE_llm-proxy"), "doctor"];
    let line: Vec<&str> = enter.chain(called).chain(words(&cluster, &["--route", "reverse"])).collect();
    let line = shlex::try_join(line).expect("a line");
    let home = tempfile::tempdir().expect("a folder");
    let mut doctor = Pty::start(&format!("exec {line}"), home.path(), &[]);

    let consent = "? (yes/no) ";
    let text = doctor.wait_for_times(consent, 1, soon()).await;
    let question = text.rsplit("? If so").nth(1).and_then(|before| before.lines().last()).expect("a question");
    assert!(question.contains("Is SHA256:") && question.contains("ssh-keygen -lf"), "{question}");
    assert!(text.contains("The doctor can run on the host:") && text.contains("~/.ssh/known_hosts"), "{text}");
    assert_eq!(file("known_hosts"), "# mine", "nothing is done before");
    doctor.type_keys("yes\n");
    let text = doctor.wait_for_times(consent, 2, soon()).await;
    assert!(text.contains("the nodes' key in") && text.contains("~/.ssh/authorized_keys"), "{text}");
    let known = file("known_hosts");
    assert!(known.starts_with("# mine\nlogin ssh-ed25519 ") && known.lines().count() == 2, "{known}");
    assert_eq!(file("authorized_keys"), before);
    assert!(!cluster.home().join(".ssh/id_ed25519").exists());
    doctor.type_keys("yes\n");
    doctor.wait_for("forwards a port to them", soon()).await;
    assert!(doctor.ended(soon()).await.success(), "{}", doctor.text());
    let expected = format!("{before}\n{LIMITS}{}", file("id_ed25519.pub").strip_prefix("ssh-ed25519 ").expect("a key"));
    assert_eq!(file("authorized_keys"), expected);
}
