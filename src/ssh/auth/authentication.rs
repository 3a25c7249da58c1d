//! Showing the server who we are: one method after the other, as it goes on offering them.

use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::{MethodKind, MethodSet};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::asking::Asking;
use super::interactive::Rounds;
use super::keys::Keys;
use super::passphrase::Unlocking;
use super::password::Passwords;
use crate::ssh::config::{Method, Target};
use crate::ssh::handler::{ClientHandler, Ending, LOST, SILENT, reason_words};
use crate::ssh::trust::Learned;
use crate::ssh::{Entrance, Person, SshError};
use crate::vault::Vault;

/// How long the server may take to judge what no person has a part in.
pub(super) const TRY_TIMEOUT: Duration = Duration::from_mins(1);

/// How long it may take to judge a person's answer: it may wait for a push on a telephone.
pub(super) const VERDICT_TIMEOUT: Duration = Duration::from_mins(2);

/// How long the reason for a connection's end may lag behind the end.
const ENDING_LAG: Duration = Duration::from_secs(1);

/// A connection that has shaken hands, and whom it is to be authenticated for.
pub(in crate::ssh) struct Authentication<'a> {
    pub(in crate::ssh) handle: &'a mut Handle<ClientHandler>,
    pub(in crate::ssh) target: &'a Target,
    pub(in crate::ssh) ending: watch::Receiver<Ending>,
    pub(in crate::ssh) tasks: &'a TaskTracker,
    /// Who is asked for passphrases, passwords and codes.
    pub(in crate::ssh) person: &'a Person,
    /// What the user asked to be kept.
    pub(in crate::ssh) vault: &'a Vault,
    /// Which servers were trusted without a question.
    pub(in crate::ssh) learned: &'a Learned,
    /// What the server says to everybody before it lets them in.
    pub(in crate::ssh) banners: mpsc::Receiver<String>,
}

/// The server let us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Authenticated {
    /// Whether a person had to do something for it, and would have to again.
    pub(in crate::ssh) by_person: bool,
    /// What it asked for, and what was right.
    pub(in crate::ssh) entrance: Entrance,
}

impl Authentication<'_> {
    /// Goes through the methods until the server lets us in. It never begins anew: sites bar those who fail often.
    ///
    /// # Errors
    /// It does not, or ends the connection, or asks for what only a person has where nobody is.
    pub(in crate::ssh) async fn run(self) -> Result<Authenticated, SshError> {
        let Self { handle, target, ending, tasks, person, vault, learned, banners } = self;
        let mut login = Login {
            handle,
            target,
            ending,
            tasks,
            vault,
            learned,
            asking: Asking::new(person, target, banners),
            unlocking: Unlocking::new(vault, tasks),
            keys: None,
            rounds: Rounds::default(),
            passwords: Passwords::default(),
            offers: MethodSet::empty(),
            spent: Vec::new(),
            showing: None,
            secret_given: false,
            tried: Vec::new(),
            taken: Vec::new(),
        };
        let result = login.run().await;
        login.asking.pass_banners_on().await;
        result.map(|()| Authenticated { by_person: login.asking.by_person, entrance: login.entrance() })
    }
}

/// An authentication under way.
pub(super) struct Login<'a> {
    pub(super) handle: &'a mut Handle<ClientHandler>,
    pub(super) target: &'a Target,
    ending: watch::Receiver<Ending>,
    pub(super) tasks: &'a TaskTracker,
    pub(super) vault: &'a Vault,
    pub(super) learned: &'a Learned,
    pub(super) asking: Asking<'a>,
    pub(super) unlocking: Unlocking<'a>,
    /// The keys that we have, once the server has asked for any.
    pub(super) keys: Option<Keys>,
    pub(super) rounds: Rounds,
    pub(super) passwords: Passwords,
    /// What the server offers now.
    pub(super) offers: MethodSet,
    /// The methods that we have no more of.
    spent: Vec<Method>,
    /// What was shown last.
    pub(super) showing: Option<String>,
    /// Whether that was, or came with, what only a person or the keyring knows.
    pub(super) secret_given: bool,
    /// What was refused, in order.
    pub(super) tried: Vec<String>,
    /// What was right, and not enough.
    pub(super) taken: Vec<String>,
}

