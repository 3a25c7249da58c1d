//! Asking the person, and what follows from an answer or from none.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::ssh::config::Target;
use crate::ssh::words::{paragraph, printable, readable};
use crate::ssh::{Form, Person, Prompt, SshError};

/// How long a person may take for one answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);

/// How long it may take until words that want no answer are shown.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);

/// The person, as one authentication sees them.
pub(super) struct Asking<'a> {
    person: &'a Person,
    target: &'a Target,
    /// What the server says to everybody before it lets them in.
    banners: mpsc::Receiver<String>,
    /// Whether anything was answered that could not be answered again without the person.
    pub(super) by_person: bool,
    /// Whether the person's answer was the last thing that happened, so that a lost connection may be the price of thinking.
    pub(super) just_answered: bool,
    /// What only a person could have gone on with.
    wanted: Vec<String>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(person: &'a Person, target: &'a Target, banners: mpsc::Receiver<String>) -> Self {
        Self { person, target, banners, by_person: false, just_answered: false, wanted: Vec::new() }
    }

    /// Whether anybody may be asked anything.
    pub(super) fn may_ask(&self) -> bool {
        !self.target.batch && self.person.is_there()
    }

    /// Whether right secrets are to be kept.
    pub(super) fn wants_it_remembered(&self) -> bool {
        self.person.wants_it_remembered()
    }

    /// Notes what only a person could go on with.
    pub(super) fn want(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.wanted.contains(&what) {
            self.wanted.push(what);
        }
    }

    /// The server wants something else now.
    pub(super) fn forget_wants(&mut self) {
        self.wanted.clear();
    }

    /// That a person is needed, if one is.
    pub(super) fn person_needed(&self, tried: &[String]) -> Option<SshError> {
        (!self.wanted.is_empty()).then(|| self.needed(self.wanted.join(" or "), tried))
    }

    /// `me@host`, as prompts name it.
    pub(super) fn account(&self) -> String {
        let host = self.target.host_key_alias.as_ref().unwrap_or(&self.target.host);
        readable(&format!("{}@{host}", self.target.user))
    }

    /// The answers to a form's prompts.
    ///
    /// # Errors
    /// The person does not answer; `what` says what was asked for.
    pub(super) async fn ask(&mut self, form: Form, what: &str) -> Result<Vec<SecretString>, SshError> {
        self.pass_banners_on().await;
        let answers = timeout(ANSWER_TIMEOUT, self.person.ask(form)).await.ok().flatten();
        self.just_answered = true;
        answers.ok_or_else(|| self.needed(what.to_owned(), &[]))
    }

    /// The answer to one prompt that is not shown while it is typed.
    ///
    /// # Errors
    /// The person does not answer; `what` says what was asked for.
    pub(super) async fn ask_secret(&mut self, words: &str, text: String, what: &str) -> Result<SecretString, SshError> {
        let form = Form { words: words.to_owned(), prompts: vec![Prompt { text, echo: false }] };
        let answer = self.ask(form, what).await?.into_iter().next();
        answer.ok_or_else(|| self.needed(what.to_owned(), &[]))
    }

    /// Shows words to the person, if there is one.
    pub(super) async fn tell(&mut self, words: String) {
        self.pass_banners_on().await;
        self.show(words).await;
    }

    /// Shows what the server said to everybody, or writes it into the log.
    pub(super) async fn pass_banners_on(&mut self) {
        while let Ok(banner) = self.banners.try_recv() {
            if self.may_ask() {
                self.show(paragraph(&banner)).await;
            } else {
                let banner = printable(&banner);
                tracing::info!(host = %self.target.host, banner, "the server greets");
            }
        }
    }

    async fn show(&self, words: String) {
        if self.may_ask() && !words.is_empty() {
            // It is only to be read: that nobody does is no fault.
            let _ = timeout(TELL_TIMEOUT, self.person.ask(Form { words, prompts: Vec::new() })).await;
        }
    }

    fn needed(&self, what: String, tried: &[String]) -> SshError {
        SshError::PersonNeeded {
            user: self.target.user.clone(),
            host: self.target.called(),
            what,
            tried: tried.to_vec(),
        }
    }
}
