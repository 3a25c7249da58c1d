#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::path::PathBuf;

use russh::keys::decode_secret_key;

use super::*;

/// A fresh key, made by OpenSSH.
fn key(name: &str) -> PrivateKey {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&file)
        .output()
        .unwrap_or_else(|error| panic!("ssh-keygen: {error}; install Debian's openssh-client"));
    assert!(made.status.success(), "{made:?}");
    decode_secret_key(&std::fs::read_to_string(file).unwrap(), None).unwrap()
}

fn file(name: &str, key: &PrivateKey) -> Identity {
    Identity::Key { file: PathBuf::from(name), key: Arc::new(key.clone()), certificate: None }
}

fn locked(name: &str, key: &PrivateKey) -> Identity {
    let public = Some(Box::new(key.public_key().clone()));
    Identity::Locked { file: PathBuf::from(name), public, certificate: None }
}

fn held(name: &str, key: &PrivateKey) -> AgentIdentity {
    AgentIdentity::PublicKey { key: key.public_key().clone(), comment: name.to_owned() }
}

fn made(sources: Sources) -> AuthPlan {
    AuthPlan::make(sources, SystemTime::now())
}

/// Where the candidates come from, in order.
fn order(plan: &AuthPlan) -> Vec<String> {
    let source = |label: &str| label.rsplit_once(" (").map_or(label, |(source, _)| source).to_owned();
    plan.candidates.iter().map(|candidate| source(&candidate.label)).collect()
}

#[test]
fn named_keys_come_first_then_the_configurations_the_agents_and_the_usual() {
    let (a, b, c, d) = (key("a"), key("b"), key("c"), key("d"));
    let plan = made(Sources {
        named: vec![file("named", &a)],
        configured: vec![file("configured", &b)],
        agent: vec![held("c", &c)],
        usual: vec![file("usual", &d)],
        ..Sources::default()
    });
    assert_eq!(order(&plan), ["named", "configured", "the agent's c", "usual"]);
    let first = plan.candidates.first().unwrap();
    assert!(first.label.starts_with("named (ssh-ed25519 SHA256:"), "{}", first.label);
}

#[test]
fn a_key_is_offered_once() {
    let a = key("a");
    let plan = made(Sources {
        named: vec![file("named", &a)],
        agent: vec![held("a", &a)],
        usual: vec![file("usual", &a)],
        ..Sources::default()
    });
    assert_eq!(order(&plan), ["named"]);
}

#[test]
fn a_locked_key_that_the_agent_holds_is_offered_in_its_place() {
    let (a, b) = (key("a"), key("b"));
    let agent = || vec![held("b", &b), held("a", &a)];
    let plan = made(Sources { named: vec![locked("named", &a)], agent: agent(), ..Sources::default() });
    assert_eq!(order(&plan), ["the agent's a", "the agent's b"]);
    assert!(plan.named_problems.is_empty());
    let sources =
        Sources { named: vec![locked("named", &a)], agent: agent(), identities_only: true, ..Sources::default() };
    assert_eq!(order(&made(sources)), ["the agent's a"]);
}

#[test]
fn a_locked_key_that_nobody_holds_stands_where_it_is_named() {
    let (a, b) = (key("a"), key("b"));
    let plan = made(Sources { named: vec![locked("named", &a)], agent: vec![held("b", &b)], ..Sources::default() });
    assert_eq!(order(&plan), ["named", "the agent's b"]);
    assert!(matches!(plan.candidates.first().unwrap().holder, Holder::Locked(_)));
}

#[test]
fn a_locked_key_that_shows_nothing_of_itself_comes_last() {
    let blind = Identity::Locked { file: PathBuf::from("blind"), public: None, certificate: None };
    let (a, b) = (key("a"), key("b"));
    let plan =
        made(Sources { named: vec![blind, file("named", &a)], agent: vec![held("b", &b)], ..Sources::default() });
    assert_eq!(order(&plan), ["named", "the agent's b", "blind"]);
}

#[test]
fn a_key_of_hardware_is_the_agents_business() {
    let a = key("a");
    let only = || Identity::AgentOnly {
        public: Box::new(a.public_key().clone()),
        certificate: None,
        problem: unreadable(Path::new("named"), "it is a public key"),
    };
    let plan = made(Sources { named: vec![only()], agent: vec![held("a", &a)], ..Sources::default() });
    assert_eq!(order(&plan), ["the agent's a"]);
    let plan = made(Sources { named: vec![only()], ..Sources::default() });
    assert!(plan.candidates.is_empty());
    assert!(matches!(plan.named_problems.first(), Some(SshError::KeyUnreadable { .. })));
}

#[test]
fn only_a_key_that_the_caller_named_must_be_there() {
    let missing = |name: &str| vec![Identity::Missing { file: PathBuf::from(name) }];
    let plan = made(Sources {
        named: missing("named"),
        configured: missing("configured"),
        usual: missing("usual"),
        ..Sources::default()
    });
    assert!(plan.other_problems.is_empty());
    let problem = plan.named_problems.first().unwrap().to_string();
    assert_eq!(problem, "the key named cannot be used: there is no such file");
}

#[test]
fn with_identities_only_the_usual_files_count_where_none_is_named() {
    let (a, b) = (key("a"), key("b"));
    let plan = |named: Vec<Identity>| {
        made(Sources {
            named,
            agent: vec![held("b", &b)],
            usual: vec![file("usual", &a)],
            identities_only: true,
            ..Sources::default()
        })
    };
    assert_eq!(order(&plan(vec![])), ["usual"]);
    assert!(plan(vec![Identity::Missing { file: PathBuf::from("named") }]).candidates.is_empty());
}
