#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use russh::keys::ssh_encoding::Encode;
use russh::keys::{HashAlg, PublicKey};
use tokio::net::UnixListener;
use tokio_util::task::TaskTracker;

use super::*;

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

/// An agent that gives these bytes to whoever asks anything.
fn answering(answers: Vec<Vec<u8>>) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    TaskTracker::new().spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for answer in answers {
            let length = stream.read_u32().await.unwrap();
            let mut question = vec![0; length as usize];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_u32(u32::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
        // Says nothing more, and stays.
        std::future::pending::<()>().await;
    });
    (dir, socket)
}

fn key() -> PublicKey {
    PublicKey::from_openssh(ED25519).unwrap()
}

/// The agent's list of these keys.
fn listed(keys: &[&[u8]]) -> Vec<u8> {
    let mut answer = vec![IDENTITIES_ANSWER];
    u32::try_from(keys.len()).unwrap().encode(&mut answer).unwrap();
    for key in keys {
        key.encode(&mut answer).unwrap();
        // Not even the comment must be text.
        b"\xff comment".as_slice().encode(&mut answer).unwrap();
    }
    answer
}

#[tokio::test]
async fn a_key_that_we_cannot_read_hides_no_other() {
    let known = key().to_bytes().unwrap();
    let (_dir, socket) = answering(vec![listed(&[b"\x00\x00\x00\x07ssh-new\x00", &known, b"nothing"])]);
    let agent = Agent::ask(&socket, None).await.unwrap();
    assert_eq!(agent.identities.len(), 1);
    assert_eq!(agent.identities.first().unwrap().public_key().key_data(), key().key_data());
    assert_eq!(agent.note().unwrap(), "2 keys of the agent are of a kind that this program does not know");
}

#[tokio::test]
async fn an_agent_without_keys_may_be_locked() {
    for answer in [listed(&[]), vec![5]] {
        let (_dir, socket) = answering(vec![answer]);
        let agent = Agent::ask(&socket, None).await.unwrap();
        assert_eq!(agent.note().unwrap(), "the agent holds no key, or is locked (`ssh-add -X`)");
    }
}

#[tokio::test]
async fn an_agent_that_says_nonsense_is_no_agent() {
    for answer in [vec![], vec![IDENTITIES_ANSWER, 0, 0, 0, 9]] {
        let (_dir, socket) = answering(vec![answer]);
        let problem = Agent::ask(&socket, None).await.err().unwrap();
        assert!(problem.contains("agent.sock cannot be asked: "), "{problem}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_says_nothing_is_not_waited_for() {
    let (_dir, socket) = answering(Vec::new());
    let problem = Agent::ask(&socket, None).await.err().unwrap();
    assert!(problem.ends_with("agent.sock does not answer"), "{problem}");
}

#[tokio::test]
async fn an_agent_that_refuses_to_sign_says_so() {
    let known = key().to_bytes().unwrap();
    let (_dir, socket) = answering(vec![listed(&[&known]), vec![5]]);
    let mut agent = Agent::ask(&socket, None).await.unwrap();
    let identity = agent.identities.first().unwrap().clone();
    let problem = agent.sign(&identity, None, b"data".to_vec()).await.unwrap_err();
    assert_eq!(problem, "the agent did not sign with it");
}

#[tokio::test]
async fn an_agent_that_never_signs_is_given_up() {
    let known = key().to_bytes().unwrap();
    let (_dir, socket) = answering(vec![listed(&[&known])]);
    let mut agent = Agent::ask(&socket, None).await.unwrap();
    let identity = agent.identities.first().unwrap().clone();
    tokio::time::pause();
    let problem = agent.sign(&identity, Some(HashAlg::Sha256), b"data".to_vec()).await.unwrap_err();
    assert_eq!(problem, "the agent did not sign with it within 120 s");
    let problem = agent.sign(&identity, None, b"data".to_vec()).await.unwrap_err();
    assert_eq!(problem, "the agent no longer answers");
}
