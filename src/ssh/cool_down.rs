//! A pause after a refusal that only a person can change: sites bar whoever fails to log in too often.

use std::time::Duration;

use tokio::time::Instant;

use super::{SshError, SshLimits};

/// The last refusal, and until when it answers for the server.
#[derive(Debug, Default)]
pub(super) struct CoolDown(Option<(Instant, SshError)>);

impl CoolDown {
    /// Remembers how an attempt failed, if it is worth a pause.
    pub(super) fn failed(&mut self, error: &SshError, limits: &SshLimits) {
        let pause = pause(error, limits);
        self.0 = pause.and_then(|pause| Instant::now().checked_add(pause)).map(|until| (until, error.clone()));
    }

    /// What an attempt would be told, while there must be none.
    pub(super) fn answer(&self) -> Option<SshError> {
        self.0.as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, error)| error.clone())
    }
}

fn pause(error: &SshError, limits: &SshLimits) -> Option<Duration> {
    if error.is_authentication() {
        Some(limits.authentication_pause)
    } else if error.is_host_key() {
        Some(limits.host_key_pause)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> SshError {
        SshError::Agent { problem: "none".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_answers_for_its_time_and_no_longer() {
        let limits = SshLimits::default();
        let changed = SshError::HostKeyChanged {
            host: "h".to_owned(),
            key_type: "k".into(),
            fingerprint: "f".into(),
            file: "/f".into(),
            line: 1,
        };
        for (error, pause) in [(agent(), 30), (changed, 3)] {
            let mut cool_down = CoolDown::default();
            assert!(cool_down.answer().is_none());
            cool_down.failed(&error, &limits);
            tokio::time::advance(Duration::from_millis(pause * 1000 - 1)).await;
            assert_eq!(cool_down.answer().map(|answer| answer.to_string()), Some(error.to_string()));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(cool_down.answer().is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_work_at_once_is_tried_at_once() {
        let limits = SshLimits::default();
        let mut cool_down = CoolDown::default();
        cool_down.failed(&agent(), &limits);
        cool_down.failed(&SshError::ConnectionRefused { host: "h".to_owned(), port: 22 }, &limits);
        assert!(cool_down.answer().is_none());
    }
}
