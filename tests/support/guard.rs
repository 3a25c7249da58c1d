//! A child process that a test owns: its lines are kept, and it is gone when the guard is.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::sync::watch;

use super::wait::Deadline;

/// The lines that a child has written so far.
#[derive(Clone, Debug)]
pub(crate) struct Lines(watch::Receiver<Vec<String>>);

impl Lines {
    /// Reads `source` to its end on a thread of its own, so that the child never waits for us.
    fn collect(source: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                sender.send_modify(|lines| lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
        });
        Self(receiver)
    }

    /// All lines so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// The lines after the first `count`.
    pub(crate) fn after(&self, count: usize) -> Vec<String> {
        self.0.borrow().iter().skip(count).cloned().collect()
    }

    /// All lines, once there will be no more; panics at the deadline.
    pub(crate) async fn all(&mut self, deadline: impl Into<Deadline>) -> Vec<String> {
        let ended = async { while self.0.changed().await.is_ok() {} };
        let waited = tokio::time::timeout_at(deadline.into().at(), ended).await;
        assert!(waited.is_ok(), "more lines may come; so far:\n{}", self.so_far().join("\n"));
        self.so_far()
    }

    /// The first line that contains `pattern`, which may have been written already; panics at the deadline, or when
    /// there will be no more lines, with all lines so far.
    pub(crate) async fn wait_for(&mut self, pattern: &str, deadline: impl Into<Deadline>) -> String {
        let has = |lines: &Vec<String>| lines.iter().any(|line| line.contains(pattern));
        let waited = tokio::time::timeout_at(deadline.into().at(), self.0.wait_for(has)).await;
        let ended = match &waited {
            Ok(Ok(lines)) => return lines.iter().find(|line| line.contains(pattern)).cloned().unwrap_or_default(),
            Ok(Err(_)) => "it ended",
            Err(_) => "the deadline",
        };
        drop(waited);
        panic!("no line with {pattern:?} before {ended}; its lines:\n{}", self.so_far().join("\n"));
    }
}

/// A running child; killed by its pid when dropped.
#[derive(Debug)]
pub(crate) struct ChildGuard {
    child: Child,
    what: String,
    stdout: Lines,
    stderr: Lines,
}

impl ChildGuard {
    /// Starts `command`, whose standard output and error are kept as lines.
    pub(crate) fn start(what: &str, command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        Self::keep(what, child)
    }

    /// The same for a child that was started with pipes for both.
    pub(crate) fn keep(what: &str, mut child: Child) -> Self {
        let stdout = Lines::collect(child.stdout.take().expect("a pipe was asked for"));
        let stderr = Lines::collect(child.stderr.take().expect("a pipe was asked for"));
        Self { child, what: what.to_owned(), stdout, stderr }
    }

    /// The child's pid; also that of what it has become by `exec`.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output.
    pub(crate) fn stdout(&self) -> Lines {
        self.stdout.clone()
    }

    /// What it wrote to standard error.
    pub(crate) fn stderr(&self) -> Lines {
        self.stderr.clone()
    }

    /// The exit status, once there is one.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.what))
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to {} ({pid})", self.what);
    }

    /// Waits for the end; panics at the deadline.
    pub(crate) async fn wait(&mut self, deadline: impl Into<Deadline>) -> ExitStatus {
        let what = format!("{} ended; its lines:\n{}", self.what, self.stderr.so_far().join("\n"));
        super::wait::eventually(deadline, &what, async || self.try_wait()).await
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // Both fail only for a child that has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr().lock(),
                format_args!("--- lines of {}:\n{}\n", self.what, self.stderr.so_far().join("\n")),
            );
        }
    }
}
