//! Servers that are reached through others: each is judged by what is configured for it, and nobody logs in twice.

use std::fs;
use std::path::PathBuf;

use llm_proxy::ssh::{Form, Person, Question, SshClient, SshError, SshHome, SshOptions};
use secrecy::SecretString;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::asking_host::{AskingHost, CODE, PROMPT};
use crate::sshd::{self, DEADLINE, Sshd, connect};

/// A gate and a server inside, and a configuration in which they share a name for their keys; the lines are those for each.
fn sharing_an_alias(of_gate: &str, of_inside: &str) -> (Sshd, Sshd, SshOptions) {
    let (gate, inside) = (Sshd::start(""), Sshd::start(""));
    fs::copy(inside.path("key.pub"), gate.path("authorized_keys")).unwrap();
    let file = |name: &str| inside.path(&format!("{name}_hosts"));
    let block = |name: &str, server: &Sshd, lines: &str| {
        format!(
            "Host {name}\nHostName 127.0.0.1\nPort {}\nUser {}\nHostKeyAlias cluster\nUserKnownHostsFile {}\n{lines}\n",
            server.port,
            sshd::user(),
            file(name).display(),
        )
    };
    let rest = format!("Host *\nGlobalKnownHostsFile none\nIdentityFile {}\n", inside.path("key").display());
    let config =
        block("gate", &gate, of_gate) + &block("inside", &inside, &format!("ProxyJump gate\n{of_inside}")) + &rest;
    fs::write(inside.path("config"), config).unwrap();
    let options =
        SshOptions { config_file: Some(inside.path("config")), home: inside.home(), ..SshOptions::new("inside") };
    (gate, inside, options)
}

fn hosts(inside: &Sshd, name: &str) -> Option<String> {
    fs::read_to_string(inside.path(&format!("{name}_hosts"))).ok()
}

#[tokio::test]
async fn what_is_configured_for_the_target_does_not_trust_the_hop() {
    let (gate, inside, options) = sharing_an_alias("StrictHostKeyChecking yes", "StrictHostKeyChecking accept-new");
    let error = connect(&options).await.unwrap_err();
    let SshError::Through { hop, error: inner } = &error else { panic!("{error:?}") };
    assert!(hop == "gate" && matches!(**inner, SshError::HostKeyUnknown { .. }), "{error:?}");
    assert_eq!((hosts(&inside, "gate"), hosts(&inside, "inside"), gate.accepted()), (None, None, 0));
}

#[tokio::test]
async fn what_is_configured_for_the_hop_does_not_trust_the_target() {
    let (gate, inside, options) = sharing_an_alias("StrictHostKeyChecking accept-new", "StrictHostKeyChecking yes");
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error, SshError::HostKeyUnknown { .. }), "{error:?}");
    let of_gate = format!("cluster {}\n", gate.host_key("ed25519"));
    assert_eq!((hosts(&inside, "gate"), hosts(&inside, "inside")), (Some(of_gate), None));
    assert_eq!((gate.accepted(), inside.accepted()), (1, 0));
}

#[tokio::test]
async fn accepting_new_keys_is_about_the_target_alone() {
    let (gate, inside, options) = sharing_an_alias("", "");
    let options = SshOptions { accept_new_host_key: true, ..options };
    let error = connect(&options).await.unwrap_err();
    assert!(matches!(error.root(), SshError::HostKeyUnknown { .. }) && gate.accepted() == 0, "{error:?}");
    let remedy = error.remedy().unwrap();
    assert!(
        !remedy.contains("--accept-new-host-key") && remedy.contains("`StrictHostKeyChecking accept-new`"),
        "{remedy}"
    );
    fs::write(inside.path("gate_hosts"), format!("cluster {}\n", gate.host_key("ed25519"))).unwrap();
    connect(&options).await.unwrap();
    assert_eq!(hosts(&inside, "inside"), Some(format!("cluster {}\n", inside.host_key("ed25519"))));
    assert_eq!(gate.accepted(), 1);
}

