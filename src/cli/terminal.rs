//! The terminal, or whatever standard error is: lines that stay, and where there is a terminal one line that changes.
//!
//! There is one standard error in a process, so there is one of these. All that is written there goes through here, or the
//! line that changes would be torn.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{LazyLock, OnceLock};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::unistd::{getpgrp, tcgetpgrp};
use tracing_subscriber::fmt::MakeWriter;

use crate::backend;
use crate::beside;
use crate::launch::KeptLog;
use crate::marks::turns_around;

/// The line that changes; none where standard error is a file or a pipe, or cannot take a line back.
static LIVE: LazyLock<Option<ProgressBar>> = LazyLock::new(|| {
    let able =
        io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    able.then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // Fails for a template that cannot be read; then the bar's own would show the message just the same.
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.with_style(style)
    })
});

/// Where all goes instead, once nobody can see standard error.
static KEPT: OnceLock<KeptLog> = OnceLock::new();

/// Writes to this log from now on, and to standard error no more.
pub(super) fn keep_in(log: KeptLog) {
    // Set once, by the one program in the background.
    drop(KEPT.set(log));
}

/// Whether there is a line that changes.
pub(super) fn is_live() -> bool {
    LIVE.is_some()
}

/// Characters that fit into the line that changes. The last column stays free, or some terminals would wrap.
pub(super) fn width() -> usize {
    usize::from(Term::stderr().size().1).saturating_sub(1).max(20)
}

/// Prints lines that stay, above the one that changes.
pub(super) fn print(text: &str) {
    write(&harmless(text));
}

fn write(text: &str) {
    match KEPT.get() {
        Some(log) => text.lines().for_each(|line| log.line(line)),
        // Nobody is left to be told of a standard error that is closed.
        // A terminal may be held back (Ctrl-S), and a pipe be full.
        None => drop(beside::the_streams(|| above(|| io::stderr().lock().write_all(text.as_bytes())))),
    }
}

/// Prints what stands before the place of an answer; the line is not ended.
pub(super) fn prompt(text: &str) {
    let lines: Vec<String> = text.split('\n').map(visible).collect();
    drop(above(|| io::stderr().lock().write_all(lines.join("\n").as_bytes())));
}

/// Whether a person sits here, who reads standard error and types standard input. Not for a job in a shell's background: it
/// would be stopped where it reads.
pub(super) fn is_attended() -> bool {
    let in_front = || tcgetpgrp(io::stdin()).is_ok_and(|front| front == getpgrp());
    io::stdin().is_terminal() && io::stderr().is_terminal() && in_front()
}

/// Whole lines of which none can move the cursor: what engines, hosts and schedulers say is shown here.
fn harmless(text: &str) -> String {
    text.lines().map(|line| visible(line) + "\n").collect()
}

/// A line without what could command the terminal or turn the text around, so that it looks like another.
pub(super) fn visible(line: &str) -> String {
    backend::visible(line).replace(turns_around, " ")
}

/// Replaces the line that changes.
pub(super) fn show(line: String) {
    if let Some(bar) = LIVE.as_ref().filter(|bar| bar.message() != line && !bar.is_finished()) {
        bar.set_message(line);
        // What is drawn rarely must not be held back as if it were drawn often.
        bar.force_draw();
    }
}

/// Takes the line that changes away.
pub(super) fn clear() {
    if let Some(bar) = LIVE.as_ref() {
        bar.finish_and_clear();
    }
}

/// Takes the line that changes away until the guard is dropped: somebody else writes a line, and has not ended it.
pub(super) fn hold() -> Held {
    clear();
    Held(())
}

/// The line that changes is away for so long.
#[must_use]
#[derive(Debug)]
pub(super) struct Held(());

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(bar) = LIVE.as_ref() {
            bar.reset();
        }
    }
}

fn above<R>(write: impl FnOnce() -> R) -> R {
    match LIVE.as_ref() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Where the log goes: each event is written at once, above the line that changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A terminal that was closed is no error: the logger would panic over it, in the task that sees to the engine's end.
        write(&harmless(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::harmless;

    #[test_case("one\ntwo", "one\ntwo\n"; "lines")]
    #[test_case("one\n", "one\n"; "a line with its end")]
    #[test_case("\u{1b}[2Ja\u{1b}]0;title\u{7}b\rc\u{8}\u{9b}5Ad", "ab c  5Ad\n"; "what would move the cursor")]
    #[test_case("a\u{80}b\u{85}c\u{9f}d", "a b c d\n"; "controls of more than seven bits")]
    #[test_case("a\u{202e}b\u{2066}c\u{200f}d\u{61c}\u{200d}e", "a b c d \u{200d}e\n"; "what would turn the text around")]
    fn nothing_moves_the_cursor(text: &str, expected: &str) {
        assert_eq!(harmless(text), expected);
    }
}
