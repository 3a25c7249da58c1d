//! Servers that end a login without a word: what was shown to them is not shown again until a person acts.

#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::time::Duration;

use llm_proxy::ssh::{Person, SshClient, SshError, SshOptions};
use llm_proxy::vault::Vault;
use russh::MethodKind;
use test_case::test_matrix;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/asking_server.rs"]
mod asking_server;
#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/sshd.rs"]
mod sshd;

use asking_server::{AskingServer, Manner, Round, Script, Stage, connect_with};
use sshd::{DEADLINE, eventually};

/// How often a network that is back asks for another attempt, which is then made at once if it may be.
const AGAIN: usize = 20;

fn code() -> Stage {
    let prompts = vec![("Verification code: ", false, "271828")];
    Stage::Questions(vec![Round { prompts, ..Round::default() }])
}

async fn server(stage: Stage, manner: Manner) -> AskingServer {
    AskingServer::start(Script { stages: vec![stage], manner: Some(manner), ..Script::default() }).await
}

fn client(options: &SshOptions) -> SshClient {
    SshClient::new(options, TaskTracker::new()).unwrap()
}

fn is_cut_off(error: &SshError) -> bool {
    matches!(error.root(), SshError::AuthenticationCutOff { .. }) && error.needs_person() && !error.is_transient()
}

/// What comes of a person who types the right code.
async fn with_a_code(client: &SshClient) -> SshError {
    let (person, mut asked) = Person::somebody(false);
    let answering = async {
        let question = asked.recv().await.unwrap();
        question.answer.send(vec!["271828".into()]).unwrap();
    };
    let (result, ()) = tokio::join!(timeout(DEADLINE, client.connect_with(&person)), answering);
    result.unwrap().unwrap_err()
}

/// However often it is asked, and though the server would let us in by now.
async fn assert_it_stands(client: &SshClient, server: &AskingServer) {
    server.treat_visitors(None);
    let seen = server.seen();
    for _ in 0..AGAIN {
        client.network_is_back();
        let again = timeout(DEADLINE, client.connect()).await.unwrap().unwrap_err();
        assert!(again.needs_person() && again.to_string().contains("llm-proxy login"), "{again}");
    }
    assert_eq!(server.seen(), seen);
}

/// A server that has refused a key and hangs up on the next one has had enough.
#[test_matrix([Manner::HangsUp, Manner::Resets, Manner::FallsSilent])]
#[tokio::test]
async fn a_server_that_hangs_up_after_a_refusal_is_left_alone(manner: Manner) {
    let script =
        Script { stages: vec![Stage::Password("secret")], also: vec![MethodKind::PublicKey], ..Script::default() };
    let server = AskingServer::start(Script { manner: Some(manner), refuses_first: 1, ..script }).await;
    let other = server.path("other");
    sshd::make_key("ed25519", &other, "");
    let client = client(&SshOptions { identities: vec![server.path("key"), other], ..server.options() });
    let connecting = client.connect();
    tokio::pin!(connecting);
    let error = after_silence(&mut connecting, || server.seen().len() == 3).await.unwrap_err();
    match manner {
        Manner::HangsUp | Manner::Resets => {
            assert!(is_cut_off(&error), "{error:?}");
            assert!(error.to_string().contains("many servers hang up after too many failures; tried "), "{error}");
        }
        Manner::FallsSilent => assert!(matches!(error, SshError::NoVerdict { .. }), "{error:?}"),
    }
    assert_eq!(server.seen(), ["nothing", "the key, in vain", "a key"]);
    assert_it_stands(&client, &server).await;
}

/// A key that was not refused was no failure, and links die at any moment; but nothing is done for ever.
#[test_matrix([Manner::HangsUp, Manner::Resets, Manner::FallsSilent])]
#[tokio::test]
async fn a_key_whose_link_dies_is_shown_again_but_not_for_ever(manner: Manner) {
    let server = server(Stage::Key, manner).await;
    let client = client(&server.options());
    for attempt in 1..=3 {
        let arrived = || server.seen().len() == 2 * attempt;
        let error = loop {
            // Not before the first pause is over, though.
            client.network_is_back();
            let connecting = client.connect();
            tokio::pin!(connecting);
            let error = after_silence(&mut connecting, arrived).await.unwrap_err();
            if arrived() {
                break error;
            }
            tokio::task::yield_now().await;
        };
        if attempt == 3 {
            assert!(is_cut_off(&error) && error.to_string().contains("3 times in a row"), "{error:?}");
        } else {
            assert!(matches!(error, SshError::LoginInterrupted { .. }), "{error:?}");
            assert!(error.is_transient() && error.is_link_loss() && !error.needs_person(), "{error:?}");
        }
    }
    assert_it_stands(&client, &server).await;
    // A person who acts begins anew.
    let (person, _asked) = Person::somebody(false);
    timeout(DEADLINE, client.connect_with(&person)).await.unwrap().unwrap();
}

