//! Ctrl-C, TERM and HUP, typed, and counted: the first asks, the second hurries, the third leaves.

use std::fs::File;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// The signals that end the program.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Told of a HUP that does not come from a terminal that is gone, where somebody reloads then.
    reload: Option<Arc<Notify>>,
    had_terminal: bool,
}

impl Signals {
    /// Takes the signals over.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            // A closed terminal window must not leave a GPU to its lease.
            hangup: signal(SignalKind::hangup())?,
            reload: None,
            had_terminal: has_terminal(),
        })
    }

    /// From now on a HUP only tells that files are to be read again, unless the terminal is gone.
    pub(super) fn reload_on_hangup(&mut self) -> Arc<Notify> {
        Arc::clone(self.reload.get_or_insert_default())
    }

    /// Returns when the next one comes that ends the program.
    pub(super) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => match &self.reload {
                    Some(reload) if !self.had_terminal || has_terminal() => reload.notify_one(),
                    Some(_) | None => return,
                },
            }
        }
    }
}

fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}
