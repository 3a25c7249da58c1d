//! A login host that asks for a code after the key: a person types it where `serve` runs, or at another terminal.

mod support;

use std::process::ExitStatus;

use serde_json::{Value, json};
use support::asking_host::{AskingHost, CODE, PROMPT};
use support::eventually;
use support::house::{House, at};
use support::pty::Pty;
use support::scene::{chat, soon};

async fn house() -> House {
    House::new(AskingHost::start(true).await)
}

/// Types it at the prompt that comes next.
async fn type_code(at: &mut Pty, code: &str) {
    at.wait_for(PROMPT, soon()).await;
    at.type_keys(&format!("{code}\n"));
}

/// Types what is wrong as often as it is asked for.
async fn type_wrong_codes(at: &mut Pty) -> ExitStatus {
    for times in 1.. {
        let asked_or_over = async || {
            let text = at.text();
            (text.matches(PROMPT).count() >= times || text.contains("error: ")).then_some(text.contains("error: "))
        };
        if eventually(soon(), "it asks again, or says why not", asked_or_over).await {
            break;
        }
        at.type_keys("314159\n");
    }
    at.ended(soon()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_typed_unseen_and_requests_flow() {
    let house = house().await;
    let mut serve = house.serve(&[], "");
    let text = serve.wait_for(PROMPT, soon()).await;
    assert!(text.contains("Open your authenticator."), "the host's own words: {text}");
    type_code(&mut serve, CODE).await;
    let answer = house.client().post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(house.host.tries(), 1);
    serve.type_keys("\u{3}");
    serve.wait_for("done: nothing is left running", soon()).await;
    assert!(!serve.text().contains(CODE), "{}", serve.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_ends_serve_with_the_code_for_authentication() {
    let house = house().await;
    let mut serve = house.serve(&[], "");
    assert_eq!(type_wrong_codes(&mut serve).await.code(), Some(4));
    assert!(serve.text().contains("hint: "), "{}", serve.text());
    assert!((1..=3).contains(&house.host.tries()), "{}", house.host.tries());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_a_hidden_prompt_gives_the_echo_back() {
    let house = house().await;
    house.is_interrupted_at(PROMPT, "27").await;
    assert_eq!(house.host.tries(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_lost_needs_a_code_again_and_no_new_engine() {
    let house = house().await;
    let mut serve = house.serve(&["--detach"], "");
    type_code(&mut serve, CODE).await;
    serve.wait_for("in the background (process ", soon()).await;
    assert!(serve.ended(soon()).await.success());
    let client = house.client();
    assert_eq!(client.post("/v1/chat/completions", &chat(false)).await.status, 200);
    house.host.cut();
    let needs = async || (at(&house.status(), "/link/state") == "needs-login").then_some(());
    eventually(soon(), "a person is needed", needs).await;
    assert_eq!(house.host.tries(), 1, "nothing is tried without one");
    let answer = client.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!((answer.status.as_u16(), at(&answer.json(), "/error/code")), (503, json!("login_required")));
    assert_eq!(at(&house.status(), "/link/run"), json!("llm-proxy login m"));

    let mut wrong = house.at_terminal("login m");
    assert_eq!(type_wrong_codes(&mut wrong).await.code(), Some(4));
    let mut login = house.at_terminal("login m");
    type_code(&mut login, CODE).await;
    login.wait_for("m: connected to asking", soon()).await;
    assert!(login.ended(soon()).await.success());
    assert!(!login.text().contains(CODE), "{}", login.text());
    let answer = client.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, 200, "at once: {:?}", answer.body);
    let log = String::from_utf8_lossy(&house.verb(&["logs", "m"]).stdout).into_owned();
    assert_eq!(log.matches("a new engine is asked for").count(), 1, "the same engine: {log}");
    assert!(at(&house.status(), "/problem") == Value::Null);
    assert!(house.verb(&["stop", "--serve"]).status.success());
}
