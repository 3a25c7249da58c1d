//! One proxy with an engine behind it, whose start the test lets happen when it wants.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cell::Cell;
use crate::driver::Drivers;
use crate::job::{Job, KEY, Outcome};
use crate::rows::Row;
use crate::support::{Client, Deadline, Proxy, engine_path};

/// Nothing here takes longer, except on a machine that is much too busy.
const SOON: Duration = Duration::from_secs(20);

/// A proxy with an engine of its own on this machine.
#[derive(Debug)]
pub(crate) struct Stage {
    proxy: Proxy,
    client: Client,
    gate: PathBuf,
    _folder: TempDir,
}

impl Stage {
    /// A proxy with these options, and the test engine with these arguments, which starts once it is let.
    pub(crate) async fn new(options: &[&str], engine: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gate = folder.path().join("start");
        let mut command = vec![engine_path().display().to_string(), "--start-when".into(), gate.display().to_string()];
        command.extend(engine.iter().map(|word| (*word).to_owned()));
        Self::with(options, command, folder, gate).await
    }

    /// A proxy with any other engine.
    pub(crate) async fn of(command: Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let gate = folder.path().join("start");
        Self::with(&[], command, folder, gate).await
    }

    async fn with(options: &[&str], command: Vec<String>, folder: TempDir, gate: PathBuf) -> Self {
        let proxy = Proxy::builder().env("LLM_PROXY_ACCESS_KEY", KEY).options(options.iter().copied());
        let proxy = proxy.command(command).start().await;
        let mut client = Client::tcp(proxy.address());
        client.set_header("authorization", &format!("Bearer {KEY}"));
        Self { proxy, client, gate, _folder: folder }
    }

    /// A job for a row's client here.
    pub(crate) fn job(&self, row: &Row, stream: bool) -> Job {
        Job::new(row, self.proxy.address(), stream)
    }

    /// Lets the engine start, or fail.
    pub(crate) fn let_start(&self) {
        std::fs::write(&self.gate, "").expect("a file in a temporary folder");
    }

    /// Has the engine up before anybody asks.
    pub(crate) async fn wake(&self, model: &str) {
        self.let_start();
        let body = json!({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]});
        let waking = self.client.post("/v1/chat/completions", &body);
        tokio::time::timeout(SOON, waking).await.expect("an engine in time").ok();
    }

    /// How many requests the proxy holds.
    pub(crate) async fn held(&self) -> u64 {
        let health = self.client.get("/health").await.ok();
        health.pointer("/detail/0/waiting").and_then(Value::as_u64).unwrap_or_else(|| panic!("none in {health}"))
    }

    /// Waits until the proxy holds so many requests; gives what is wrong if it does not come to that, for whoever is
    /// not held has a cell that says why.
    pub(crate) async fn until_held(&self, wanted: usize) -> Option<String> {
        let deadline = Deadline::from(SOON);
        loop {
            let held = self.held().await;
            if held == wanted as u64 {
                return None;
            }
            if deadline.is_over() {
                return Some(format!("{held} requests were held, not {wanted}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Goes on with `work` once the proxy holds so many requests: so that not all clients begin at the same moment.
    pub(crate) async fn once_held<T>(&self, wanted: usize, work: impl Future<Output = T>) -> T {
        // Who is missing is told by the last one who waits for all.
        self.until_held(wanted).await;
        work.await
    }

    /// How often the engine was started.
    pub(crate) fn starts(&self) -> usize {
        self.proxy.lines().so_far().iter().filter(|line| line.contains("starting the engine")).count()
    }

    /// What the engine counts, of the requests of each client.
    pub(crate) async fn count(&self, table: &str, row: &Row) -> u64 {
        let stats = self.client.get("/stats").await.ok();
        stats[table].get(row.name()).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Waits until the engine has counted for a client, or does not in time.
    pub(crate) async fn comes_to_count(&self, table: &str, row: &Row) -> bool {
        let deadline = Deadline::in_seconds(10);
        loop {
            match self.count(table, row).await {
                0 if deadline.is_over() => return false,
                0 => tokio::time::sleep(Duration::from_millis(20)).await,
                _ => return true,
            }
        }
    }

    /// Ends the proxy and its engine.
    pub(crate) async fn end(self) {
        self.proxy.stop("TERM", SOON).await;
    }
}

/// Has all clients do the job that is made for each, at the same time, and judges what each saw.
pub(crate) async fn ask_all(
    drivers: &Drivers,
    make: impl Fn(&Row) -> Job,
    judge: impl Fn(&Row, &Outcome) -> Cell,
) -> Vec<Cell> {
    let asking = Row::ALL.iter().map(|row| {
        let job = make(row);
        let judge = &judge;
        async move {
            let outcome = drivers.run(row, job).await;
            judge(row, &outcome)
        }
    });
    join_all(asking).await
}
