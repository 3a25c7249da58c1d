//! A program at a terminal of its own, and a person who reads it and types.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use tokio::sync::watch;

use super::wait::{Deadline, eventually};

/// A program at a terminal. Ended by its pid when dropped.
#[derive(Debug)]
pub(crate) struct Pty {
    script: Child,
    keys: ChildStdin,
    seen: watch::Receiver<String>,
}

impl Pty {
    /// Runs a shell's line at a terminal, with nothing around it but this home.
    pub(crate) fn start(line: &str, home: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("script");
        command.args(["-qfec", &format!("stty rows 50 cols 200; {line}"), "/dev/null"]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
        command.env("TERM", "xterm").env("SHELL", "/bin/sh").current_dir(home).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = command.spawn().unwrap_or_else(|error| panic!("script (of util-linux): {error}"));
        let keys = script.stdin.take().expect("a pipe was asked for");
        let mut screen = script.stdout.take().expect("a pipe was asked for");
        let (sender, seen) = watch::channel(String::new());
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                let text = String::from_utf8_lossy(piece.get(..length).unwrap_or_default()).into_owned();
                sender.send_modify(|seen| seen.push_str(&text));
            }
        });
        Self { script, keys, seen }
    }

    /// All that was shown so far.
    pub(crate) fn text(&self) -> String {
        self.seen.borrow().clone()
    }

    /// Waits until this was shown; returns all that was shown so far.
    pub(crate) async fn wait_for(&mut self, pattern: &str, deadline: impl Into<Deadline>) -> String {
        self.wait_for_times(pattern, 1, deadline).await
    }

    /// Waits until this was shown so many times.
    pub(crate) async fn wait_for_times(
        &mut self,
        pattern: &str,
        times: usize,
        deadline: impl Into<Deadline>,
    ) -> String {
        let shown = self.seen.wait_for(|seen| seen.matches(pattern).count() >= times);
        let waited = tokio::time::timeout_at(deadline.into().at(), shown).await;
        if let Ok(Ok(seen)) = &waited {
            return seen.to_string();
        }
        drop(waited);
        panic!("{pattern:?} was not shown {times} times: {}", self.text());
    }

    /// Types.
    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).expect("a terminal takes keys");
    }

    /// The process at the terminal, and what it runs: `script` is the parent of a shell that `exec` replaced.
    pub(crate) fn pid(&self) -> u32 {
        self.script.id()
    }

    /// Closes the terminal's window: whoever runs there is hung up on.
    pub(crate) fn close(mut self) {
        self.end();
    }

    /// Waits for the end of the program.
    pub(crate) async fn ended(&mut self, deadline: impl Into<Deadline>) -> ExitStatus {
        let what = format!("the program at the terminal ended; it showed:\n{}", self.text());
        eventually(deadline, &what, async || self.script.try_wait().expect("a child can be waited for")).await
    }

    fn end(&mut self) {
        // Both fail only for a child that has ended, which is what we want.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr().lock(), "--- shown at the terminal:\n{}", self.text());
        }
    }
}
