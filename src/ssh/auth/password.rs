//! Passwords: what the keyring keeps, and then what the person types.

use russh::client::AuthResult;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::authentication::{Login, VERDICT_TIMEOUT};
use super::remembered::{self, OnTrial};
use crate::ssh::SshError;

/// What is asked for, for whoever is told that nobody answered.
const WHAT: &str = "a password";

/// How often a password was given.
#[derive(Debug, Default)]
pub(super) struct Passwords {
    typed: usize,
    /// Whether the keyring's was tried.
    recalled: bool,
}

impl Passwords {
    /// The server asks anew, after something else was right.
    pub(super) fn begin_anew(&mut self) {
        self.typed = 0;
    }
}

impl Login<'_> {
    /// Gives a password: the one that is kept, and then what the person types.
    ///
    /// # Errors
    /// The server does not answer, or ends the connection; or the person does not answer.
    pub(super) async fn give_a_password(&mut self) -> Result<Option<AuthResult>, SshError> {
        let item = remembered::password_of(self.target);
        if !std::mem::replace(&mut self.passwords.recalled, true)
            && !self.learned.took_unasked(self.target)
            && let Some(password) = remembered::recall(self.vault, &item).await
        {
            let on_trial = OnTrial::new(item.clone());
            let heard = self.give(&password).await?;
            on_trial.judged();
            if let AuthResult::Failure { partial_success: false, .. } = heard {
                remembered::was_wrong(self.vault, item).await;
            }
            return Ok(Some(heard));
        }
        if !self.may_ask() {
            self.asking.want(WHAT);
            return Ok(None);
        }
        if self.passwords.typed >= self.target.password_prompts {
            return Ok(None);
        }
        let words = if self.passwords.typed > 0 { "Permission denied, please try again." } else { "" };
        self.passwords.typed += 1;
        let text = format!("{}'s password: ", self.asking.account());
        let password = self.asking.ask_secret(words, text, WHAT).await?;
        let heard = self.give(&password).await?;
        if !matches!(heard, AuthResult::Failure { partial_success: false, .. })
            && remembered::was_right(self.vault, item, &password, &mut self.asking).await
        {
            self.learned.vouched_for(self.target);
        }
        Ok(Some(heard))
    }

    async fn give(&mut self, password: &SecretString) -> Result<AuthResult, SshError> {
        self.showing = Some(WHAT.to_owned());
        self.secret_given = true;
        let given = self.handle.authenticate_password(self.target.user.clone(), password.expose_secret());
        match timeout(VERDICT_TIMEOUT, given).await {
            Ok(answer) => self.heard(answer).await,
            Err(_) => Err(self.no_verdict(VERDICT_TIMEOUT)),
        }
    }
}
