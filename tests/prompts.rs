//! What a person types at a prompt, and what becomes of the terminal: `login`, asked by a proxy that this test plays.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::DirBuilderExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::eventually;
use support::pty::Pty;
use support::scene::soon;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

const PROGRAM: &str = env!("CARGO_BIN_EXE_llm-proxy");

/// A `login` at a terminal, and the conversation that it believes to have with a proxy.
struct Scene {
    at: Pty,
    proxy: BufReader<UnixStream>,
    _home: TempDir,
}

impl Scene {
    /// Runs a shell's line, in which `LOGIN` stands for the program.
    async fn of(line: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let folder = home.path().join(".local/state/llm-proxy/m");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).expect("a state folder");
        std::fs::write(folder.join("lock"), "").expect("a lock");
        let listener = UnixListener::bind(folder.join("control.sock")).expect("a socket");
        let at = Pty::start(&line.replace("LOGIN", &format!("{PROGRAM} login m")), home.path(), &[]);
        let accepted = tokio::time::timeout_at(soon().at(), listener.accept()).await.expect("in time");
        let mut this = Self { at, proxy: BufReader::new(accepted.expect("it comes").0), _home: home };
        assert_eq!(this.hear().await.pointer("/ask/login/remember"), Some(&json!(false)));
        this
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        tokio::time::timeout_at(soon().at(), self.proxy.read_line(&mut line)).await.expect("in time").expect("a line");
        serde_json::from_str(&line).expect("json")
    }

    async fn say(&mut self, message: &Value) {
        self.proxy.get_mut().write_all(format!("{message}\n").as_bytes()).await.expect("it listens");
    }

    async fn ask(&mut self, number: u64, words: &str, prompts: &[(&str, bool)]) {
        let prompts: Vec<Value> = prompts.iter().map(|(text, echo)| json!({"text": text, "echo": echo})).collect();
        self.say(&json!({"question": {"number": number, "words": words, "prompts": prompts}})).await;
        if let Some(prompt) = prompts.first().and_then(|prompt| prompt.get("text")).and_then(Value::as_str) {
            self.at.wait_for(prompt, soon()).await;
        }
    }

    /// What is answered next: to which question, and what.
    async fn answered(&mut self) -> (u64, Vec<String>) {
        let heard = self.hear().await;
        let lines = heard.get("answers").and_then(Value::as_array).expect("answers");
        let text = |bytes: &Value| {
            let bytes: Vec<u8> = serde_json::from_value(bytes.clone()).expect("bytes");
            String::from_utf8(bytes).expect("text")
        };
        (heard.get("number").and_then(Value::as_u64).expect("a number"), lines.iter().map(text).collect())
    }

    fn signal(&self, signal: &str) {
        let pid = self.proxy.get_ref().peer_cred().expect("its user").pid().expect("its process").to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().expect("kill").success());
    }

    async fn end(&mut self) {
        self.say(&json!({"done": {"words": "connected to nobody"}})).await;
        self.at.wait_for("m: connected to nobody", soon()).await;
        assert!(self.at.ended(soon()).await.success());
    }
}

