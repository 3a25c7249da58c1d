//! What a person sees where `serve` runs: on a terminal one line that changes below those that stay, elsewhere plain lines.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::ffi::OsStr;
use std::process::Command;

use support::scene::{chat, soon};
use support::{ChildGuard, Client, Deadline, Lines, Proxy, engine_path, eventually};
use tempfile::TempDir;

/// A terminal's screen, as wide and high as it takes, that knows what moves its cursor.
#[derive(Default)]
struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn of(text: &str) -> Self {
        let mut screen = Self::default();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.row += 1,
                '\u{1b}' => {
                    assert_eq!(chars.next(), Some('['), "an escape of another kind in {text:?}");
                    let mut parameter = String::new();
                    let letter = loop {
                        match chars.next().expect("an escape has an end") {
                            letter if letter.is_ascii_alphabetic() => break letter,
                            other => parameter.push(other),
                        }
                    };
                    screen.control(&parameter, letter);
                }
                c => screen.put(c),
            }
        }
        screen
    }

    fn put(&mut self, c: char) {
        let column = self.column;
        let row = self.row();
        row.resize(row.len().max(column + 1), ' ');
        row.splice(column..=column, [c]);
        self.column += 1;
    }

    fn row(&mut self) -> &mut Vec<char> {
        self.rows.resize(self.rows.len().max(self.row + 1), Vec::new());
        self.rows.get_mut(self.row).expect("a row")
    }

    fn control(&mut self, parameter: &str, letter: char) {
        let count = parameter.parse().unwrap_or(1);
        match (letter, parameter) {
            ('A', _) => self.row = self.row.saturating_sub(count),
            ('B', _) => self.row += count,
            ('K', "2") => self.row().clear(),
            ('J', "" | "0") => {
                let column = self.column;
                self.row().truncate(column);
                self.rows.truncate(self.row + 1);
            }
            other => panic!("a control that is not known here: {other:?}"),
        }
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }
}

/// A proxy in a terminal of its own.
struct Seen {
    _script: ChildGuard,
    _home: TempDir,
    output: Lines,
    client: Client,
}

impl Seen {
    async fn start(environment: &[(&str, &str)], options: &[&str], engine: &[&str]) -> Self {
        Self::start_beside("", environment, options, engine).await
    }

    /// The same, with a shell's commands that run in the same terminal.
    async fn start_beside(beside: &str, environment: &[(&str, &str)], options: &[&str], engine: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let engine_path = engine_path().display().to_string();
        let words =
            [env!("CARGO_BIN_EXE_llm-proxy"), "serve", "--port", "0"].iter().copied().chain(options.iter().copied());
        let words = words.chain(["--", engine_path.as_str()]).chain(engine.iter().copied());
        let line = shlex::try_join(words).expect("a shell's line");
        let mut command = Command::new("script");
        command.args(["-qfec", &format!("stty rows 50 cols 200; {beside} exec {line}"), "/dev/null"]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home.path());
        command.env("TERM", "xterm").env("SHELL", "/bin/sh").current_dir(home.path()).envs(environment.iter().copied());
        let script = ChildGuard::start("script (of util-linux)", &mut command);
        let output = script.stdout();
        let mut listening = output.clone();
        let line = listening.wait_for("listening on http://", Deadline::in_seconds(20)).await;
        let (_, address) = line.split_once("http://").expect("the line that was waited for");
        let client = Client::tcp(address.trim());
        Self { _script: script, _home: home, output, client }
    }

    /// All that was written so far, but for what follows the last line break.
    fn text(&self) -> String {
        self.output.so_far().join("\n")
    }

    async fn until(&self, pattern: &str) {
        self.output.clone().wait_for(pattern, soon()).await;
    }
}

/// The lines of a text that hold a pattern.
fn with<'a>(lines: &'a [String], pattern: &str) -> Vec<&'a String> {
    lines.iter().filter(|line| line.contains(pattern)).collect()
}

#[tokio::test]
async fn on_a_terminal_one_line_changes_and_none_is_torn() {
    let engine = ["--bar", "500ms", "--log-lines", "300"];
    let seen = Seen::start(&[], &["-v", "--idle-timeout", "1s"], &engine).await;
    seen.client.post("/v1/chat/completions", &chat(false)).await.ok();
    seen.until("the engine is gone").await;
    let text = seen.text();
    for shown in ["loading weights 25 %", "loading weights 75 %", "ready, idle · stops in"] {
        assert!(text.contains(shown), "{shown:?} was never shown: {text:?}");
    }
    let lines = Screen::of(&text).lines();
    let screen = lines.join("\n");
    for line in &lines {
        assert!(line.starts_with("llm-proxy: ") || line.starts_with("engine | "), "{line:?} in\n{screen}");
        assert_eq!(
            line.matches("llm-proxy: ").count() + line.matches("engine | ").count(),
            1,
            "{line:?} is torn:\n{screen}"
        );
    }
    let numbered: Vec<String> = (0..300).map(|n| format!("engine | INFO test-engine: line {n}")).collect();
    assert_eq!(with(&lines, "engine | INFO test-engine: line"), numbered.iter().collect::<Vec<_>>());
    assert_eq!(with(&lines, "llm-proxy: listening on").len(), 1, "{screen}");
    assert_eq!(with(&lines, "llm-proxy: ready in ").len(), 1, "{screen}");
    for replaced in ["asleep", "loading weights 25 % ", "ready, idle"] {
        assert!(
            with(&lines, replaced).iter().all(|line| line.starts_with("engine | ")),
            "{replaced:?} stayed:\n{screen}"
        );
    }
}

