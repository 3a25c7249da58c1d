//! What only a person knows: codes, passwords and passphrases, by a server that asks for whatever a test wants. Duo is one of
//! its scripts, after what Duo's own documentation shows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::process::Command;
use std::time::{Duration, Instant};

use llm_proxy::ssh::{Form, Person, SshClient, SshError, SshOptions};
use llm_proxy::vault::{Item, Vault};
use russh::MethodKind;
use test_case::test_case;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/asking_server.rs"]
mod asking_server;

use asking_server::{AskingServer, Round, Script, Stage, connect_with, plain, told};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_mins(1);

fn asks(text: &'static str, echo: bool, right: &'static str) -> Round {
    Round { prompts: vec![(text, echo, right)], ..Round::default() }
}

fn code() -> Stage {
    Stage::Questions(vec![asks("Verification code: ", false, "271828")])
}

async fn server(stages: Vec<Stage>) -> AskingServer {
    AskingServer::start(Script { stages, ..Script::default() }).await
}

fn needed(error: &SshError) -> &str {
    let SshError::PersonNeeded { what, .. } = error else { panic!("{error:?}") };
    assert!(error.is_authentication() && error.needs_person() && !error.is_transient());
    what
}

#[tokio::test]
async fn a_key_and_then_a_code() {
    let server = server(vec![Stage::Key, code()]).await;
    let (result, forms) = server.connect_with(&[&["271828"]]).await;
    result.unwrap();
    assert_eq!(told(&forms), ["(me@127.0.0.1) Verification code: ***"]);
    assert_eq!(server.seen(), ["nothing", "the key", "questions", "answers [\"271828\"]"]);
}

#[tokio::test]
async fn duo_is_shown_as_it_comes_and_waited_for() {
    let menu = "Duo two-factor login for me\n\nEnter a passcode or select one of the following options:\n\n \
                1. Duo Push to XXX-XXX-1234\n\n";
    let push = Round {
        instructions: "Pushed a login request to your device...",
        wait: Duration::from_secs(3),
        ..Round::default()
    };
    let choice = Round { instructions: menu, ..asks("Passcode or option (1-1): ", true, "1") };
    let done = Round { instructions: "Success. Logging you in...", ..Round::default() };
    let server = server(vec![Stage::Key, Stage::Questions(vec![choice, push, done])]).await;
    let begun = Instant::now();
    let (result, forms) = server.connect_with(&[&["1"]]).await;
    result.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!(
        told(&forms),
        [
            "Duo two-factor login for me\n\nEnter a passcode or select one of the following options:\n\n 1. Duo Push to \
             XXX-XXX-1234\n(me@127.0.0.1) Passcode or option (1-1): ",
            "Pushed a login request to your device...",
            "Success. Logging you in...",
        ]
    );
    assert!(forms.first().unwrap().prompts.first().unwrap().echo);
}

#[tokio::test]
async fn rounds_without_a_question_are_answered_with_nothing() {
    let silent = || Round { wait: Duration::from_millis(50), ..Round::default() };
    let server = server(vec![Stage::Key, Stage::Questions(vec![silent(), silent(), silent()])]).await;
    let (result, forms) = server.connect_with(&[]).await;
    result.unwrap();
    // There were no words either, so nothing was shown.
    assert_eq!(forms, []);
    assert_eq!(server.seen(), ["nothing", "the key", "questions", "answers []", "answers []", "answers []"]);
}

#[tokio::test]
async fn three_rounds_with_several_prompts_are_shown_and_hidden_as_asked() {
    let first = Round {
        name: "The site",
        instructions: "Who are you?",
        prompts: vec![("Name: ", true, "me"), ("Project: ", true, "p1")],
        ..Round::default()
    };
    let rounds = vec![first, asks("Password: ", false, "secret"), asks("", false, "123456")];
    let server = server(vec![Stage::Questions(rounds)]).await;
    let (result, forms) = server.connect_with(&[&["me", "p1"], &["secret"], &["123456"]]).await;
    result.unwrap();
    assert_eq!(
        told(&forms),
        [
            "The site\nWho are you?\n(me@127.0.0.1) Name: \n(me@127.0.0.1) Project: ",
            "(me@127.0.0.1) Password: ***",
            "(me@127.0.0.1) ***",
        ]
    );
}

