//! The terminal's mode while a person is asked.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::termios::{
    self, _POSIX_VDISABLE, FlushArg, LocalFlags, SetArg, SpecialCharacterIndices as Character, Termios,
};

/// How long a key may take from the terminal to us. Nobody answers a prompt sooner.
const ON_THE_WAY: Duration = Duration::from_millis(10);

/// The terminal takes whole lines, shown or not, for so long; then it is as it was before. What was typed too early or too
/// late is thrown away: it was meant for something else.
pub(super) struct PromptMode {
    before: Option<Termios>,
    /// The characters by which a person suspends a program, or ends it where nothing else does. They end the line instead, so
    /// that the terminal is given back first.
    pub(super) keys: Vec<(u8, Signal)>,
}

impl PromptMode {
    /// Changes it.
    pub(super) fn begin(echo: bool) -> Self {
        let before = termios::tcgetattr(io::stdin()).ok();
        let mut keys = Vec::new();
        if let Some(before) = &before {
            let mut mode = before.clone();
            mode.local_flags.insert(LocalFlags::ICANON | LocalFlags::ISIG);
            if !echo {
                mode.local_flags.remove(LocalFlags::ECHO);
                // The end of the line is shown, so that what follows stands on the next.
                mode.local_flags.insert(LocalFlags::ECHONL);
            }
            for (from, to, signal) in [
                (Character::VSUSP, Character::VEOL, Signal::SIGTSTP),
                (Character::VQUIT, Character::VEOL2, Signal::SIGQUIT),
            ] {
                let key = put(&mut mode, from, _POSIX_VDISABLE).filter(|key| *key != _POSIX_VDISABLE);
                put(&mut mode, to, key.unwrap_or(_POSIX_VDISABLE));
                keys.extend(key.map(|key| (key, signal)));
            }
            set(&mode);
        }
        Self { before, keys }
    }
}

impl Drop for PromptMode {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            set(before);
        }
    }
}

fn set(mode: &Termios) {
    // A person may suspend us while we wait for leave to do it.
    while termios::tcsetattr(io::stdin(), SetArg::TCSANOW, mode) == Err(Errno::EINTR) {}
    // What was typed a moment ago may still be on its way through the system, where nothing can throw it away.
    std::thread::sleep(ON_THE_WAY);
    let _ = termios::tcflush(io::stdin(), FlushArg::TCIFLUSH);
}

/// Replaces a special character.
fn put(mode: &mut Termios, which: Character, character: u8) -> Option<u8> {
    mode.control_chars.get_mut(which as usize).map(|place| std::mem::replace(place, character))
}
