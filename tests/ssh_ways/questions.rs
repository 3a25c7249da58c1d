//! Ways in for which somebody is asked.

use hyper::StatusCode;
use serde_json::json;

use crate::person::Person;
use crate::support::pty::Pty;
use crate::support::scene::{chat, soon, wait_until_nothing_is_left};
use crate::support::{Cluster, HostName, eventually};
use crate::way::{proxy, told};

const PASSWORD: &str = "open sesame";

/// As real `ssh` asks for it.
const PASSWORD_QUESTION: &str = "'s password:";

/// As PAM asks for it.
const PAM_QUESTION: &str = "Password:";

/// As PAM asks for it.
const CODE_QUESTION: &str = "One-time password (OATH) for ";

#[tokio::test]
async fn a_password() {
    let cluster = Cluster::builder().password(PASSWORD).sshd_option("PasswordAuthentication yes").up();
    let words = ["-o", "PubkeyAuthentication=no"];
    let refused = told(proxy(&cluster, None, &words, "login")).await;
    assert!(refused.contains("llm-proxy login"), "without a terminal nobody can be asked: {refused}");

    let person = Person::of(&cluster);
    let mut serve = person.serve(&words);
    serve.wait_for(PASSWORD_QUESTION, soon()).await;
    serve.type_keys("open says me\n");
    serve.wait_for_times(PASSWORD_QUESTION, 2, soon()).await;
    serve.type_keys("open sesame\n");
    person.is_let_in().await;
    let client = person.client().await;
    client.post("/v1/chat/completions", &chat(false)).await.ok();
    let shown = serve.text();
    assert!(!shown.contains("sesame") && !shown.contains("says"), "what is typed is not shown: {shown}");
    person.interrupt(serve).await;
    wait_until_nothing_is_left(&cluster, 10).await;
}

fn two_factors() -> Cluster {
    Cluster::builder()
        .password(PASSWORD)
        .one_time_codes()
        .sshd_option("AuthenticationMethods publickey,keyboard-interactive")
        .up()
}

/// Types the password and then a code, which are asked for at this terminal for so many times now.
async fn answer_both(terminal: &mut Pty, times: usize, code: impl FnOnce() -> String) {
    terminal.wait_for_times(PAM_QUESTION, times, soon()).await;
    terminal.type_keys("open sesame\n");
    terminal.wait_for_times(CODE_QUESTION, times, soon()).await;
    terminal.type_keys(&format!("{}\n", code()));
}

#[tokio::test]
async fn a_key_and_then_a_password_and_a_one_time_code() {
    let cluster = two_factors();
    let person = Person::of(&cluster);
    let mut serve = person.serve(&[]);
    answer_both(&mut serve, 1, || cluster.one_time_code()).await;
    person.is_let_in().await;
    let client = person.client().await;
    client.post("/v1/chat/completions", &chat(false)).await.ok();
    let jobs = cluster.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert!(!serve.text().contains("sesame"), "what is typed is not shown: {}", serve.text());

    // The server ends it all, and who comes back is asked again: the old answers are good for nothing.
    cluster.on(HostName::Login, &["pkill", "-KILL", "-u", cluster.user(), "sshd"]);
    let needed = async || (person.status().pointer("/link/state") == Some(&json!("needs-login"))).then_some(());
    eventually(soon(), "a person is needed", needed).await;
    assert_eq!(person.status().pointer("/link/run"), Some(&json!("llm-proxy login m")));
    let answer = client.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
    assert_eq!(answer.json().pointer("/error/code"), Some(&json!("login_required")), "{}", answer.text());

    let mut login = person.at_terminal(&["login", "m"]);
    answer_both(&mut login, 1, || cluster.one_time_code()).await;
    login.wait_for("m: connected to login", soon()).await;
    assert!(login.ended(soon()).await.success());
    client.post("/v1/chat/completions", &chat(false)).await.ok();
    assert_eq!(cluster.jobs(), jobs, "the same job");
    person.interrupt(serve).await;
    wait_until_nothing_is_left(&cluster, 10).await;
}

#[tokio::test]
async fn a_wrong_code_is_refused_and_asked_for_again() {
    let cluster = two_factors();
    let person = Person::of(&cluster);
    let mut serve = person.serve(&[]);
    answer_both(&mut serve, 1, || "000000".to_owned()).await;
    answer_both(&mut serve, 2, || cluster.one_time_code()).await;
    person.is_let_in().await;
    person.interrupt(serve).await;
}
