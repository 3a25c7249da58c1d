//! The two clients, ours and OpenSSH's, before the same server.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use llm_proxy::ssh::{Form, Person, Question, SshClient, SshError, SshOptions};
use secrecy::SecretString;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::sshd::{self, Sshd, connect};

/// The public half of a key in the server's folder: its kind and the key.
pub(crate) fn public_key(server: &Sshd, name: &str) -> String {
    let text = std::fs::read_to_string(server.path(&format!("{name}.pub"))).unwrap();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Whether OpenSSH's client, and ours, connect under this configuration, which both read.
pub(crate) async fn connects(server: &Sshd, config: &str) -> (bool, Result<(), SshError>) {
    let file = server.path("judged_config");
    let rest = "UserKnownHostsFile {dir}/.ssh/known_hosts\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n\
                BatchMode yes\nIdentityFile {dir}/key\n";
    let dir = server.path("").display().to_string();
    let config = format!("{config}\n{rest}").replace("{dir}", dir.trim_end_matches('/'));
    std::fs::write(&file, config.replace("{key}", &server.host_key("ed25519"))).unwrap();
    let place = format!("ssh://{}@127.0.0.1:{}", sshd::user(), server.port);
    let ssh = Command::new("ssh").arg("-F").arg(&file).args([&place, "true"]).output();
    let ssh = ssh.unwrap_or_else(|error| panic!("ssh: {error}; install Debian's openssh-client"));
    let told = String::from_utf8_lossy(&ssh.stderr);
    assert!(ssh.status.success() || told.contains("Host key verification failed"), "{told}");
    let options = SshOptions { config_file: Some(file), ..server.options() };
    (ssh.status.success(), connect(&options).await)
}

/// Connects with somebody who gives these answers and then leaves; also returns what was asked.
pub(crate) async fn connect_answering(options: &SshOptions, answers: &[&str]) -> (Result<(), SshError>, Vec<Form>) {
    let client = SshClient::new(options, TaskTracker::new()).unwrap();
    let (person, mut asked) = Person::somebody(false);
    let answering = async move {
        let mut forms = Vec::new();
        for given in answers {
            let Some(Question { form, answer }) = asked.recv().await else { break };
            forms.push(form);
            answer.send(vec![SecretString::from(*given)]).unwrap();
        }
        forms
    };
    let connecting = async {
        let result = client.connect_with(&person).await;
        drop(person);
        result
    };
    let (result, forms) = timeout(sshd::DEADLINE, async { tokio::join!(connecting, answering) }).await.unwrap();
    client.close().await;
    (result, forms)
}

/// Whether OpenSSH's client connects, strictly: it asks nothing and writes nothing.
pub(crate) fn ssh_knows(server: &Sshd, settings: &[&str]) -> bool {
    // The first word about something counts.
    let strict = ["StrictHostKeyChecking=yes", "BatchMode=yes", "UpdateHostKeys=no"];
    let ssh = ssh(server, &[settings, &strict[..]].concat()).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&ssh.stderr);
    assert!(ssh.status.success() || told.contains("Host key verification failed"), "{told}");
    ssh.status.success()
}

pub(crate) fn ssh(server: &Sshd, settings: &[&str]) -> Command {
    let mut ssh = Command::new("timeout");
    ssh.args(["60", "ssh", "-F", "none", "-i"]).arg(server.path("key"));
    let file = format!("UserKnownHostsFile={}", server.path(".ssh/known_hosts").display());
    for setting in [&file, "GlobalKnownHostsFile=none"].iter().chain(settings) {
        ssh.args(["-o", setting]);
    }
    ssh.args([&format!("ssh://{}@127.0.0.1:{}", sshd::user(), server.port), "true"]);
    ssh
}

/// Whether OpenSSH's client connects for somebody who gives these answers, and what it asked.
pub(crate) fn ssh_answering(server: &Sshd, answers: &[&str]) -> (bool, Vec<String>) {
    // It runs this program for each question.
    let program = server.path("askpass");
    let answers = answers.iter().map(|answer| format!("'{answer}'")).collect::<Vec<_>>().join(" ");
    let text = format!(
        "#!/bin/sh\ncd '{}'\nmkdir -p asked\nnumber=$(ls asked | wc -l)\nprintf %s \"$1\" > asked/$number\n\
         set -- {answers}\nshift $number && echo \"$1\"\n",
        server.path("").display()
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut ssh = ssh(server, &["StrictHostKeyChecking=ask", "UpdateHostKeys=no"]);
    ssh.env("SSH_ASKPASS", &program).env("SSH_ASKPASS_REQUIRE", "force").stdin(Stdio::null());
    let ssh = ssh.output().unwrap();
    let mut asked = Vec::new();
    while let Ok(question) = std::fs::read_to_string(server.path(&format!("asked/{}", asked.len()))) {
        asked.push(question);
    }
    (ssh.status.success(), asked)
}
