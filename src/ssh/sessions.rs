//! Whether a connection has room for one more command: servers allow some sessions on each (OpenSSH's `MaxSessions`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sessions of one connection, as far as we know. Streams need none.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Whether the server ever gave us one; where it never did, another connection gets none either.
    ever: bool,
    /// How many of ours run.
    running: usize,
    room: Room,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Room {
    /// Nothing is known to the contrary.
    #[default]
    Free,
    /// There is none until one of ours ends.
    Full,
    /// There is none, and none of ours runs: what we left there still does, and nothing tells when it ends.
    Stuck,
}

impl Sessions {
    /// Counts a session that the server opened, until it is dropped.
    pub(super) fn opened(&self) -> OpenSession {
        let mut known = self.known();
        known.ever = true;
        known.running += 1;
        OpenSession { sessions: self.clone(), left_behind: false }
    }

    /// Remembers that the server opened no more.
    pub(super) fn refused(&self) {
        let mut known = self.known();
        known.room = if known.running > 0 { Room::Full } else { Room::Stuck };
    }

    /// Whether the server ever opened one.
    pub(super) fn were_ever_opened(&self) -> bool {
        self.known().ever
    }

    /// Whether one more may be asked for.
    pub(super) fn have_room(&self) -> bool {
        self.known().room == Room::Free
    }

    /// Whether waiting for the end of one of ours is of no use.
    pub(super) fn are_stuck(&self) -> bool {
        self.known().room == Room::Stuck
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session that is open.
#[derive(Debug)]
pub(super) struct OpenSession {
    sessions: Sessions,
    left_behind: bool,
}

impl OpenSession {
    /// We close it while its command may go on, and the server counts it until that ends.
    pub(super) fn leave_behind(mut self) {
        self.left_behind = true;
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let mut known = self.sessions.known();
        known.running = known.running.saturating_sub(1);
        known.room = match known.room {
            Room::Full if !self.left_behind => Room::Free,
            Room::Full if known.running == 0 => Room::Stuck,
            same => same,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_forgotten_when_one_ends_and_stuck_is_not() {
        let sessions = Sessions::default();
        assert!(sessions.have_room() && !sessions.were_ever_opened());
        let one = sessions.opened();
        let other = sessions.opened();
        sessions.refused();
        assert!(!sessions.have_room() && !sessions.are_stuck());
        drop(one);
        assert!(sessions.have_room());
        drop(other);
        assert!(sessions.were_ever_opened());
        sessions.refused();
        assert!(!sessions.have_room() && sessions.are_stuck());
        drop(sessions.opened());
        assert!(sessions.are_stuck());
    }

    #[test]
    fn one_that_is_left_behind_makes_no_room() {
        let sessions = Sessions::default();
        let (one, other) = (sessions.opened(), sessions.opened());
        sessions.refused();
        one.leave_behind();
        assert!(!sessions.have_room() && !sessions.are_stuck());
        other.leave_behind();
        assert!(sessions.are_stuck());
    }
}
