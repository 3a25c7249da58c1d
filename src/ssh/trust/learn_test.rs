#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::fs;
use std::path::PathBuf;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::ssh::config::Way;
use crate::ssh::{Question, SshHome, SshOptions};

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzD/RXcDkbkp9n9BTn650KVaRPMKLAdFQJ2eRSHIfln";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1pUaYuG7bZSMhkJHojSOoWwdr+T+GffjIlVUMd0etC";

struct Scene {
    dir: TempDir,
    target: Target,
    learned: Learned,
}

impl Scene {
    fn new(destination: &str, rule: UnknownHostKey) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = SshHome::below(dir.path(), "me");
        let mut target = Target::resolve(&SshOptions { home, ..SshOptions::new(destination) }).unwrap();
        target.unknown_host_key = rule;
        Self { dir, target, learned: Learned::default() }
    }

    fn judge(&self, target: &Target, key: &str) -> Result<(), SshError> {
        let key = PublicKey::from_openssh(key).unwrap();
        KnownHosts::load(target, &self.learned).unwrap().verify_key(&key)
    }

    /// What becomes of key A of the target.
    async fn decide(&self, person: &Person) -> Result<(), SshError> {
        let error = self.judge(&self.target, A).unwrap_err();
        decide(&self.target, error, person, &TaskTracker::new(), &self.learned).await
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(".ssh/known_hosts")
    }
}

/// Somebody who always gives the same answer. The answers go on for as long as the second part is awaited.
fn somebody(answer: &'static str) -> (Person, impl Future<Output = usize>) {
    let (person, asked) = Person::somebody(false);
    (person, answering(asked, answer))
}

async fn answering(mut asked: mpsc::Receiver<Question>, given: &'static str) -> usize {
    let mut count = 0;
    while let Some(Question { answer, .. }) = asked.recv().await {
        count += 1;
        answer.send(vec![SecretString::from(given)]).unwrap();
    }
    count
}

/// What comes of asking, and how often it was asked.
async fn asked(scene: &Scene, answer: &'static str) -> (Result<(), SshError>, usize) {
    let (person, answering) = somebody(answer);
    let deciding = async {
        let decided = scene.decide(&person).await;
        drop(person);
        decided
    };
    tokio::join!(deciding, answering)
}

#[tokio::test]
async fn a_yes_is_written_and_known() {
    for (hashed, destination) in [(false, "h"), (true, "h"), (false, "h:2222")] {
        let mut scene = Scene::new(destination, UnknownHostKey::Ask);
        scene.target.hash_known_hosts = hashed;
        let (decided, count) = asked(&scene, "yes").await;
        decided.unwrap();
        assert_eq!(count, 1);
        scene.judge(&scene.target, A).unwrap();
        assert!(matches!(scene.judge(&scene.target, B), Err(SshError::HostKeyChanged { line: 1, .. })));
        assert_eq!(fs::read_to_string(scene.file()).unwrap().starts_with("|1|"), hashed);
        assert!(scene.learned.trusted(&Server::of(&scene.target)).is_empty());
    }
}

#[tokio::test]
async fn a_no_and_nobody_and_a_rule_refuse_and_write_nothing() {
    let scene = Scene::new("h", UnknownHostKey::Ask);
    assert!(matches!(asked(&scene, "no").await, (Err(SshError::HostKeyUnknown { .. }), 1)));
    assert!(matches!(scene.decide(&Person::nobody()).await, Err(SshError::HostKeyUnknown { .. })));
    let strict = Scene::new("h", UnknownHostKey::Refuse);
    assert!(matches!(asked(&strict, "yes").await, (Err(SshError::HostKeyUnknown { .. }), 0)));
    let mut batch = Scene::new("h", UnknownHostKey::Ask);
    batch.target.batch = true;
    assert!(matches!(asked(&batch, "yes").await, (Err(SshError::HostKeyUnknown { .. }), 0)));
    assert!(!scene.file().exists() && !strict.file().exists() && !batch.file().exists());
}

#[tokio::test]
async fn a_rule_that_accepts_asks_nobody() {
    let scene = Scene::new("h", UnknownHostKey::Accept);
    let (decided, count) = asked(&scene, "no").await;
    decided.unwrap();
    assert_eq!(count, 0);
    assert_eq!(fs::read_to_string(scene.file()).unwrap(), format!("h {A}\n"));
}