#[test_matrix([Manner::HangsUp, Manner::Resets])]
#[tokio::test]
async fn a_server_that_hangs_up_on_a_code_is_given_one(manner: Manner) {
    let server = server(code(), manner).await;
    let client = client(&server.options());
    let error = with_a_code(&client).await;
    assert!(is_cut_off(&error), "{error:?}");
    assert!(error.to_string().contains("too many failures"), "{error}");
    assert_it_stands(&client, &server).await;
}

/// What the keyring keeps is not given again by this process, whichever of its clients asks.
#[test_matrix([Manner::HangsUp, Manner::Resets, Manner::FallsSilent])]
#[tokio::test]
async fn a_kept_password_that_is_not_judged_is_given_once(manner: Manner) {
    let server = server(Stage::Password("secret"), manner).await;
    let mut options = server.options();
    options.home.vault = Vault::in_memory();
    server.treat_visitors(None);
    connect_with(&options, true, &[&["secret"]]).await.0.unwrap();
    server.treat_visitors(Some(manner));
    let first = client(&options);
    let connecting = first.connect();
    tokio::pin!(connecting);
    let error = after_silence(&mut connecting, || server.seen().len() == 4).await.unwrap_err();
    match manner {
        Manner::HangsUp | Manner::Resets => assert!(is_cut_off(&error), "{error:?}"),
        Manner::FallsSilent => assert!(matches!(error, SshError::NoVerdict { .. }), "{error:?}"),
    }
    assert_it_stands(&first, &server).await;
    let error = timeout(DEADLINE, client(&options).connect()).await.unwrap().unwrap_err();
    assert!(matches!(error, SshError::PersonNeeded { .. }), "{error:?}");
    assert_eq!(server.seen(), ["nothing", "password secret", "nothing", "password secret", "nothing"]);
}

/// An attempt that is given up in the middle was no verdict either.
#[tokio::test]
async fn a_kept_password_whose_attempt_is_given_up_is_not_given_again() {
    let server = server(Stage::Password("secret"), Manner::FallsSilent).await;
    let mut options = server.options();
    options.home.vault = Vault::in_memory();
    server.treat_visitors(None);
    connect_with(&options, true, &[&["secret"]]).await.0.unwrap();
    server.treat_visitors(Some(Manner::FallsSilent));
    let hasty = client(&options);
    tokio::select! {
        result = hasty.connect() => panic!("{result:?}"),
        () = eventually("password that is given", || server.seen().len() == 4) => {}
    }
    timeout(DEADLINE, hasty.close()).await.unwrap();
    server.treat_visitors(None);
    let patient = client(&options);
    let error = timeout(DEADLINE, patient.connect()).await.unwrap().unwrap_err();
    assert!(matches!(error, SshError::PersonNeeded { .. }), "{error:?}");
    assert_eq!(server.seen(), ["nothing", "password secret", "nothing", "password secret", "nothing"]);
}

/// What comes of an attempt whose server may be silent; time runs ahead once all that is real has happened.
async fn after_silence<T>(attempt: &mut (impl Future<Output = T> + Unpin), mut arrived: impl FnMut() -> bool) -> T {
    tokio::select! {
        biased;
        result = &mut *attempt => return result,
        () = eventually("attempt that arrives", &mut arrived) => {}
    }
    // One that is refused at once is not silent.
    if let Ok(result) = timeout(Duration::from_secs(2), &mut *attempt).await {
        return result;
    }
    tokio::time::pause();
    let result = attempt.await;
    tokio::time::resume();
    result
}

#[tokio::test]
async fn a_link_that_is_back_lets_in_who_was_interrupted() {
    let server = server(Stage::Key, Manner::FallsSilent).await;
    let client = client(&server.options());
    let connecting = client.connect();
    tokio::pin!(connecting);
    let error = after_silence(&mut connecting, || server.seen().len() == 2).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.treat_visitors(None);
    client.network_is_back();
    let at_last = async {
        while client.connect().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, at_last).await.unwrap();
}

/// The command's own end says nothing about the login that was cut off.
#[tokio::test]
async fn a_proxy_command_is_not_to_blame_for_a_login_that_is_cut_off() {
    let server = server(code(), Manner::HangsUp).await;
    let mut options = server.options();
    options.settings.push("ProxyCommand=busybox nc %h %p".to_owned());
    let client = client(&options);
    let error = with_a_code(&client).await;
    assert!(is_cut_off(&error), "{error:?}");
    assert_it_stands(&client, &server).await;
}