#[tokio::test]
async fn a_servers_words_cannot_command_a_terminal() {
    let round = Round {
        name: "\x1b]0;owned\x07",
        instructions: "one\r\n\x1b[2Jtwo",
        prompts: vec![("\x1b[8mCode\u{9b}0m: ", false, "1")],
        ..Round::default()
    };
    let script = Script {
        stages: vec![Stage::Questions(vec![round])],
        banner: Some("\nWelcome\x1b[31m\nto the site\n\n"),
        ..Script::default()
    };
    let server = AskingServer::start(script).await;
    let (result, forms) = server.connect_with(&[&["1"]]).await;
    result.unwrap();
    assert_eq!(told(&forms), ["Welcome [31m\nto the site", " ]0;owned\none\n [2Jtwo\n(me@127.0.0.1)  [8mCode 0m: ***"]);
}

#[test_case(vec![Stage::Key, Stage::Password("secret")], &[&["secret"]]; "key and password")]
#[test_case(vec![code(), Stage::Key], &[&["271828"]]; "code and key")]
#[test_case(vec![Stage::Key, Stage::Password("secret"), code()], &[&["secret"], &["271828"]]; "key, password and code")]
#[test_case(vec![Stage::Password("one"), Stage::Password("two")], &[&["one"], &["two"]]; "two passwords")]
#[test_case(vec![code(), code()], &[&["271828"], &["271828"]]; "two codes")]
#[tokio::test]
async fn a_chain_is_followed(stages: Vec<Stage>, answers: &[&[&'static str]]) {
    let server = server(stages.clone()).await;
    let (result, forms) = server.connect_with(answers).await;
    result.unwrap();
    assert_eq!(forms.len(), answers.len(), "{forms:?}");
    // Nothing was shown in vain, and nothing twice.
    assert!(!server.seen().iter().any(|seen| seen.contains("in vain")), "{:?}", server.seen());
}

#[tokio::test]
async fn a_key_that_was_taken_is_not_shown_again() {
    let script = Script {
        stages: vec![Stage::Key, Stage::Password("secret")],
        also: vec![MethodKind::PublicKey],
        ..Script::default()
    };
    let server = AskingServer::start(script).await;
    let (result, _) = server.connect_with(&[&["secret"]]).await;
    result.unwrap();
    assert_eq!(server.seen(), ["nothing", "the key", "password secret"]);
}

#[tokio::test]
async fn a_server_that_then_offers_less_is_asked_for_what_is_left() {
    let script = Script {
        stages: vec![Stage::Password("secret")],
        also: vec![MethodKind::PublicKey, MethodKind::KeyboardInteractive],
        after_failure: Some(vec![MethodKind::Password]),
        ..Script::default()
    };
    let server = AskingServer::start(script).await;
    let (result, forms) = server.connect_with(&[&["secret"]]).await;
    result.unwrap();
    assert_eq!(server.seen(), ["nothing", "the key, in vain", "password secret"]);
    assert_eq!(told(&forms), ["me@127.0.0.1's password: ***"]);
}

#[tokio::test]
async fn what_fails_without_a_question_is_not_begun_again() {
    let script = Script {
        stages: vec![Stage::Password("secret")],
        also: vec![MethodKind::KeyboardInteractive],
        ..Script::default()
    };
    let server = AskingServer::start(script).await;
    let (result, forms) = server.connect_with(&[&["wrong"], &["wrong"], &["wrong"], &["secret"]]).await;
    let SshError::AuthenticationFailed { tried, offers, .. } = result.unwrap_err() else { panic!("not refused") };
    assert_eq!(tried, ["answers to its questions", "a password", "a password", "a password"]);
    assert_eq!(offers, ["password", "keyboard-interactive"]);
    let again = "Permission denied, please try again.\nme@127.0.0.1's password: ***";
    assert_eq!(told(&forms), ["me@127.0.0.1's password: ***", again, again]);
    let begun = server.seen().iter().filter(|seen| seen.contains("questions")).count();
    assert_eq!(begun, 1);
}

#[tokio::test]
async fn a_wrong_code_may_be_typed_again() {
    let server = server(vec![Stage::Key, code()]).await;
    let (result, forms) = server.connect_with(&[&["1"], &["2"], &["271828"]]).await;
    result.unwrap();
    let again = "Permission denied, please try again.\n(me@127.0.0.1) Verification code: ***";
    assert_eq!(told(&forms), ["(me@127.0.0.1) Verification code: ***", again, again]);
    let (result, _) = server.connect_with(&[&["1"], &["2"], &["3"], &["271828"]]).await;
    let error = result.unwrap_err();
    let SshError::AuthenticationFailed { notes, .. } = &error else { panic!("{error:?}") };
    assert!(notes.first().unwrap().starts_with("it accepted /"), "{notes:?}");
}

#[tokio::test]
async fn who_is_let_in_for_nothing_is_asked_nothing() {
    let server = AskingServer::start(Script { open: true, ..Script::default() }).await;
    server.connect_alone().await.unwrap();
    assert_eq!(server.seen(), ["nothing"]);
}

#[tokio::test]
async fn a_person_who_leaves_ends_it() {
    let server = server(vec![Stage::Key, code()]).await;
    let (result, forms) = server.connect_with(&[]).await;
    assert_eq!(needed(&result.unwrap_err()), "an answer to its questions (such as a one-time code)");
    assert_eq!(forms.len(), 1);
    assert_eq!(server.seen(), ["nothing", "the key", "questions"]);
}

#[test_case(vec![Stage::Key, code()], "an answer to its questions (such as a one-time code)"; "a code")]
#[test_case(vec![Stage::Key, Stage::Password("secret")], "a password"; "a password")]
#[tokio::test]
async fn with_nobody_there_nothing_is_begun_that_a_person_must_end(stages: Vec<Stage>, what: &str) {
    let server = server(stages).await;
    let error = server.connect_alone().await.unwrap_err();
    assert_eq!(needed(&error), what);
    assert_eq!(error.to_string(), format!("me@127.0.0.1 asks for {what}, and nobody is there to answer"));
    assert!(error.remedy().unwrap().contains("llm-proxy login"));
    assert_eq!(server.seen(), ["nothing", "the key"]);
}

#[tokio::test]
async fn in_batch_mode_nobody_is_there() {
    let server = server(vec![code()]).await;
    let options = SshOptions { settings: vec!["BatchMode=yes".to_owned()], ..server.options() };
    let (result, forms) = connect_with(&options, false, &[&["271828"]]).await;
    needed(&result.unwrap_err());
    assert_eq!((forms.len(), server.seen().len()), (0, 1));
}

#[tokio::test]
async fn what_we_do_not_have_is_named() {
    let server = server(vec![Stage::Key, Stage::Kerberos]).await;
    let error = server.connect_alone().await.unwrap_err();
    let SshError::MoreAuthenticationNeeded { offers, .. } = &error else { panic!("{error:?}") };
    assert_eq!(offers, &["gssapi-with-mic"]);
    assert!(error.remedy().unwrap().contains("no Kerberos"));
    let server = self::server(vec![Stage::Kerberos]).await;
    let error = server.connect_alone().await.unwrap_err();
    assert!(matches!(error, SshError::AuthenticationFailed { .. }), "{error:?}");
    assert!(error.remedy().unwrap().contains("no Kerberos"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_judges_is_given_up() {
    let server = server(vec![Stage::Silence]).await;
    let connecting = server.connect_with(&[&["secret"]]);
    tokio::pin!(connecting);
    // Time only runs ahead once all that is real has happened.
    let arrived = async {
        while server.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut connecting => panic!("it was judged"),
        arrived = timeout(DEADLINE, arrived) => arrived.unwrap(),
    }
    tokio::time::pause();
    let (result, _) = connecting.await;
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1 did not say within 120 s whether it lets me in");
    assert!(error.is_authentication() && !error.is_transient());
}

#[tokio::test]
async fn the_keyring_gives_a_password_but_answers_no_question() {
    let questions = Stage::Questions(vec![asks("Password: ", false, "secret")]);
    let script = |first| Script { stages: vec![Stage::Key, first], ..Script::default() };
    for (stage, let_in) in [(Stage::Password("secret"), true), (questions, false)] {
        let server = AskingServer::start(script(stage)).await;
        let vault = Vault::in_memory();
        let mut options = server.options();
        options.home.vault = vault.clone();
        let item = password_item(&options);
        vault.remember(&item, &"secret".into()).await.unwrap();
        let client = SshClient::new(&options, TaskTracker::new()).unwrap();
        match client.connect().await {
            Ok(()) => assert!(let_in),
            Err(error) => {
                assert!(!let_in, "{error:?}");
                needed(&error);
                assert_eq!(server.seen(), ["nothing", "the key"]);
            }
        }
        client.close().await;
    }
}

fn password_item(options: &SshOptions) -> Item {
    let port = options.destination.rsplit_once(':').unwrap().1.parse().unwrap();
    Item::Password { user: "me".to_owned(), host: "127.0.0.1".to_owned(), port, through: None }
}

#[tokio::test]
async fn what_the_keyring_keeps_wrongly_is_tried_once() {
    let server = server(vec![Stage::Password("new")]).await;
    let vault = Vault::in_memory();
    let mut options = server.options();
    options.home.vault = vault.clone();
    let item = password_item(&options);
    vault.remember(&item, &"old".into()).await.unwrap();
    let alone = |options: SshOptions| async move {
        let client = SshClient::new(&options, TaskTracker::new()).unwrap();
        let result = client.connect().await;
        client.close().await;
        result
    };
    assert_eq!(needed(&alone(options.clone()).await.unwrap_err()), "a password");
    assert!(vault.recall(&item).await.is_none());
    // Not even where another program keeps it again.
    vault.remember(&item, &"old".into()).await.unwrap();
    assert_eq!(needed(&alone(options.clone()).await.unwrap_err()), "a password");
    assert_eq!(server.seen(), ["nothing", "password old", "nothing"]);
    // A person's answer is kept where it is wanted, and then no person is needed.
    let (result, _) = connect_with(&options, true, &[&["newer"], &["new"]]).await;
    result.unwrap();
    assert_eq!(plain(vault.recall(&item).await).unwrap(), "new");
    alone(options).await.unwrap();
}

#[tokio::test]
async fn nothing_is_kept_that_is_wrong_or_not_wanted() {
    for (remember, answer) in [(false, "secret"), (true, "wrong")] {
        let server = server(vec![Stage::Password("secret")]).await;
        let vault = Vault::in_memory();
        let mut options = server.options();
        options.home.vault = vault.clone();
        let _ = connect_with(&options, remember, &[&[answer]]).await;
        assert!(vault.forget_all().await.unwrap().is_empty());
    }
    // Codes never are.
    let server = server(vec![code()]).await;
    let vault = Vault::in_memory();
    let mut options = server.options();
    options.home.vault = vault.clone();
    connect_with(&options, true, &[&["271828"]]).await.0.unwrap();
    assert!(vault.forget_all().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_secret_is_in_no_word_of_ours() {
    let server = server(vec![Stage::Key, code()]).await;
    let (result, forms) = server.connect_with(&[&["hunter2"], &["hunter2"], &["hunter2"]]).await;
    let error = result.unwrap_err();
    let told = format!("{error} {error:?} {:?} {forms:?}", error.remedy());
    assert!(!told.contains("hunter2"), "{told}");
}

/// Locks the user's key with a passphrase.
fn lock(server: &AskingServer, passphrase: &str) {
    let file = server.path("key");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let locked = Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", passphrase, "-f"]).arg(file).output();
    let locked = locked.unwrap_or_else(|error| panic!("ssh-keygen: {error}; install Debian's openssh-client"));
    assert!(locked.status.success(), "{locked:?}");
}

fn passphrase_prompt(server: &AskingServer) -> String {
    format!("Enter passphrase for key '{}': ***", server.path("key").display())
}

#[tokio::test]
async fn a_passphrase_may_be_typed_three_times() {
    let server = server(vec![Stage::Key]).await;
    lock(&server, "open sesame");
    let (result, forms) = server.connect_with(&[&["open"], &["sesame"], &["open sesame"]]).await;
    result.unwrap();
    let again = format!("That is not its passphrase, please try again.\n{}", passphrase_prompt(&server));
    assert_eq!(told(&forms), [passphrase_prompt(&server), again.clone(), again]);
    let (result, forms) = server.connect_with(&[&["1"], &["2"], &["3"], &["open sesame"]]).await;
    let SshError::AuthenticationFailed { notes, tried, .. } = result.unwrap_err() else { panic!("not refused") };
    assert!(notes.first().unwrap().ends_with("its passphrase was another"), "{notes:?}");
    assert_eq!((tried.len(), forms.len()), (0, 3));
}

#[tokio::test]
async fn an_empty_passphrase_leaves_the_key_out() {
    let script = Script { stages: vec![Stage::Key], also: vec![MethodKind::Password], ..Script::default() };
    let server = AskingServer::start(script).await;
    lock(&server, "open sesame");
    let (result, forms) = server.connect_with(&[&[""], &["w"], &["w"], &["w"]]).await;
    assert!(matches!(result.unwrap_err(), SshError::AuthenticationFailed { .. }));
    assert_eq!(told(&forms).first().unwrap(), &passphrase_prompt(&server));
    assert_eq!(told(&forms).get(1).unwrap(), "me@127.0.0.1's password: ***");
}

#[tokio::test]
async fn no_passphrase_is_asked_for_where_the_server_does_not_know_the_key() {
    let script =
        Script { stages: vec![Stage::Password("secret")], also: vec![MethodKind::PublicKey], ..Script::default() };
    let server = AskingServer::start(script).await;
    lock(&server, "open sesame");
    let (result, forms) = server.connect_with(&[&["secret"]]).await;
    result.unwrap();
    assert_eq!(told(&forms), ["me@127.0.0.1's password: ***"]);
    assert_eq!(server.seen(), ["nothing", "the key, in vain", "password secret"]);
}

#[tokio::test]
async fn with_nobody_there_a_locked_key_is_named_with_what_to_do() {
    let server = server(vec![Stage::Key]).await;
    lock(&server, "open sesame");
    let error = server.connect_alone().await.unwrap_err();
    let file = server.path("key").display().to_string();
    assert_eq!(needed(&error), format!("the passphrase of {file}"));
    let remedy = error.remedy().unwrap();
    assert_eq!(
        remedy,
        format!(
            "run `llm-proxy login` at a terminal, and answer there; or add the key to the agent: `ssh-add '{file}'`"
        )
    );
    // What the keyring keeps opens it, and nobody is needed.
    let vault = Vault::in_memory();
    vault.remember(&Item::Passphrase { file: file.into() }, &"open sesame".into()).await.unwrap();
    let mut options = server.options();
    options.home.vault = vault;
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    client.connect().await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn a_passphrase_is_kept_where_it_is_wanted() {
    let server = server(vec![Stage::Key]).await;
    lock(&server, "open sesame");
    let vault = Vault::in_memory();
    let item = Item::Passphrase { file: server.path("key") };
    vault.remember(&item, &"old".into()).await.unwrap();
    let mut options = server.options();
    options.home.vault = vault.clone();
    let (result, forms) = connect_with(&options, true, &[&["open sesame"]]).await;
    result.unwrap();
    assert_eq!(forms.len(), 1);
    assert_eq!(plain(vault.recall(&item).await).unwrap(), "open sesame");
}

#[tokio::test]
async fn where_nothing_can_be_kept_the_person_is_told() {
    let server = server(vec![Stage::Password("secret")]).await;
    let (result, forms) = connect_with(&server.options(), true, &[&["secret"]]).await;
    result.unwrap();
    let Some(Form { words, prompts }) = forms.last() else { panic!("nothing was told") };
    assert!(words.starts_with("the password of me@127.0.0.1, port "), "{words}");
    assert!(words.contains("is not remembered: no keyring answers here") && prompts.is_empty(), "{words}");
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_left() {
    let server = server(vec![Stage::Questions(vec![Round::default(); 500])]).await;
    let (result, _) = server.connect_with(&[]).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("it asks without an end"), "{error}");
}

#[test_case(vec![("Code: ", false, "1"); 64], true; "a screen full")]
#[test_case(vec![("Code: ", false, "1"); 65], false; "one too many")]
#[test_case(vec![("x".repeat(40_000).leak(), false, "1")], false; "a book")]
#[tokio::test]
async fn a_server_asks_for_no_more_at_once_than_a_person_can_see(
    prompts: Vec<(&'static str, bool, &'static str)>,
    asked: bool,
) {
    let answers = vec!["1"; prompts.len()];
    let server = server(vec![Stage::Questions(vec![Round { prompts, ..Round::default() }])]).await;
    let (result, forms) = server.connect_with(&[&answers]).await;
    assert_eq!((result.is_ok(), forms.len()), (asked, usize::from(asked)));
    if let Err(error) = result {
        assert!(error.to_string().contains("it asks too much at once ("), "{error}");
        assert!(!error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_is_asked_who_is_not_there_any_more() {
    let server = server(vec![code()]).await;
    let client = SshClient::new(&server.options(), TaskTracker::new()).unwrap();
    let (person, asked) = Person::somebody(false);
    drop(asked);
    needed(&client.connect_with(&person).await.unwrap_err());
    assert_eq!(server.seen(), ["nothing"]);
}

#[tokio::test]
async fn who_thinks_for_longer_than_the_server_waits_is_told() {
    let server = server(vec![Stage::Key, code()]).await;
    let client = SshClient::new(&server.options(), TaskTracker::new()).unwrap();
    let (person, mut asked) = Person::somebody(false);
    let thinking = async {
        let question = asked.recv().await.unwrap();
        server.cut();
        question.answer.send(vec!["271828".into()]).unwrap();
    };
    let (result, ()) = tokio::join!(client.connect_with(&person), thinking);
    let error = result.unwrap_err();
    assert!(matches!(error, SshError::AuthenticationCutOff { .. }), "{error:?}");
    assert!(error.to_string().contains("while it waited for an answer; many servers wait 2 minutes"), "{error}");
    assert!(error.remedy().unwrap().contains("llm-proxy login"), "{error:?}");
}

#[tokio::test]
async fn a_person_has_five_minutes_for_an_answer() {
    let server = server(vec![Stage::Key, code()]).await;
    let client = SshClient::new(&server.options(), TaskTracker::new()).unwrap();
    let (person, mut asked) = Person::somebody(false);
    let connecting = client.connect_with(&person);
    tokio::pin!(connecting);
    let question = tokio::select! {
        _ = &mut connecting => panic!("nothing was asked"),
        question = timeout(DEADLINE, asked.recv()) => question.unwrap().unwrap(),
    };
    // Time only runs ahead once all that is real has happened.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    needed(&connecting.await.unwrap_err());
    assert_eq!(begun.elapsed().as_secs(), 300);
    drop(question);
}
