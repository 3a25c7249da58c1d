//! One line, as it is typed at this terminal.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::AsFd;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use tokio::sync::oneshot;

/// The longest line that is taken, in bytes: as long as an answer may be.
pub(super) const LONGEST: usize = 1024;

/// What a terminal hands over at once at most: a whole line. So none is ever taken in halves, of which one is left behind.
const WHOLE_LINE: usize = 4096;

/// What came of it.
#[derive(Debug)]
pub(super) enum Typed {
    /// The line, without its end.
    Line(SecretString),
    /// It was longer than [`LONGEST`].
    TooLong,
    /// It was not UTF-8.
    NotText,
    /// A character by which a person sends the program a signal.
    Key(Signal),
    /// The input has ended.
    Ended,
}

/// A line that is waited for.
///
/// A terminal cannot be read without waiting, so a thread does it. Dropping this ends the thread: it takes nothing that is
/// typed afterwards, and what it took before is thrown away.
pub(super) struct Typing {
    typed: oneshot::Receiver<Typed>,
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Typing {
    /// Waits for a line from now on; `keys` are characters that end the waiting, too.
    pub(super) fn begin(keys: Vec<(u8, Signal)>) -> io::Result<Self> {
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (stopped, stop) = io::pipe()?;
        let (sender, typed) = oneshot::channel();
        let thread = std::thread::Builder::new().name("typing".to_owned()).spawn(move || {
            drop(sender.send(read(&input, &stopped, &keys)));
        })?;
        Ok(Self { typed, stop: Some(stop), thread: Some(thread) })
    }

    /// What is typed.
    pub(super) async fn typed(&mut self) -> Typed {
        (&mut self.typed).await.unwrap_or(Typed::Ended)
    }
}

impl Drop for Typing {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn read(mut input: &File, stopped: &PipeReader, keys: &[(u8, Signal)]) -> Typed {
    // Neither grows: that would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut piece = Zeroizing::new([0; WHOLE_LINE]);
    let mut too_long = false;
    loop {
        let mut both = [PollFd::new(input.as_fd(), PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        match poll(&mut both, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return Typed::Ended,
            Ok(_) => {}
        }
        let [_, stopped] = both;
        if stopped.any() != Some(false) {
            return Typed::Ended;
        }
        let length = match input.read(&mut *piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => return Typed::Ended,
            Ok(length) => length,
        };
        for byte in piece.get(..length).unwrap_or_default() {
            if let Some((_, signal)) = keys.iter().find(|(key, _)| key == byte) {
                return Typed::Key(*signal);
            }
            match *byte {
                b'\n' if too_long => return Typed::TooLong,
                b'\n' => return str::from_utf8(&line).map_or(Typed::NotText, |line| Typed::Line(line.into())),
                byte if line.len() < LONGEST => line.push(byte),
                _ => too_long = true,
            }
        }
    }
}
