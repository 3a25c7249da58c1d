//! A person answers what the login host asks: where `serve` runs, or at another terminal.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::asking_host::AskingHost;
use support::house::{House, at};
use support::pty::Pty;
use support::scene::{chat, soon};
use support::{Home, Proxy, engine_path, eventually};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// What `ssh` asks about a host that it does not know.
const TRUST: &str = "Are you sure you want to continue connecting";

/// Forgets the server's key.
async fn unknown_host() -> House {
    let host = AskingHost::start(false).await;
    host.write_known_hosts("");
    House::new(host)
}

/// A proxy that nobody can answer for where it runs.
async fn proxy(house: &House) -> Proxy {
    Proxy::builder()
        .options(["--name", "m", "--lease", "5s"])
        .options(house.host.options())
        .env("XDG_STATE_HOME", house.path().join(".local/state"))
        .command([engine_path().display().to_string()])
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_on_a_terminal_asks_at_once_and_what_comes_meanwhile_is_held() {
    let house = unknown_host().await;
    let mut serve = house.serve(&[], "");
    let text = serve.wait_for(TRUST, soon()).await;
    assert!(text.contains("listening on http://127.0.0.1:"), "it listens first: {text}");
    let (client, request) = (house.client(), chat(false));
    let asking = client.post("/v1/chat/completions", &request);
    let answering = async {
        eventually(soon(), "a request is held", async || (at(&house.status(), "/waiting") == json!(1)).then_some(()))
            .await;
        serve.type_keys("yes\n");
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let known = std::fs::read_to_string(house.host.path("known_hosts")).expect("what is known");
    assert_eq!(known, house.host.known_hosts_line());
    serve.type_keys("\u{3}");
    serve.wait_for("done: nothing is left running", soon()).await;
    assert!(serve.ended(soon()).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_ends_serve_with_the_code_for_host_keys() {
    let house = unknown_host().await;
    let mut serve = house.serve(&[], "");
    serve.wait_for(TRUST, soon()).await;
    serve.type_keys("no\n");
    serve.wait_for("error: the host key of", soon()).await;
    serve.wait_for("hint: ", soon()).await;
    assert_eq!(serve.ended(soon()).await.code(), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_person_serve_goes_on_and_tells_which_command_to_run() {
    let house = unknown_host().await;
    let proxy = proxy(&house).await;
    let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, 503);
    let told = answer.json();
    assert_eq!(at(&told, "/error/code"), "login_required");
    let message = told.pointer("/error/message").and_then(Value::as_str).expect("words");
    assert!(message.contains("127.0.0.1") && message.contains("run `llm-proxy login m`"), "{message}");
    assert_eq!(answer.headers.get("x-should-retry").expect("a header"), "false");
    assert!(answer.headers.get("retry-after").is_none());
    // What is seen of it comes a moment after who waits was told.
    let told = async || {
        let health = proxy.client().get("/health").await.ok();
        (at(&health, "/detail/0/run") == "llm-proxy login m" && at(&health, "/detail/0/link") == "needs-login")
            .then_some(())
    };
    eventually(soon(), "/health names the command", told).await;
    let status = house.status();
    assert_eq!(status.pointer("/link/state"), Some(&json!("needs-login")), "{status}");
    assert_eq!(status.pointer("/link/run"), Some(&json!("llm-proxy login m")));
    let words = String::from_utf8_lossy(&house.verb(&["status"]).stdout).into_owned();
    assert!(words.contains("\n  run: llm-proxy login m\n"), "{words}");
    proxy.wait_for_line("run `llm-proxy login m`", soon()).await;

    let start = house.verb(&["start", "--wait", "m"]);
    assert_eq!(start.status.code(), Some(4), "{start:?}");
    let words = String::from_utf8_lossy(&start.stderr).into_owned();
    assert!(words.contains("\nhint: ") && words.contains("run `llm-proxy login m`"), "{words}");
    let alone = house.verb(&["login", "m"]);
    assert_eq!(alone.status.code(), Some(5), "nobody answered: {alone:?}");
    let mut login = house.at_terminal("login");
    login.wait_for(TRUST, soon()).await;
    login.type_keys("yes\n");
    login.wait_for("m: connected to asking", soon()).await;
    assert!(login.ended(soon()).await.success());
    let answer = proxy.client().post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, 200, "at once: {:?}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_at_the_prompt_ends_it_and_gives_the_terminal_back() {
    let house = unknown_host().await;
    house.is_interrupted_at(TRUST, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_network_is_no_reason_to_end() {
    let house = House::new(AskingHost::start(false).await);
    let config = std::fs::read_to_string(house.host.path("config")).expect("a file");
    let elsewhere =
        config.lines().map(|line| if line.contains("Port ") { "  Port 1\n".to_owned() } else { format!("{line}\n") });
    std::fs::write(house.host.path("config"), elsewhere.collect::<String>()).expect("a file");
    let mut serve = house.serve(&[], "");
    serve.wait_for("; the first request tries again", soon()).await;
    assert_eq!(at(&house.status(), "/state"), "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_needed_nothing_is_asked() {
    let house = House::new(AskingHost::start(false).await);
    let mut serve = house.serve(&[], "");
    serve.wait_for("listening on", soon()).await;
    let connected = async || (at(&house.status(), "/link/state") == "connected").then_some(());
    eventually(soon(), "it is connected before anybody asks for anything", connected).await;
    let done = house.verb(&["login", "m"]);
    assert!(done.status.success(), "{done:?}");
    let here =
        Proxy::builder().options(["--name", "here"]).command([engine_path().display().to_string()]).start().await;
    let home: Home = here.home();
    let refused = Proxy::builder().home(&home).run(["login"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

/// The socket of the house's instance.
async fn conversation(house: &House) -> BufReader<UnixStream> {
    let socket = house.path().join(".local/state/llm-proxy/m/control.sock");
    let mut stream = UnixStream::connect(socket).await.expect("a socket");
    stream.write_all(b"{\"version\":1,\"ask\":{\"login\":{\"remember\":false}}}\n").await.expect("it listens");
    BufReader::new(stream)
}

async fn hear(talk: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    tokio::time::timeout_at(soon().at(), talk.read_line(&mut line)).await.expect("in time").expect("a line");
    serde_json::from_str(&line).expect("json")
}

async fn answer(talk: &mut BufReader<UnixStream>, number: &Value, line: &str) {
    let said = json!({"number": number, "answers": [line.as_bytes()]});
    talk.get_mut().write_all(format!("{said}\n").as_bytes()).await.expect("it listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_question_that_is_not_open_is_passed_over() {
    let house = unknown_host().await;
    let _proxy = proxy(&house).await;
    let mut talk = conversation(&house).await;
    let question = hear(&mut talk).await;
    let number = at(&question, "/question/number");
    for other in [0, number.as_u64().expect("a number") + 1] {
        answer(&mut talk, &json!(other), "yes").await;
    }
    answer(&mut talk, &number, "no").await;
    // What was answered in its stead, or after it, is for nobody.
    answer(&mut talk, &number, "yes").await;
    assert_eq!(at(&hear(&mut talk).await, "/failed/kind"), "host_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_terminal_is_told_at_once_and_goes_on_when_the_first_is_done_or_gone() {
    let house = unknown_host().await;
    let _proxy = proxy(&house).await;
    let told = "another terminal is being asked: answer there, or end it with Ctrl-C";
    let mut first = house.at_terminal("login");
    first.wait_for(TRUST, soon()).await;
    let mut second = house.at_terminal("login");
    second.wait_for(told, soon()).await;
    assert!(!second.text().contains(TRUST), "{}", second.text());
    first.type_keys("\u{3}");
    assert_eq!(first.ended(soon()).await.code(), Some(130));
    second.wait_for(TRUST, soon()).await;
    let mut third = house.at_terminal("login");
    third.wait_for(told, soon()).await;
    let fourth = house.at_terminal("login");
    fourth.close();
    second.type_keys("yes\n");
    for terminal in [&mut second, &mut third] {
        terminal.wait_for("m: connected to asking", soon()).await;
        assert!(terminal.ended(soon()).await.success());
    }
    assert!(!third.text().contains(TRUST), "{}", third.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_told_that_serve_itself_is_asking() {
    let house = unknown_host().await;
    let mut serve = house.serve(&[], "");
    serve.wait_for(TRUST, soon()).await;
    let mut login = house.at_terminal("login m");
    login.wait_for("another terminal is being asked", soon()).await;
    serve.type_keys("yes\n");
    login.wait_for("m: connected to asking", soon()).await;
    assert!(login.ended(soon()).await.success());
}

/// What is left to a person who starts `serve` in the background at a terminal.
async fn background(house: &House, answer: &str) -> Pty {
    let mut serve = house.serve(&["--detach"], "");
    serve.wait_for(TRUST, soon()).await;
    serve.type_keys(answer);
    serve
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_it_is_let_in_at_the_terminal_and_outlives_it() {
    let house = unknown_host().await;
    let mut serve = background(&house, "yes\n").await;
    let text = serve.wait_for("end it as well: `llm-proxy stop m --serve`", soon()).await;
    assert!(text.contains("m listens on http://127.0.0.1:"), "{text}");
    assert!(serve.ended(soon()).await.success());
    serve.close();
    let status = house.status();
    assert_eq!(status.pointer("/link/state"), Some(&json!("connected")), "{status}");
    let answer = house.client().post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let pid = at(&status, "/pid").as_u64().expect("a process");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    assert_eq!(fields.get(3), Some(&pid.to_string().as_str()), "a session of its own: {stat}");
    assert_eq!(fields.get(4), Some(&"0"), "no terminal: {stat}");
    let words = house.path().join(".local/state/llm-proxy/m/serve.log");
    let told = async || {
        let log = std::fs::read_to_string(&words).expect("its words");
        (log.contains("llm-proxy: listening on http://") && log.contains("llm-proxy: ready in ")).then_some(())
    };
    eventually(soon(), "what it says is kept", told).await;
    let again = house.serve(&["--detach"], "").ended(soon()).await;
    assert_eq!(again.code(), Some(1), "it runs already");
    let stopped = house.verb(&["stop", "m", "--serve"]);
    assert!(stopped.status.success(), "{stopped:?}");
    let gone = async || matches!(state_of(pid), None | Some('Z')).then_some(());
    eventually(soon(), "it is gone", gone).await;
}

/// The state letter of a process.
fn state_of(pid: u64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

#[tokio::test(flavor = "multi_thread")]
async fn detached_and_not_let_in_nothing_stays_behind() {
    for (keys, code, words) in [("no\n", 5, "error: the host key of"), ("\u{3}", 130, "left before")] {
        let house = unknown_host().await;
        let mut serve = background(&house, keys).await;
        serve.wait_for(words, soon()).await;
        assert_eq!(serve.ended(soon()).await.code(), Some(code));
        assert_eq!(at(&house.status(), "/state"), "not-running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_in_the_background_is_told_here() {
    let house = House::new(AskingHost::start(false).await);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let engine = engine_path().display().to_string();
    let output = house.verb(&["serve", "--detach", "--port", &port, "--name", "m", "--", &engine]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.starts_with(&format!("error: cannot listen on 127.0.0.1:{port}: ")), "{words}");
    assert!(words.contains("\nhint: choose another --port"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_needs_a_person_again_is_told_and_mended_from_another_terminal() {
    let house = unknown_host().await;
    let mut serve = background(&house, "yes\n").await;
    assert!(serve.ended(soon()).await.success());
    let client = house.client();
    assert_eq!(client.post("/v1/chat/completions", &chat(false)).await.status, 200);
    // Somebody mended the list by hand, and forgot a line.
    house.host.write_known_hosts("");
    house.host.cut();
    let needs = async || (at(&house.status(), "/link/state") == "needs-login").then_some(());
    eventually(soon(), "a person is needed", needs).await;
    let status = house.status();
    assert_eq!(at(&status, "/state"), "ready", "the engine goes on: {status}");
    assert!(status.pointer("/link/since").is_some_and(Value::is_string), "{status}");
    let answer = client.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!((answer.status.as_u16(), at(&answer.json(), "/error/code")), (503, json!("login_required")));
    let mut login = house.at_terminal("login m");
    login.wait_for(TRUST, soon()).await;
    login.type_keys("yes\n");
    assert!(login.ended(soon()).await.success());
    let answer = client.post("/v1/chat/completions", &chat(false)).await;
    assert_eq!(answer.status, 200, "at once: {:?}", answer.body);
    let log = String::from_utf8_lossy(&house.verb(&["logs", "m"]).stdout).into_owned();
    assert_eq!(log.matches("a new engine is asked for").count(), 1, "the same engine: {log}");
    assert!(house.verb(&["stop", "--serve"]).status.success());
}