/// A gate that asks for a code, and options that lead through it to `inside`, which nobody knows.
async fn behind_a_code(inside: &Sshd) -> (AskingHost, SshOptions) {
    let gate = AskingHost::start(true).await;
    let of_gate = fs::read_to_string(gate.path("config")).unwrap();
    let of_inside = format!(
        "Host inside\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  ProxyJump asking\n  IdentityFile {}\n  \
         IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n",
        inside.port,
        sshd::user(),
        inside.path("key").display(),
        inside.path("inside_hosts").display(),
    );
    fs::write(gate.path("config"), of_gate + &of_inside).unwrap();
    let home = SshHome::below(&gate.path(""), "somebody");
    let options = SshOptions { config_file: Some(gate.path("config")), home, ..SshOptions::new("inside") };
    (gate, options)
}

/// Connects with somebody who answers a code and yes, and before the yes does what `meanwhile` says.
async fn connect_answering(options: &SshOptions, meanwhile: impl Fn()) -> (Result<(), SshError>, Vec<Form>) {
    let client = SshClient::new(options, TaskTracker::new()).unwrap();
    let (person, mut asked) = Person::somebody(false);
    let answering = async {
        let mut forms = Vec::new();
        while let Some(Question { form, answer }) = asked.recv().await {
            let given = match form.prompts.first() {
                None => Vec::new(),
                Some(prompt) if prompt.text.contains(PROMPT) => vec![SecretString::from(CODE)],
                Some(_) => {
                    meanwhile();
                    vec![SecretString::from("yes")]
                }
            };
            forms.push(form);
            let _ = answer.send(given);
        }
        forms
    };
    let connecting = async {
        let result = client.connect_with(&person).await;
        client.close().await;
        drop((client, person));
        result
    };
    timeout(DEADLINE, async { tokio::join!(connecting, answering) }).await.unwrap()
}

#[tokio::test]
async fn a_code_is_asked_for_once_though_the_key_behind_it_is_not_known() {
    let inside = Sshd::start("");
    let (gate, options) = behind_a_code(&inside).await;
    let (result, forms) = connect_answering(&options, || {}).await;
    result.unwrap();
    assert_eq!((gate.tries(), inside.begun(), inside.accepted()), (1, 2, 1), "{forms:?}");
    assert!(hosts(&inside, "inside").unwrap().contains(&inside.host_key("ed25519")));
}

#[tokio::test]
async fn a_gate_that_leaves_while_somebody_thinks_is_gone_through_once_more() {
    let inside = Sshd::start("");
    let (gate, options) = behind_a_code(&inside).await;
    let (result, forms) = connect_answering(&options, || gate.cut()).await;
    // Our side may learn of it only when it asks.
    match result {
        Ok(()) => assert_eq!(gate.tries(), 2, "{forms:?}"),
        Err(error) => assert!(error.is_transient(), "{error:?}"),
    }
}

#[tokio::test]
async fn a_wrong_key_behind_a_code_is_refused_after_one_login() {
    let inside = Sshd::start("");
    let (gate, options) = behind_a_code(&inside).await;
    let other = inside.path("other");
    sshd::make_key("ed25519", &other, "");
    let other = fs::read_to_string(PathBuf::from(format!("{}.pub", other.display()))).unwrap();
    fs::write(inside.path("inside_hosts"), format!("[127.0.0.1]:{} {other}", inside.port)).unwrap();
    let (result, _) = connect_answering(&options, || {}).await;
    let Err(SshError::HostKeyChanged { besides, .. }) = &result else { panic!("{result:?}") };
    assert_eq!((gate.tries(), inside.accepted()), (1, 0));
    let scan = besides.key_scan.as_ref().unwrap();
    let config = gate.path("config").display().to_string();
    assert_eq!(*scan, format!("ssh -F {config} asking 'ssh-keyscan -p {} 127.0.0.1'", inside.port));
}
