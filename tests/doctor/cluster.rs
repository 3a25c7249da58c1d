//! Against a real cluster: what Slurm says, what the user's shell makes of the surroundings, and what a job on a node tells.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::patient::Patient;
use crate::support::left::wait_until_nothing_runs;
use crate::support::scene::{life_folders, soon};
use crate::support::{ChildGuard, Cluster, Deadline, HostName, eventually};

/// What a login host of a site that keeps Slurm elsewhere has.
const PLAIN_TOOLS: [&str; 18] = [
    "awk", "bash", "cat", "date", "dirname", "df", "env", "grep", "hostname", "id", "ls", "mkdir", "python3", "rm",
    "sed", "sh", "sleep", "uname",
];

fn words<'w>(cluster: &'w Cluster, more: &[&'w str]) -> Vec<&'w str> {
    let config = cluster.ssh_config().to_str().expect("a plain name");
    [&["--ssh-config", config, "--login", "login"], more].concat()
}

#[test]
fn what_is_misspelt_or_too_much_leads_to_what_there_is() {
    let cluster = Cluster::up();
    let patient = Patient::on_laptop(&cluster);
    let config = cluster.ssh_config().to_str().expect("a plain name");
    let found = patient.examine(&["--ssh-config", config, "--login", "lgoin"]);
    found.skipped("authentication");
    patient.call_again(&found.fault("network", "cannot be resolved"));

    let job = |args: &str| patient.examine(&words(&cluster, &["--use-slurm", "--srun-args", args]));
    patient.call_again(&job("-p mian --mem=1G").fault("job", "partition"));
    patient.call_again(&job("--gres=gpu:9").fault("job", "not available"));
    patient.call_again(&job("--gres=gpu:h100:1 --mem=900G").fault("job", "Slurm would not take it"));
    assert!(job("--gres=gpu:1").is_ok("job").contains("to start at 20"));

    // A command that is there, and on no PATH.
    let folder = cluster.home().join(".local/bin");
    fs::create_dir_all(&folder).expect("a folder in a home");
    symlink(cluster.engine(), folder.join("my-engine")).expect("a link");
    let found = patient.examine(&words(&cluster, &["--name", "x", "--", "my-engine"]));
    patient.call_again(&found.fault("command", "my-engine is not found"));
}

#[test]
fn what_a_shell_makes_of_the_surroundings_is_seen() {
    let cluster = Cluster::up();
    let patient = Patient::on_laptop(&cluster);
    let plain = cluster.share().join("plain");
    fs::create_dir(&plain).expect("a folder in the share");
    for tool in PLAIN_TOOLS {
        let file = ["/usr/bin", "/bin"].map(|folder| format!("{folder}/{tool}"));
        let file = file.into_iter().find(|file| fs::metadata(file).is_ok()).expect("a tool of every machine");
        symlink(file, plain.join(tool)).expect("a link");
    }
    let own = |file: &str, text: &str| fs::write(cluster.home().join(file), text).expect("a shell's file");
    own(".bashrc", &format!("PATH={}\n", plain.display()));
    own(".bash_profile", "PATH=/usr/local/bin:/usr/bin:/bin\n");
    let found = patient.examine(&words(&cluster, &["--use-slurm"]));
    found.skipped("job");
    let line = found.fault("slurm commands", "srun, squeue, scancel");
    assert!(line.contains("--login-shell"), "{line}");
    patient.call_again(&line);

    own(".bashrc", "echo welcome to the cluster\n");
    cluster.on(HostName::Login, &["chown", cluster.user(), &cluster.home().join(".bashrc").display().to_string()]);
    let found = patient.examine(&words(&cluster, &["--use-slurm"]));
    found.is_well();
    // It is for the user to edit that file: the line is told, and where it goes.
    assert_eq!(found.warning("profile", "welcome to the cluster"), "");
    let advice = found.found("profile", "warn").and_then(|found| found.get("advice")?.as_str()).expect("what to do");
    let line = advice.split('`').nth(1).expect("a line");
    own(".bashrc", &format!("{line}\necho welcome to the cluster\n"));
    let found = patient.examine(&words(&cluster, &["--use-slurm"]));
    found.is_well();
    found.is_ok("profile");
}

#[test]
fn what_is_on_no_path_leads_to_where_it_is() {
    let cluster = Cluster::up();
    let patient = Patient::on_laptop(&cluster);
    let own = |file: &str, text: &str| fs::write(cluster.home().join(file), text).expect("a shell's file");
    for (folder, program) in [("tools", "tool-of-ours"), ("uvs", "uv")] {
        fs::create_dir(cluster.home().join(folder)).expect("a folder in a home");
        symlink(cluster.engine(), cluster.home().join(folder).join(program)).expect("a link");
    }
    own(".bash_profile", "PATH=$HOME/tools:$PATH\n");
    own(".bashrc", "PATH=$HOME/uvs:$PATH\n");
    let line = patient.examine(&words(&cluster, &["--name", "x", "--", "tool-of-ours"]));
    let line = line.fault("command", "tool-of-ours is not found");
    assert!(line.contains("--login-shell"), "{line}");
    patient.call_again(&line);
    let line = patient.examine(&words(&cluster, &["--", "vllm", "serve", "M"])).fault("command", "vllm is not found");
    assert!(line.ends_with("-- uv run --with vllm vllm serve M"), "{line}");
    patient.call_again(&line);
}

#[test]
fn forwarding_to_the_nodes_alone_is_enough_with_slurm_and_forbidden_forwarding_is_not() {
    for (setting, enough) in [("PermitOpen node1:* node2:*", true), ("AllowTcpForwarding no", false)] {
        let cluster = Cluster::builder().sshd_option(setting).up();
        let patient = Patient::on_laptop(&cluster);
        let found = patient.examine(&words(&cluster, &["--use-slurm", "--route", "direct"]));
        if enough {
            assert!(found.is_ok("forwarding").contains("a channel to node1:22"));
            found.is_well();
        } else {
            found.fault("forwarding", "does not allow a connection");
        }
    }
}

#[test]
fn a_key_that_is_not_let_in_is_installed_by_the_password() {
    let options = ["PasswordAuthentication yes", "UsePAM yes"];
    let cluster = options.iter().fold(Cluster::builder(), |builder, option| builder.sshd_option(option));
    let cluster = cluster.password("cormorant").up();
    let patient = Patient::on_laptop(&cluster);
    let keys = cluster.home().join(".ssh/authorized_keys");
    fs::write(&keys, "").expect("the user's keys");
    let found = patient.examine(&words(&cluster, &[]));
    let line = found.fault("authentication", "asks for");
    assert!(line.starts_with("ssh-copy-id "), "{line}");
    let answer = patient.home().join("answer");
    fs::write(&answer, format!("#!/bin/sh\necho {}\n", cluster.password())).expect("a script");
    fs::set_permissions(&answer, fs::Permissions::from_mode(0o700)).expect("a script");
    let answer = answer.to_str().expect("a plain name");
    patient.apply_with(&line, &[("SSH_ASKPASS", answer), ("SSH_ASKPASS_REQUIRE", "force")]);
    patient.examine(&words(&cluster, &[])).is_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_tells_what_its_node_is_like_and_nothing_is_left_behind() {
    let cluster = Cluster::up();
    let patient = Patient::on_laptop(&cluster);
    let engine = cluster.engine().display().to_string();
    let login = format!("{}:22", cluster.login_inner_address());
    // What only the job's surroundings lead to.
    let tools = cluster.home().join("tools");
    fs::create_dir(&tools).expect("a folder in a home");
    symlink(cluster.engine(), tools.join("uv")).expect("a link");
    let prelude = "[ -z \"$SLURM_JOB_ID\" ] || PATH=$HOME/tools:$PATH";
    let hubs = ["--use-slurm", "--deep", "--prelude", prelude, "--hub", &login, "--hub", "127.0.0.1:9", "--", &engine];
    let found = patient.examine(&words(&cluster, &hubs));
    found.is_well();
    assert!(found.is_ok("short job").contains("it ran on node"));
    let nodes = [HostName::Node1, HostName::Node2].map(|node| format!("{}:", cluster.address(node)));
    let direct = found.is_ok("direct route");
    assert!(nodes.iter().any(|node| direct.starts_with(node)), "{direct}");
    assert!(found.is_ok("command on the node").contains(&engine));
    assert!(found.is_ok("programs").starts_with("no uv, "));
    let there = found.is_ok("programs on the node");
    assert!(there.starts_with(&format!("uv {}/uv, no vllm, python3 /", tools.display())), "{there}");
    found.is_ok("shared home");
    found.is_ok("end of the job");
    found.warning("node's network", "the node does not reach 127.0.0.1:9");
    assert!(!found.found("node's network", "warn").expect("a warning").to_string().contains(&login));
    nothing_is_left(&cluster);

    // Interrupted as soon as its job waits or runs: both see the end of it, and it is said.
    for (signal, json) in [("INT", true), ("TERM", false)] {
        let mut command = patient.command(env!("CARGO_BIN_EXE_llm-proxy"));
        command.arg("doctor").args(json.then_some("--json")).args(words(&cluster, &hubs)).stdin(Stdio::null());
        let mut doctor = ChildGuard::start("the doctor", &mut command);
        let there = async || doctors_job(&cluster).then_some(());
        eventually(Deadline::in_seconds(60), "its job is there", there).await;
        doctor.signal(signal);
        assert_eq!(doctor.wait(soon()).await.code(), Some(130));
        let said = doctor.stdout().all(Duration::from_secs(5)).await.join("\n");
        assert!(said.contains("nothing of it is left"), "{said}");
        if json {
            let findings: Vec<Value> = serde_json::from_str(&said).expect("JSON");
            let last = findings.last().expect("a finding");
            assert_eq!(
                (&last["check"], &last["level"], &last["seen"]),
                (&json!("all else"), &json!("skipped"), &json!("interrupted"))
            );
        } else {
            assert!(said.ends_with("interrupted: not everything was looked at"), "{said}");
        }
        wait_until_nothing_runs(&cluster, 10).await;
        nothing_is_left(&cluster);
    }
}

fn doctors_job(cluster: &Cluster) -> bool {
    cluster.jobs().iter().any(|job| job.contains("doctor"))
}

/// Whoever waits longer than it may withdraws its job.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_queue_is_full_it_says_so_and_leaves_it() {
    let cluster = Cluster::up();
    let full = ["sbatch", "-Q", "--nodelist=node1", "--exclusive", "--mem=1G", "--wrap", "sleep 600"];
    cluster.say(HostName::Login, &full);
    let runs = async || cluster.jobs().iter().any(|job| job.contains(" RUNNING ")).then_some(());
    eventually(Deadline::in_seconds(30), "the node is full", runs).await;
    let others = cluster.jobs();
    let patient = Patient::on_laptop(&cluster);
    let patience = ["--use-slurm", "--deep", "--srun-arg", "--nodelist=node1", "--queue-timeout", "6s"];
    let found = patient.examine(&words(&cluster, &patience));
    found.is_well();
    found.warning("short job", "it did not start within 6 s (Slurm says ");
    found.is_ok("end of the job");
    assert_eq!(cluster.jobs(), others);
    nothing_of_the_home(&cluster);
}

fn nothing_is_left(cluster: &Cluster) {
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    nothing_of_the_home(cluster);
}

fn nothing_of_the_home(cluster: &Cluster) {
    assert_eq!(life_folders(cluster), Vec::<String>::new());
    let home = fs::read_dir(cluster.home()).expect("a home").flatten();
    let left: Vec<String> = home.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    assert!(!left.iter().any(|name| name.starts_with(".llm-proxy")), "{left:?}");
}
