//! What keeps us from asking a server too often.
//!
//! A login that was refused is not tried again until a person acts: sites bar whoever fails to log in too often, and only a
//! person can change anything about it. Whatever else failed may be tried again after a pause: a hundred requests to a dead
//! host are answered by one attempt, not by a hundred in a row. A network that changed shortens a pause that the network was
//! the cause of, and no other.

use std::time::Duration;

use tokio::time::Instant;

use super::{CommandFault, SshError, SshLimits};

/// The first pause after a failure that may pass by itself.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How many logins in a row may break off while the server looks at a key: a link may die at that moment, but some servers,
/// and the filters in front of them, just hang up on whoever they have had enough of. Most bar at five.
const MOST_INTERRUPTED: u32 = 3;

/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often in a row a command of the user's may fail without a cause that may pass: each time may be a login that some
/// other server refused.
const MOST_UNEXPLAINED: u32 = 3;

/// How the last attempt failed, and until when that answers for the server.
#[derive(Debug, Default)]
pub(super) struct CoolDown {
    last: Option<(SshError, Until)>,
    /// How many attempts in a row failed for a cause that may pass.
    failures: u32,
    /// How many of them, since the last connection, for none that is known.
    unexplained: u32,
    /// How many logins in a row broke off while the server looked at a key.
    interrupted: u32,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    /// A person mends it.
    PersonActs,
    /// A pause is over, the shortest one earlier.
    Moment { least: Instant, whole: Instant },
}

impl CoolDown {
    /// Remembers how an attempt failed, and returns what those who waited for it are told.
    pub(super) fn failed(&mut self, error: &SshError, limits: &SshLimits) -> SshError {
        let mut error = error.clone();
        if let SshError::LoginInterrupted { .. } = error.root() {
            self.interrupted = self.interrupted.saturating_add(1);
            if self.interrupted >= MOST_INTERRUPTED {
                error = cut_off(error);
            }
        }
        let until = if error.is_authentication() {
            Some(Until::PersonActs)
        } else if error.is_host_key() {
            // It never came to an attempt to log in, so looking again costs nothing.
            after(limits.host_key_pause, limits.host_key_pause)
        } else {
            self.failures = self.failures.saturating_add(1);
            self.unexplained += u32::from(is_unexplained(&error));
            if self.unexplained >= MOST_UNEXPLAINED {
                Some(Until::PersonActs)
            } else {
                let chance = chance();
                after(pause(1, chance), pause(self.failures, chance))
            }
        };
        self.last = until.map(|until| (error.clone(), until));
        match self.answer() {
            Some(still) if still.needs_person() && !error.needs_person() => still,
            Some(_) | None => error,
        }
    }

    /// What an attempt would be told, while there must be none.
    pub(super) fn answer(&self) -> Option<SshError> {
        let (error, until) = self.last.as_ref()?;
        match until {
            Until::PersonActs => Some(SshError::StillRefused { refusal: Box::new(error.clone()) }),
            Until::Moment { whole, .. } => (Instant::now() < *whole).then(|| error.clone()),
        }
    }

    /// Whether only a person can make another connection.
    pub(super) fn needs_a_person(&self) -> bool {
        matches!(self.last, Some((_, Until::PersonActs)))
    }

    /// A connection stands. Whether it is good for anything is still to be seen: some servers let everybody in, and end it
    /// then.
    pub(super) fn connected(&mut self) {
        self.last = None;
        (self.unexplained, self.interrupted) = (0, 0);
    }

    /// A connection was of use.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }

    /// Forgets all: a person acts.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The network is another: what failed for want of one may be tried again once the first pause is over, however often it
    /// failed. What a server said still stands, so does a login that was refused, and those that broke off still count.
    pub(super) fn forget_what_may_pass(&mut self) {
        match &mut self.last {
            Some((error, _)) if is_from_a_server(error) => return,
            Some((_, Until::Moment { least, whole })) => *whole = (*whole).min(*least),
            Some((_, Until::PersonActs)) => return,
            None => {}
        }
        self.failures = 0;
    }
}

