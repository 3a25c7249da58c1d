//! Asks the person at this terminal.

use std::io;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::SecretString;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::timeout;

use super::prompt_mode::PromptMode;
use super::terminal;
use super::typing::{LONGEST, Typed, Typing};
use crate::ssh::{Form, Prompt};

/// How soon a program that suspends itself is stopped; one that nobody could resume never is.
const STOPPED_WITHIN: Duration = Duration::from_millis(500);

/// One who reads what is typed here, line by line. Nothing that was typed before a prompt is shown is an answer to it: it was
/// meant for another, or for none.
pub(super) struct Prompter {
    resumed: unix::Signal,
}

impl Prompter {
    /// Reads nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { resumed: signal(SignalKind::from_raw(Signal::SIGCONT as i32))? })
    }

    /// Shows the words, and asks what is to be asked. Nothing where the person ends the input instead.
    ///
    /// Dropping the future brings the terminal back to what it was, and throws away what was typed so far.
    pub(super) async fn ask(&mut self, form: &Form) -> Option<Vec<SecretString>> {
        let _quiet = terminal::hold();
        if !form.words.is_empty() {
            terminal::print(&form.words);
        }
        let mut answers = Vec::new();
        for prompt in &form.prompts {
            answers.push(self.one(prompt).await?);
        }
        Some(answers)
    }

    async fn one(&mut self, prompt: &Prompt) -> Option<SecretString> {
        loop {
            let mut mode = PromptMode::begin(prompt.echo);
            let mut open = OpenLine(true);
            terminal::prompt(&prompt.text);
            let mut typing = Typing::begin(std::mem::take(&mut mode.keys)).ok()?;
            let typed = tokio::select! {
                typed = typing.typed() => Some(typed),
                // Suspended by another way than ours; whoever had the terminal meanwhile may have changed its mode.
                _ = self.resumed.recv() => None,
            };
            open.0 = !matches!(typed, Some(Typed::Line(_) | Typed::TooLong | Typed::NotText));
            drop((typing, open, mode));
            match typed {
                Some(Typed::Line(line)) => return Some(line),
                Some(Typed::TooLong) => refuse(&format!("is longer than {LONGEST} bytes")),
                Some(Typed::NotText) => refuse("is not UTF-8"),
                Some(Typed::Key(signal)) => self.send(signal).await,
                Some(Typed::Ended) => return None,
                None => {}
            }
        }
    }

    /// Sends what the terminal would send, to all that it would, and returns when they go on.
    async fn send(&mut self, signal: Signal) {
        if kill(Pid::from_raw(0), signal).is_ok() {
            drop(timeout(STOPPED_WITHIN, self.resumed.recv()).await);
        }
    }
}

fn refuse(why: &str) {
    terminal::print(&format!("that line {why}: nothing of it was taken"));
}

/// A line that nobody ends is ended, so that what follows stands on the next.
struct OpenLine(bool);

impl Drop for OpenLine {
    fn drop(&mut self) {
        if self.0 {
            terminal::prompt("\n");
        }
    }
}
