//! Asks the person at this terminal.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::sys::termios::{self, FlushArg, LocalFlags, SetArg, Termios};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use tokio::sync::mpsc;

use super::terminal;
use crate::ssh::{Form, Prompt};

/// The longest line that is taken, in bytes; the terminal itself cuts lines at four times as many.
const LONGEST: usize = 1024;

/// One who reads what is typed here, line by line.
///
/// A terminal cannot be read without waiting, so a thread does it, which may wait for ever. A line that nobody waits for any
/// more is the answer to the next question: the one who types it sees only that.
pub(super) struct Prompter {
    wanted: std::sync::mpsc::Sender<()>,
    lines: mpsc::Receiver<Option<SecretString>>,
    /// Whether the thread reads already.
    reading: bool,
}

impl Prompter {
    /// Reads nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (wanted, wishes) = std::sync::mpsc::channel();
        let (sender, lines) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("prompter".to_owned())
            .spawn(move || while wishes.recv().is_ok() && sender.blocking_send(line(&input)).is_ok() {})?;
        Ok(Self { wanted, lines, reading: false })
    }

    /// Shows the words, and asks what is to be asked. Nothing where the person ends the input instead.
    ///
    /// Dropping the future brings the terminal back to what it was.
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
        if prompt.echo {
            // What was typed before it was asked for is no answer: least of all to whether a server is trusted.
            let _ = termios::tcflush(io::stdin(), FlushArg::TCIFLUSH);
        }
        let _echo = (!prompt.echo).then(Hidden::begin);
        let mut open = OpenLine(true);
        terminal::prompt(&prompt.text);
        if !std::mem::replace(&mut self.reading, true) {
            self.wanted.send(()).ok()?;
        }
        let line = self.lines.recv().await;
        self.reading = false;
        let line = line.flatten();
        open.0 = line.is_none();
        line
    }
}

/// One line, without its end. Nothing at the end of the input.
fn line(mut input: &File) -> Option<SecretString> {
    // Never grows, and is not buffered: either would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = Zeroizing::new([0]);
    loop {
        match input.read(&mut *byte) {
            Ok(1) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => return None,
        }
        match *byte {
            [b'\n'] => return str::from_utf8(&line).ok().map(SecretString::from),
            [byte] if line.len() < LONGEST => line.push(byte),
            [_] => {}
        }
    }
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

/// What is typed is not shown, for so long.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut hidden = before.clone();
            hidden.local_flags.remove(LocalFlags::ECHO);
            // The end of the line is shown, so that what follows stands on the next.
            hidden.local_flags.insert(LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG);
            // What was typed before it was asked for is thrown away: it was seen, and meant for something else.
            let _ = termios::tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}
