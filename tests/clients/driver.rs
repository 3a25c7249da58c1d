//! The processes that drive the clients: one for each interpreter, for all jobs.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::curl;
use crate::job::{Job, Outcome};
use crate::rows::{By, Row};

/// No job takes longer: every situation ends by itself long before.
const LONGEST_JOB: Duration = Duration::from_mins(2);
/// Python reads hundreds of files for `LangChain`, on two cores that others use as well.
const LONGEST_START: Duration = Duration::from_secs(90);

/// All drivers, running.
#[derive(Debug)]
pub(crate) struct Drivers {
    running: Vec<(By, Driver)>,
    next_id: AtomicU64,
    _folder: TempDir,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Outcome>>>>;

#[derive(Debug)]
struct Driver {
    stdin: AsyncMutex<ChildStdin>,
    versions: BTreeMap<String, String>,
    waiting: Waiting,
    _child: Child,
}

impl Drivers {
    /// Starts all drivers, at the same time.
    pub(crate) async fn start() -> Self {
        let installed = installed();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/drivers");
        // Node looks for packages beside the program; here they must not be in the checkout.
        for entry in std::fs::read_dir(sources).expect("the drivers").flatten() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy of a driver");
        }
        std::os::unix::fs::symlink(installed.join("node_modules"), folder.path().join("node_modules")).expect("a link");
        let starting = By::DRIVERS.map(|(by, clients)| {
            let (interpreter, program) = match by {
                By::PythonNew => ("python-new/bin/python", "driver.py"),
                By::PythonOld => ("python-old/bin/python", "driver.py"),
                By::Node | By::Curl => ("bin/node", "driver.mjs"),
            };
            let mut command = Command::new(installed.join(interpreter));
            command.arg(folder.path().join(program)).args(clients);
            async move { (by, Driver::start(command).await) }
        });
        let running = futures_util::future::join_all(starting).await;
        Self { running, next_id: AtomicU64::new(1), _folder: folder }
    }

    /// The version of a row's client.
    pub(crate) fn version(&self, row: &Row) -> String {
        let driver = self.running.iter().find(|(by, _)| *by == row.by);
        driver.map_or_else(String::new, |(_, driver)| driver.versions[row.client].clone())
    }

    /// Has a row's client do a job, and tells what it saw.
    pub(crate) async fn run(&self, row: &Row, mut job: Job) -> Outcome {
        job.id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let what = format!("{} {job:?}", row.name());
        let work = async {
            match self.running.iter().find(|(by, _)| *by == row.by) {
                Some((_, driver)) => driver.run(&job).await,
                None => curl::run(&job).await,
            }
        };
        tokio::time::timeout(LONGEST_JOB, work).await.unwrap_or_else(|_| panic!("a client hangs: {what}"))
    }
}

impl Driver {
    async fn start(command: Command) -> Self {
        let what = format!("{command:?}");
        let mut command = tokio::process::Command::from(command);
        // Nothing of the surroundings that a client would obey: proxies, keys, tracing.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LANG", "C.UTF-8");
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("LANGCHAIN_TRACING_V2", "false");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let stdin = child.stdin.take().expect("a pipe was asked for");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe was asked for")).lines();
        let first = tokio::time::timeout(LONGEST_START, lines.next_line()).await;
        let first = first.expect("a driver is ready in time").expect("a pipe that can be read");
        let first: Value = first.and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_else(|| {
            panic!("{what} did not get ready; its standard error is above. Do the packages fit? See scripts/clients")
        });
        let versions = serde_json::from_value(first["ready"].clone()).expect("versions");
        let waiting = Waiting::default();
        tokio::spawn(deliver(lines, Arc::clone(&waiting)));
        Self { stdin: AsyncMutex::new(stdin), versions, waiting, _child: child }
    }

    async fn run(&self, job: &Job) -> Outcome {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().expect("a whole table").insert(job.id, sender);
        let line = format!("{}\n", serde_json::to_string(job).expect("a job is JSON"));
        self.stdin.lock().await.write_all(line.as_bytes()).await.expect("a driver that listens");
        receiver.await.expect("a driver that lives")
    }
}

/// Hands each outcome to who waits for it; at the driver's end nobody waits any longer.
async fn deliver(mut lines: tokio::io::Lines<BufReader<ChildStdout>>, waiting: Waiting) {
    while let Ok(Some(line)) = lines.next_line().await {
        let outcome: Outcome = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
        if let Some(sender) = waiting.lock().expect("a whole table").remove(&outcome.id) {
            // Whoever asked may have given up.
            let _ = sender.send(outcome);
        }
    }
    waiting.lock().expect("a whole table").clear();
}

/// Where `scripts/clients` put the packages; panics with what to do if they are not there.
pub(crate) fn installed() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/clients");
    let output = Command::new(script).arg("--find").output().expect("scripts/clients can be run");
    assert!(
        output.status.success(),
        "the real clients are not installed: run scripts/clients\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
}