/// Whether it was somebody who would not have us, and not the way there.
fn is_from_a_server(error: &SshError) -> bool {
    error.needs_person()
        || matches!(error.root(), SshError::TurnedAway { .. } | SshError::Disconnected { by_server: true, .. })
}

fn is_unexplained(error: &SshError) -> bool {
    matches!(error.root(), SshError::ProxyCommandFailed { fault: CommandFault::Unexplained, .. })
}

/// What a login that broke off once too often comes to.
fn cut_off(error: SshError) -> SshError {
    match error {
        SshError::Through { hop, error } => SshError::Through { hop, error: Box::new(cut_off(*error)) },
        SshError::LoginInterrupted { host, words, tried } => {
            SshError::AuthenticationCutOff { host, words: format!("{words}, {MOST_INTERRUPTED} times in a row"), tried }
        }
        other => other,
    }
}

fn after(least: Duration, whole: Duration) -> Option<Until> {
    let now = Instant::now();
    Some(Until::Moment { least: now.checked_add(least)?, whole: now.checked_add(whole)? })
}

/// The pause after so many failures: twice as long each time, and not the same for all, so that those who lost the same
/// server do not come back together. `chance` is between 0 and 255.
fn pause(failures: u32, chance: u8) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    // From three quarters to all of it.
    doubled.min(LONGEST_PAUSE) * (768 + u32::from(chance)) / 1024
}