fn answer(number: u64, lines: &[&str]) -> (u64, Vec<String>) {
    (number, lines.iter().map(ToString::to_string).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_at_a_prompt_that_is_gone_is_no_answer_to_the_next() {
    let mut scene = Scene::of("exec LOGIN").await;
    scene.ask(1, "", &[("Code: ", false)]).await;
    scene.at.type_keys("2718");
    // The time for it is over.
    scene.ask(2, "", &[("Trust it? ", true)]).await;
    scene.at.type_keys("yes\n");
    assert_eq!(scene.answered().await, answer(2, &["yes"]));
    scene.ask(3, "", &[("Password: ", false)]).await;
    scene.ask(4, "", &[("First: ", true), ("Second: ", false)]).await;
    scene.at.type_keys("one\n");
    scene.at.wait_for("Second: ", soon()).await;
    scene.at.type_keys("two\n");
    assert_eq!(scene.answered().await, answer(4, &["one", "two"]));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_before_a_prompt_is_shown_is_thrown_away() {
    let mut scene = Scene::of("exec LOGIN").await;
    for (number, (prompt, echo)) in (0..).zip([("Hidden: ", false), ("Shown: ", true)]) {
        scene.ask(2 * number, "a word", &[]).await;
        assert_eq!(scene.answered().await, answer(2 * number, &[]));
        scene.at.type_keys("early\nand half");
        scene.at.wait_for_times("and half", usize::try_from(number).expect("few") + 1, soon()).await;
        scene.ask(2 * number + 1, "", &[(prompt, echo)]).await;
        scene.at.type_keys("late\n");
        assert_eq!(scene.answered().await, answer(2 * number + 1, &["late"]));
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_too_long_is_refused_and_asked_for_again() {
    let mut scene = Scene::of("exec LOGIN").await;
    scene.ask(1, "", &[("Key: ", false)]).await;
    // The terminal itself cuts the last one.
    for (times, length) in (2..).zip([1025, 5000]) {
        scene.at.type_keys(&("x".repeat(length) + "\n"));
        scene
            .at
            .wait_for_times("that line is longer than 1024 bytes: nothing of it was taken", times - 1, soon())
            .await;
        scene.at.wait_for_times("Key: ", times, soon()).await;
    }
    let longest = "x".repeat(1024);
    scene.at.type_keys(&format!("{longest}\n"));
    assert_eq!(scene.answered().await, answer(1, &[&longest]));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_prompt_gives_the_terminal_back_and_hides_again_when_it_goes_on() {
    let mut scene = Scene::of("set -m; LOGIN; echo stopped; stty -a; echo \"that was it\"; fg").await;
    scene.ask(1, "", &[("Code: ", false)]).await;
    scene.at.type_keys("314159\u{1a}");
    let text = scene.at.wait_for("that was it", soon()).await;
    assert!(text.contains(" echo ") && text.contains("susp = ^Z") && text.contains("quit = ^\\"), "{text}");
    assert!(text.contains("eol = <undef>"), "{text}");
    scene.at.wait_for_times("Code: ", 2, soon()).await;
    scene.at.type_keys("271828\n");
    assert_eq!(scene.answered().await, answer(1, &["271828"]));
    scene.end().await;
    let text = scene.at.text();
    assert!(!text.contains("314159") && !text.contains("271828"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_was_stopped_by_force_hides_again() {
    let mut scene = Scene::of("set -m; LOGIN; stty echo; echo stopped; fg").await;
    scene.ask(1, "", &[("Code: ", false)]).await;
    scene.signal("STOP");
    scene.at.wait_for("stopped", soon()).await;
    scene.at.wait_for_times("Code: ", 2, soon()).await;
    scene.at.type_keys("271828\n");
    assert_eq!(scene.answered().await, answer(1, &["271828"]));
    scene.end().await;
    assert!(!scene.at.text().contains("271828"), "{}", scene.at.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_it_gives_the_echo_back() {
    for (keys, signal) in [("\u{3}", ""), ("\u{1c}", ""), ("", "TERM"), ("", "HUP"), ("\u{4}", "")] {
        let mut scene = Scene::of("trap : INT QUIT; ulimit -c 0; LOGIN; echo ended with $?; stty -a; echo ,").await;
        scene.ask(1, "", &[("Code: ", false)]).await;
        if signal.is_empty() {
            scene.at.type_keys(keys);
        } else {
            scene.signal(signal);
        }
        if keys == "\u{4}" {
            assert_eq!(scene.hear().await.get("answers"), Some(&Value::Null), "no answer");
            scene.end_of_input().await;
            continue;
        }
        let text = scene.at.wait_for("ended with ", soon()).await + &scene.at.wait_for("echoctl", soon()).await;
        assert!(text.contains(" echo ") && !text.contains("-echo "), "{keys:?} {signal}: {text}");
    }
}

impl Scene {
    async fn end_of_input(&mut self) {
        self.say(&json!({"failed": {"kind": "authentication", "what": "nobody answers", "hint": null}})).await;
        let text = self.at.wait_for("ended with 4", soon()).await;
        assert!(text.contains("error: nobody answers"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_words_cannot_command_the_terminal_or_turn_text_around() {
    let mut scene = Scene::of("exec LOGIN").await;
    scene.ask(1, "wel\u{202e}come\u{9b}2J\u{1b}[31m", &[]).await;
    scene.answered().await;
    scene.ask(2, "", &[("pass", false), ("y\u{2066}es\u{85}\u{61c}? ", true)]).await;
    scene.at.type_keys("a\n");
    scene.at.wait_for("y es  ? ", soon()).await;
    scene.at.type_keys("b\n");
    assert_eq!(scene.answered().await, answer(2, &["a", "b"]));
    scene.end().await;
    let text = scene.at.text();
    assert!(text.contains("wel come 2J") && !text.contains('\u{202e}') && !text.contains("31m"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_nobody_asks_any_more_takes_nothing_that_is_typed() {
    let mut scene = Scene::of("LOGIN; read line; echo \"the shell has $line.\"").await;
    scene.ask(1, "", &[("Code: ", false)]).await;
    scene.at.type_keys("half");
    scene.say(&json!({"failed": {"kind": "failure", "what": "the host is gone", "hint": null}})).await;
    scene.at.wait_for("the host is gone", soon()).await;
    eventually(Duration::from_secs(20), "the shell reads", async || {
        scene.at.type_keys("whole\n");
        tokio::time::timeout(Duration::from_secs(1), scene.at.wait_for("the shell has whole.", Duration::from_secs(5)))
            .await
            .ok()
    })
    .await;
}