impl Login<'_> {
    async fn run(&mut self) -> Result<(), SshError> {
        // This is how the server says what it offers, and is no failed try.
        let asked = timeout(TRY_TIMEOUT, self.handle.authenticate_none(self.target.user.clone())).await;
        let mut heard = match asked {
            Ok(answer) => self.heard(answer).await?,
            Err(_) => return Err(self.too_late()),
        };
        loop {
            match heard {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, partial_success } => {
                    self.offers = remaining_methods;
                    let shown = self.showing.take();
                    if partial_success {
                        self.begin_anew(shown);
                    } else {
                        self.tried.extend(shown);
                    }
                }
            }
            heard = match self.next().await? {
                Some(next) => next,
                None => return Err(self.failure()),
            };
        }
    }

    /// What let us in: all that was right before, and what was shown last.
    fn entrance(&self) -> Entrance {
        let offered = self.offers.iter().map(String::from).collect();
        Entrance { offered, by: self.taken.iter().chain(&self.showing).cloned().collect() }
    }

    /// One try of the first method that the user prefers, the server offers, and we have something for.
    async fn next(&mut self) -> Result<Option<AuthResult>, SshError> {
        let target = self.target;
        loop {
            let fits = |method: &&Method| self.offers.contains(&kind(**method)) && !self.spent.contains(method);
            let Some(&method) = target.methods.iter().find(fits) else { return Ok(None) };
            let heard = match method {
                Method::PublicKey => self.show_a_key().await?,
                Method::KeyboardInteractive => self.answer_questions().await?,
                Method::Password => self.give_a_password().await?,
            };
            match heard {
                Some(heard) => return Ok(Some(heard)),
                None => self.spent.push(method),
            }
        }
    }

    /// What was shown was right, and the server wants more: all methods count again, but no key is shown twice.
    fn begin_anew(&mut self, taken: Option<String>) {
        tracing::debug!(host = %self.target.host, offers = ?self.offers, "the server wants more");
        self.taken.extend(taken);
        self.secret_given = false;
        self.spent.clear();
        self.rounds = Rounds::default();
        self.passwords.begin_anew();
        self.asking.forget_wants();
    }

    /// Whether a person may be asked for a password or a code. Merely beginning to may send a message to a telephone.
    pub(super) fn may_ask(&self) -> bool {
        self.asking.may_ask()
    }

    /// What the server said; russh says the same where the connection died.
    ///
    /// # Errors
    /// The connection ended.
    pub(super) async fn heard(&mut self, answer: Result<AuthResult, russh::Error>) -> Result<AuthResult, SshError> {
        let heard = match answer {
            Ok(AuthResult::Failure { remaining_methods, partial_success }) if remaining_methods.is_empty() => {
                let failure = AuthResult::Failure { remaining_methods, partial_success };
                self.cut_off().await.map_or(Ok(failure), Err)
            }
            Ok(heard) => Ok(heard),
            Err(_) => Err(self.ended().await),
        };
        self.asking.just_answered = false;
        heard
    }

    /// Why the connection ended, if it did.
    pub(super) async fn cut_off(&mut self) -> Option<SshError> {
        let wait = self.ending.wait_for(Option::is_some);
        let ended = timeout(ENDING_LAG, wait).await.map(|ended| ended.map(|reason| reason.clone()));
        let reason = match ended {
            Ok(Ok(reason)) => reason?,
            Ok(Err(_)) => self.lost(),
            Err(_) if self.handle.is_closed() => self.lost(),
            Err(_) => return None,
        };
        match reason {
            // Our side ends a connection whose server offers nothing more that has a name for us.
            SshError::Disconnected { reason, .. } if reason == reason_words(&russh::Error::NoAuthMethod) => None,
            SshError::Disconnected { reason, by_server: true, .. } => Some(self.cut_off_with(reason)),
            SshError::Disconnected { reason, .. } => Some(self.ended_without_a_word(reason)),
            other => Some(other),
        }
    }

    /// Why the connection ended, where it must have.
    pub(super) async fn ended(&mut self) -> SshError {
        match self.cut_off().await {
            Some(error) => error,
            None => self.ended_without_a_word(LOST.to_owned()),
        }
    }

    /// What it means that the connection ended, and the server did not say why. One that has had enough often hangs up like
    /// that, and whoever shows it the same again and again is barred: after a refusal, or a secret, the end stands until a
    /// person acts. A key that was not refused was no failure, and a link may die at any moment (a VPN that begins anew, or a
    /// gateway that has forgotten us, ends a connection just as a server does): that is tried again, a few times.
    fn ended_without_a_word(&self, reason: String) -> SshError {
        if self.asking.just_answered {
            let limits = "many servers wait 2 minutes, and many hang up after too many failures";
            self.cut_off_with(format!("{reason} while it waited for an answer; {limits}"))
        } else if self.may_count_as_a_failure() {
            self.cut_off_with(format!("{reason}; many servers hang up after too many failures"))
        } else if self.showing.is_some() || !self.taken.is_empty() {
            self.interrupted(reason)
        } else {
            SshError::Disconnected { host: self.target.called(), reason, by_server: false }
        }
    }

    /// Whether a server that says nothing may hold against us what it was shown last, or what it refused before.
    fn may_count_as_a_failure(&self) -> bool {
        self.secret_given || !self.tried.is_empty()
    }

    fn shown(&self) -> Vec<String> {
        self.tried.iter().chain(&self.showing).cloned().collect()
    }

    fn cut_off_with(&self, words: String) -> SshError {
        SshError::AuthenticationCutOff { host: self.target.called(), words, tried: self.shown() }
    }

    fn interrupted(&self, words: String) -> SshError {
        SshError::LoginInterrupted { host: self.target.called(), words, tried: self.shown() }
    }

    pub(super) fn lost(&self) -> SshError {
        SshError::Disconnected { host: self.target.called(), reason: LOST.to_owned(), by_server: false }
    }

    /// The server is silent, though nobody had to do anything.
    pub(super) fn too_late(&self) -> SshError {
        if self.may_count_as_a_failure() {
            self.no_verdict(TRY_TIMEOUT)
        } else if self.showing.is_some() {
            self.interrupted(SILENT.to_owned())
        } else {
            SshError::HandshakeTimedOut { host: self.target.called(), after: TRY_TIMEOUT, greeted: true }
        }
    }

    /// The server did not judge for so long what it was shown.
    pub(super) fn no_verdict(&self, after: Duration) -> SshError {
        SshError::NoVerdict { user: self.target.user.clone(), host: self.target.called(), after }
    }
}

fn kind(method: Method) -> MethodKind {
    match method {
        Method::PublicKey => MethodKind::PublicKey,
        Method::KeyboardInteractive => MethodKind::KeyboardInteractive,
        Method::Password => MethodKind::Password,
    }
}