fn chance() -> u8 {
    let mut byte = [u8::MAX];
    // Without chance the pause is the longest.
    let _ = getrandom::fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use super::*;

    fn refused_login() -> SshError {
        SshError::Agent { problem: "none".to_owned() }
    }

    fn nothing_listens() -> SshError {
        SshError::ConnectionRefused { host: "h".to_owned(), port: 22 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_stands_until_a_person_acts() {
        let mut cool_down = CoolDown::default();
        cool_down.failed(&refused_login(), &SshLimits::default());
        tokio::time::advance(Duration::from_hours(24)).await;
        cool_down.forget_what_may_pass();
        let answer = cool_down.answer().unwrap();
        assert!(cool_down.needs_a_person() && answer.is_authentication() && !answer.is_transient());
        assert!(answer.to_string().starts_with(&refused_login().to_string()), "{answer}");
        assert!(answer.remedy().unwrap().ends_with("then run `llm-proxy login`"), "{:?}", answer.remedy());
        cool_down.forget();
        assert!(cool_down.answer().is_none() && !cool_down.needs_a_person());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_answers_for_its_time_and_no_longer() {
        let mut cool_down = CoolDown::default();
        let changed = SshError::HostKeyChanged {
            host: "h".to_owned(),
            key_type: "k".into(),
            fingerprint: "f".into(),
            file: "/f".into(),
            line: 1,
            besides: Box::default(),
        };
        cool_down.failed(&changed, &SshLimits::default());
        tokio::time::advance(Duration::from_millis(2999)).await;
        assert_eq!(cool_down.answer().map(|answer| answer.to_string()), Some(changed.to_string()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(cool_down.answer().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_breaks_off_is_tried_again_but_not_for_ever() {
        let mut cool_down = CoolDown::default();
        let broken = |hop: bool| {
            let (host, words, tried) = ("h".to_owned(), "silence".to_owned(), vec!["a key".to_owned()]);
            let error = SshError::LoginInterrupted { host, words, tried };
            if hop { SshError::Through { hop: "gate".to_owned(), error: Box::new(error) } } else { error }
        };
        for again in 1..=2 {
            cool_down.failed(&broken(false), &SshLimits::default());
            assert!(cool_down.answer().is_some_and(|answer| answer.is_transient()), "{again}");
            // A network that is back is no reason to count anew.
            cool_down.forget_what_may_pass();
            tokio::time::advance(FIRST_PAUSE).await;
            assert!(cool_down.answer().is_none(), "{again}");
        }
        cool_down.connected();
        for (again, stands) in [(1, false), (2, false), (3, true)] {
            cool_down.failed(&broken(true), &SshLimits::default());
            tokio::time::advance(Duration::from_hours(1)).await;
            assert_eq!(cool_down.needs_a_person(), stands, "{again}");
        }
        let answer = cool_down.answer().unwrap();
        assert!(answer.is_authentication() && !answer.is_transient(), "{answer}");
        let words =
            "through gate: h ended the connection during authentication: silence, 3 times in a row; tried a key (";
        assert!(answer.to_string().starts_with(words), "{answer}");
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_not_all_the_same() {
        let whole = |failures| pause(failures, u8::MAX).as_millis();
        assert_eq!([1, 2, 3, 5, 6, 40, u32::MAX].map(whole), [199, 399, 799, 3196, 4995, 4995, 4995]);
        assert_eq!(pause(1, 0), Duration::from_millis(150));
        assert_eq!(pause(u32::MAX, 0), Duration::from_millis(3750));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_asked_again_after_a_pause_that_grows() {
        let limits = SshLimits::default();
        let mut cool_down = CoolDown::default();
        cool_down.failed(&nothing_listens(), &limits);
        assert!(cool_down.answer().is_some_and(|answer| answer.is_transient()));
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(cool_down.answer().is_none());
        for _ in 0..10 {
            cool_down.failed(&nothing_listens(), &limits);
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(cool_down.answer().is_some());
        // A network that is back begins anew.
        cool_down.forget_what_may_pass();
        assert!(cool_down.answer().is_none());
        cool_down.failed(&nothing_listens(), &limits);
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(cool_down.answer().is_none());
        // So does a connection, if it was of use.
        for (of_use, failures) in [(false, 2), (true, 1)] {
            cool_down.connected();
            if of_use {
                cool_down.worked();
            }
            cool_down.failed(&nothing_listens(), &limits);
            assert_eq!(cool_down.failures, failures);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_network_ends_no_first_pause_and_nothing_that_a_server_said() {
        let limits = SshLimits::default();
        let mut cool_down = CoolDown::default();
        for _ in 0..10 {
            cool_down.failed(&nothing_listens(), &limits);
            cool_down.forget_what_may_pass();
            assert!(cool_down.answer().is_some());
            tokio::time::advance(FIRST_PAUSE).await;
            assert!(cool_down.answer().is_none());
        }
        let host = || "h".to_owned();
        let turned_away = SshError::TurnedAway { host: host(), words: String::new() };
        let thrown_out = SshError::Disconnected { host: host(), reason: "too many".to_owned(), by_server: true };
        let at_the_hop = SshError::Through { hop: host(), error: Box::new(turned_away.clone()) };
        for refusal in [turned_away, thrown_out, at_the_hop] {
            let mut cool_down = CoolDown::default();
            for _ in 0..10 {
                cool_down.failed(&refusal, &limits);
            }
            cool_down.forget_what_may_pass();
            tokio::time::advance(Duration::from_secs(3)).await;
            assert_eq!(cool_down.answer().map(|answer| answer.to_string()), Some(refusal.to_string()));
            assert_eq!(cool_down.failures, 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_fails_unexplained_stands_the_third_time_until_a_person_acts() {
        let limits = SshLimits::default();
        let fails = |fault| SshError::ProxyCommandFailed { host: "h".to_owned(), words: "w".to_owned(), fault };
        let mut cool_down = CoolDown::default();
        for _ in 0..9 {
            let told = cool_down.failed(&fails(CommandFault::Passing), &limits);
            assert!(told.is_transient() && !told.needs_person());
        }
        for begin in [CoolDown::connected, CoolDown::forget] {
            for last in [false, false, true] {
                assert!(!cool_down.needs_a_person());
                let told = cool_down.failed(&fails(CommandFault::Unexplained), &limits);
                assert_eq!((told.needs_person(), told.is_transient()), (last, !last), "{told:?}");
            }
            // Behind a command nobody knows which network leads there, and each may be another that is tried three times.
            cool_down.forget_what_may_pass();
            assert!(cool_down.needs_a_person() && cool_down.answer().is_some());
            begin(&mut cool_down);
            assert!(cool_down.answer().is_none());
        }
    }
}