/// The screen itself refuses controls that are not ours.
#[tokio::test]
async fn what_an_engine_prints_does_not_move_the_cursor() {
    let words = "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[31mRuntimeError: no\u{1b}[0m \u{9b}5A\u{8}luck";
    let seen = Seen::start(&[], &["-v"], &["--fail", words]).await;
    assert_eq!(seen.client.post("/v1/chat/completions", &chat(false)).await.status, 503);
    seen.until("llm-proxy: the engine failed: ").await;
    seen.until("  hint: ").await;
    let lines = Screen::of(&seen.text()).lines();
    assert_eq!(with(&lines, "engine | RuntimeError"), ["engine | RuntimeError: no  5A luck"]);
    assert!(
        with(&lines, "the engine failed: ").iter().all(|line| line.ends_with("RuntimeError: no  5A luck")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_terminal_that_takes_no_line_back_gets_plain_lines() {
    let seen = Seen::start(&[("TERM", "dumb")], &[], &["--bar", "500ms"]).await;
    seen.client.post("/v1/chat/completions", &chat(false)).await.ok();
    seen.until("ready in").await;
    assert!(!seen.text().contains('\u{1b}'), "{:?}", seen.text());
    seen.until("loading weights 50 %").await;
}

#[tokio::test]
async fn without_colour_the_line_changes_all_the_same() {
    let seen = Seen::start(&[("NO_COLOR", "1")], &[], &["--bar", "500ms"]).await;
    seen.client.post("/v1/chat/completions", &chat(false)).await.ok();
    seen.until("ready in").await;
    let text = seen.text();
    assert!(text.contains("loading weights 50 %"), "{text:?}");
    assert!(
        !text
            .split('\u{1b}')
            .skip(1)
            .any(|rest| rest.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).starts_with('m')),
        "{text:?}"
    );
}

#[tokio::test]
async fn without_a_terminal_plain_lines_tell_the_progress_in_quarters() {
    let proxy = Proxy::builder()
        .options(["-v"])
        .command([engine_path().into_os_string()])
        .command(["--bar", "500ms"])
        .start()
        .await;
    proxy.client().post("/v1/chat/completions", &chat(false)).await.ok();
    proxy.wait_for_line("ready in", soon()).await;
    let lines = proxy.lines().so_far();
    assert!(!lines.iter().any(|line| line.contains(char::is_control)), "{lines:?}");
    for percent in [0, 25, 50, 75, 100] {
        let told = with(&lines, &format!(": loading weights {percent} %"));
        assert_eq!(told.len(), 1, "{percent}: {lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("engine | INFO test-engine: listening")), "{lines:?}");
}

/// What a line of `try:` asks, run by a real shell.
#[tokio::test]
async fn the_line_to_try_works_as_it_is_printed() {
    let proxy = Proxy::builder().command([engine_path().into_os_string()]).command(["--model", "it's"]).start().await;
    let line = proxy.wait_for_line("try: curl -N ", soon()).await;
    let (_, line) = line.split_once("try: ").expect("the line that was waited for");
    let mut curl = ChildGuard::start("curl", Command::new("/bin/sh").arg("-c").arg(OsStr::new(line)));
    let status = curl.wait(soon()).await;
    let said = curl.stdout();
    assert!(status.success(), "{line}");
    let done = async || said.so_far().iter().any(|line| line == "data: [DONE]").then_some(());
    eventually(soon(), "the stream has ended", done).await;
}

#[tokio::test]
async fn a_line_that_stands_still_is_cut_when_the_terminal_shrinks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let now = folder.path().join("now");
    // What is drawn is seen here once a line ends after it.
    let shrink = format!(
        "(until [ -e {} ]; do sleep 0.1; done; stty -F /dev/tty rows 50 cols 40; while echo && sleep 0.1; do :; done) & ",
        now.display()
    );
    let seen = Seen::start_beside(&shrink, &[], &[], &[]).await;
    std::fs::write(&now, "").expect("a file can be written");
    seen.until("llm-proxy: asleep · the next request s…").await;
}

/// A closed window must not leave a GPU to its lease, whatever is still to be said to it.
#[tokio::test]
async fn a_terminal_that_is_closed_ends_the_engine_in_order() {
    let Seen { _script: script, _home: home, client, output } = Seen::start(&[], &["-vv"], &[]).await;
    client.post("/v1/chat/completions", &chat(false)).await.ok();
    output.clone().wait_for("engine | INFO test-engine: listening", soon()).await;
    // By force, as a window that is closed goes: the proxy hears of it by SIGHUP, and can write to nobody any more.
    drop(script);
    let lives = home.path().join(".local/state/llm-proxy/lives");
    let gone = async || (std::fs::read_dir(&lives).expect("a folder").count() == 0).then_some(());
    eventually(soon(), "the life was seen to its end", gone).await;
    let ended = async || client.dial().await.is_err().then_some(());
    eventually(soon(), "the proxy has ended", ended).await;
}