#[tokio::test]
async fn no_rule_and_no_person_turns_a_changed_or_revoked_key_into_a_good_one() {
    for rule in [UnknownHostKey::Ask, UnknownHostKey::Accept, UnknownHostKey::Refuse] {
        for line in [format!("h {B}\n"), format!("@revoked * {A}\n")] {
            let scene = Scene::new("h", rule);
            fs::create_dir(scene.dir.path().join(".ssh")).unwrap();
            fs::write(scene.file(), &line).unwrap();
            let (decided, count) = asked(&scene, "yes").await;
            let error = decided.unwrap_err();
            assert!(matches!(error, SshError::HostKeyChanged { .. } | SshError::HostKeyRevoked { .. }), "{error:?}");
            assert_eq!((count, fs::read_to_string(scene.file()).unwrap()), (0, line));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_known_to_this_process() {
    for file in [None, Some("/dev/null".into()), Some("file/known_hosts".into())] {
        let mut scene = Scene::new("h", UnknownHostKey::Accept);
        fs::write(scene.dir.path().join("file"), "").unwrap();
        scene.target.known_hosts = Vec::new();
        scene.target.learn_into = file.map(|file: PathBuf| scene.dir.path().join(file));
        scene.decide(&Person::nobody()).await.unwrap();
        scene.judge(&scene.target, A).unwrap();
        assert!(matches!(scene.judge(&scene.target, B), Err(SshError::HostKeyChanged { line: 0, .. })));
    }
}

#[tokio::test]
async fn the_rule_and_file_of_one_server_decide_nothing_about_another_of_the_same_alias() {
    let [mut strict, mut lax] = [("inside", UnknownHostKey::Refuse), ("gate:2222", UnknownHostKey::Accept)]
        .map(|(name, rule)| Scene::new(name, rule));
    for scene in [&mut strict, &mut lax] {
        scene.target.host_key_alias = Some("cluster".to_owned());
    }
    strict.target.way = Way::Jump(Box::new(lax.target.clone()));
    assert!(strict.decide(&Person::nobody()).await.is_err());
    let of_hop = SshError::Through { hop: "gate".to_owned(), error: Box::new(lax.judge(&lax.target, A).unwrap_err()) };
    decide(&lax.target, of_hop, &Person::nobody(), &TaskTracker::new(), &lax.learned).await.unwrap_err();
    assert!(!strict.file().exists() && !lax.file().exists());
    lax.decide(&Person::nobody()).await.unwrap();
    assert_eq!(fs::read_to_string(lax.file()).unwrap(), format!("cluster {A}\n"));
    assert!(!strict.file().exists());
}

#[tokio::test]
async fn a_server_of_this_run_stays_the_one_that_it_was_whatever_becomes_of_the_file() {
    let scene = Scene::new("h", UnknownHostKey::Accept);
    scene.decide(&Person::nobody()).await.unwrap();
    scene.judge(&scene.target, A).unwrap();
    fs::remove_file(scene.file()).unwrap();
    let error = scene.judge(&scene.target, B).unwrap_err();
    assert!(matches!(error, SshError::HostKeyChanged { line: 0, .. }), "{error:?}");
    assert!(error.to_string().ends_with("and this run of llm-proxy knows another"), "{error}");
    // What somebody takes out of the file is not trusted any more, and what somebody puts there is.
    assert!(matches!(scene.judge(&scene.target, A), Err(SshError::HostKeyUnknown { .. })));
    fs::write(scene.file(), format!("h {B}\n")).unwrap();
    scene.judge(&scene.target, B).unwrap();
}

#[tokio::test]
async fn what_cannot_be_written_for_one_server_is_not_known_of_another_of_the_same_alias() {
    let [mut gate, mut inside] = ["gate", "inside"].map(|name| Scene::new(name, UnknownHostKey::Accept));
    for scene in [&mut gate, &mut inside] {
        scene.target.host_key_alias = Some("cluster".to_owned());
        scene.target.learn_into = None;
    }
    inside.learned = gate.learned.clone();
    gate.decide(&Person::nobody()).await.unwrap();
    gate.judge(&gate.target, A).unwrap();
    assert!(matches!(inside.judge(&inside.target, A), Err(SshError::HostKeyUnknown { .. })));
    assert!(matches!(inside.judge(&inside.target, B), Err(SshError::HostKeyUnknown { .. })));
}

#[tokio::test]
async fn other_names_of_a_key_are_listed() {
    let scene = Scene::new("h", UnknownHostKey::Ask);
    fs::create_dir(scene.dir.path().join(".ssh")).unwrap();
    let hashed = write::line("secret", &PublicKey::from_openssh(A).unwrap(), true).unwrap();
    let lines = format!("{hashed}\n# no\na,*.b {A}\n@revoked x {A}\n@cert-authority y {A}\nz {B}\n");
    fs::write(scene.file(), lines).unwrap();
    let names = question::other_names(&scene.target, &PublicKey::from_openssh(A).unwrap());
    let file = scene.file().display().to_string();
    assert_eq!(names, [format!("{file}:1: [hashed name]"), format!("{file}:3: a,*.b")]);
}

#[tokio::test]
async fn another_error_stays_as_it_is() {
    let scene = Scene::new("h", UnknownHostKey::Accept);
    let error = SshError::Closed { host: "h".to_owned() };
    let Err(same) = decide(&scene.target, error, &Person::nobody(), &TaskTracker::new(), &scene.learned).await else {
        panic!("it is decided");
    };
    assert!(matches!(same, SshError::Closed { .. }));
}
