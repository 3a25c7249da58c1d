//! curl, as a client like the others.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::job::{Job, Outcome, Raised};

/// Does a job with curl: its output is the text, its exit code what it raises.
pub(crate) async fn run(job: &Job) -> Outcome {
    let started = Instant::now();
    let mut child = start(job);
    let stdout = child.stdout.take().expect("a pipe was asked for");
    let mut read = Read { stream: job.stream, ..Read::default() };
    let reading = async {
        let mut lines = BufReader::new(stdout).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            read.line(&String::from_utf8_lossy(&line));
            if job.leave_after_pieces == Some(read.pieces) {
                return true;
            }
        }
        false
    };
    let left = match job.leave_after_seconds {
        Some(seconds) => tokio::time::timeout(Duration::from_secs_f64(seconds), reading).await.unwrap_or(true),
        None => reading.await,
    };
    let error = if left {
        child.kill().await.expect("curl can be killed");
        Some(Raised { class: "left".to_owned(), status: None, message: String::new() })
    } else {
        read.fault(&mut child).await
    };
    let Read { text, pieces, empty_pieces, comments, .. } = read;
    Outcome { id: job.id, text, pieces, empty_pieces, error, seconds: started.elapsed().as_secs_f64(), comments }
}

fn start(job: &Job) -> Child {
    let body = json!({"model": job.model, "stream": job.stream, "max_tokens": job.max_tokens,
                      "messages": [{"role": "user", "content": "hi"}]});
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "-N", "--fail-with-body", "-w", "\nstatus %{http_code}\n"]);
    // Patience is what curl calls a speed: a byte a second, or it gives up.
    command.args(["--speed-limit", "1", "--speed-time", &job.timeout.to_string()]);
    command.args(["--retry", &job.retries.to_string(), "--retry-all-errors"]);
    command.arg("-H").arg(format!("authorization: Bearer {}", job.key)).args(["-H", "content-type: application/json"]);
    for (name, value) in &job.headers {
        command.arg("-H").arg(format!("{name}: {value}"));
    }
    command.args(["-d", &body.to_string()]).arg(format!("{}/v1/chat/completions", job.base_url));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| panic!("cannot start curl: {error}"))
}

/// What curl has printed so far.
#[derive(Default)]
struct Read {
    stream: bool,
    text: String,
    pieces: u64,
    empty_pieces: u64,
    comments: Vec<String>,
    status: Option<u16>,
    /// What the server said of an error, in a body or in an event.
    said: Option<String>,
}

impl Read {
    fn line(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix("status ") {
            self.status = status.trim().parse().ok();
        } else if let Some(comment) = line.strip_prefix(':') {
            self.comments.push(comment.trim().to_owned());
        } else {
            // The bodies of several tries stand on one line.
            let values = serde_json::Deserializer::from_str(line.strip_prefix("data: ").unwrap_or(line)).into_iter();
            values.map_while(Result::ok).for_each(|json: Value| self.json(&json));
        }
    }

    fn json(&mut self, json: &Value) {
        let place = if self.stream { "/choices/0/delta/content" } else { "/choices/0/message/content" };
        match json.pointer(place).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => {
                self.text += text;
                self.pieces += 1;
            }
            Some(_) | None => self.empty_pieces += 1,
        }
        if let Some(said) = json.pointer("/error/message").and_then(Value::as_str) {
            self.said = Some(said.to_owned());
        }
    }

    /// What a person who looks at curl's output would call an error.
    async fn fault(&self, child: &mut Child) -> Option<Raised> {
        let mut message = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut message).await.expect("curl's own words");
        }
        let code = child.wait().await.expect("curl ends").code().expect("an exit code");
        message += self.said.as_deref().unwrap_or_default();
        let status = self.status.filter(|status| *status >= 400);
        match (code, &self.said) {
            (0, None) => None,
            (0, Some(_)) => Some(Raised { class: "error event".to_owned(), status, message }),
            (code, _) => Some(Raised { class: format!("exit {code}"), status, message }),
        }
    }
}
