//! Showing keys, one after the other.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::SystemTime;

use russh::client::AuthResult;
use tokio::sync::watch;
use tokio::time::timeout;

use super::agent::Agent;
use super::algorithms::{RsaHashes, hash_for};
use super::authentication::{Login, TRY_TIMEOUT};
use super::certificates::Certified;
use super::identity::Identity;
use super::passphrase::Opened;
use super::plan::{AuthPlan, Candidate, Holder, Shown, Sources, label};
use super::signer::{KeySigner, NotSigned};
use crate::ssh::SshError;

/// How many keys a server may refuse on one connection: OpenSSH's ends it at the sixth failure, and one is left for a
/// password.
const MOST_REFUSED: usize = 5;

/// The keys that we have.
pub(super) struct Keys {
    waiting: VecDeque<Candidate>,
    agent: Option<Agent>,
    /// What the server takes, once it was asked: it may take a second to say so.
    rsa: Option<RsaHashes>,
    refused: usize,
    /// What is wrong with what was named, and so on: see [`AuthPlan`].
    pub(super) named_problems: Vec<SshError>,
    pub(super) certificate_problems: Vec<SshError>,
    pub(super) other_problems: Vec<SshError>,
    /// Why the agent cannot be used.
    pub(super) agent_problem: Option<String>,
    /// What else is to be known if all fails.
    pub(super) notes: Vec<String>,
}

/// What came of one key.
enum Offered {
    Heard(AuthResult),
    /// It could not be shown; why, in words.
    Passed(String),
}

impl Login<'_> {
    /// Shows the next key that can be shown, if there is one.
    ///
    /// # Errors
    /// The server does not answer, or ends the connection; or a person does not answer.
    pub(super) async fn show_a_key(&mut self) -> Result<Option<AuthResult>, SshError> {
        let mut keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.gather().await?,
        };
        let shown = self.show_next(&mut keys).await;
        self.keys = Some(keys);
        shown
    }

    async fn show_next(&mut self, keys: &mut Keys) -> Result<Option<AuthResult>, SshError> {
        while keys.refused < MOST_REFUSED {
            let Some(candidate) = keys.waiting.pop_front() else { return Ok(None) };
            let label = candidate.label.clone();
            match self.show(candidate, keys).await? {
                Offered::Heard(heard) => {
                    if let AuthResult::Failure { partial_success: false, .. } = heard {
                        keys.refused += 1;
                    }
                    return Ok(Some(heard));
                }
                Offered::Passed(why) => {
                    tracing::debug!(host = %self.target.host, key = %label, why, "a key is passed over");
                    keys.notes.push(format!("{label}: {why}"));
                }
            }
        }
        let left_out = keys.waiting.len();
        if left_out > 0 {
            keys.waiting.clear();
            keys.notes.push(format!("{left_out} more keys were not tried"));
        }
        Ok(None)
    }

    /// Reads the files, and asks the agent.
    async fn gather(&mut self) -> Result<Keys, SshError> {
        let (agent, agent_problem) = match &self.target.agent {
            None => (None, None),
            Some(socket) => match Agent::ask(socket, self.handle.agent_session_binding()).await {
                Ok(agent) => (Some(agent), None),
                Err(problem) => (None, Some(problem)),
            },
        };
        let mut notes: Vec<String> = agent.as_ref().and_then(Agent::note).into_iter().collect();
        let held = agent.as_ref().map(|agent| agent.identities.clone()).unwrap_or_default();
        let target = self.target.clone();
        let load = move || {
            let all = |files: &[PathBuf]| files.iter().map(|file| Identity::load(file)).collect();
            let (certificates, unusable): (Vec<_>, Vec<_>) =
                target.certificates.iter().map(|file| Certified::load(file)).partition(Result::is_ok);
            let sources = Sources {
                named: all(&target.named),
                configured: all(&target.configured),
                agent: held,
                usual: all(&target.usual),
                certificates: certificates.into_iter().flatten().collect(),
                identities_only: target.identities_only,
            };
            let unusable: Vec<_> = unusable.into_iter().filter_map(Result::err).collect();
            (AuthPlan::make(sources, SystemTime::now()), unusable)
        };
        let (plan, unusable) = self.tasks.spawn_blocking(load).await.map_err(|_| self.lost())?;
        notes.extend(unusable.iter().map(ToString::to_string));
        for problem in &plan.certificate_problems {
            tracing::warn!(host = %self.target.host, "{problem}");
            let remedy = problem.remedy().unwrap_or_default();
            self.asking.tell(format!("{problem}: {remedy}")).await;
        }
        Ok(Keys {
            waiting: plan.candidates.into(),
            agent,
            rsa: None,
            refused: 0,
            named_problems: plan.named_problems,
            certificate_problems: plan.certificate_problems,
            other_problems: plan.other_problems,
            agent_problem,
            notes,
        })
    }

    async fn show(&mut self, mut candidate: Candidate, keys: &mut Keys) -> Result<Offered, SshError> {
        if let (Shown::Unknown, Holder::Locked(file)) = (&candidate.shown, &candidate.holder) {
            match self.unlocking.open(file, &mut self.asking).await? {
                Opened::Closed(why) => return Ok(Offered::Passed(why)),
                Opened::Key(key) => {
                    candidate.label = label(&candidate.label, key.public_key());
                    candidate.shown = Shown::Key(Box::new(key.public_key().clone()));
                    candidate.holder = Holder::Ours(key);
                }
            }
        }
        let rsa = match keys.rsa {
            None if candidate.shown.is_rsa() => {
                *keys.rsa.insert(RsaHashes::best(self.handle.best_supported_rsa_hash().await.unwrap_or_default()))
            }
            known => known.unwrap_or(RsaHashes::None),
        };
        let hash = match hash_for(&candidate.shown, rsa, self.target.algorithms.public_keys.as_deref()) {
            Ok(hash) => hash,
            Err(why) => return Ok(Offered::Passed(why.to_owned())),
        };
        tracing::debug!(host = %self.target.host, key = %candidate.label, "a key is offered");
        self.showing = Some(candidate.label);
        let (our_turn, turn) = watch::channel(false);
        let mut signer = KeySigner {
            holder: &candidate.holder,
            agent: keys.agent.as_mut(),
            unlocking: &mut self.unlocking,
            asking: &mut self.asking,
            our_turn,
        };
        let user = self.target.user.clone();
        let handle = &mut *self.handle;
        let showing = async {
            match candidate.shown {
                Shown::Key(key) => handle.authenticate_publickey_with(user, *key, hash, &mut signer).await,
                Shown::Certificate(certificate) => {
                    handle.authenticate_certificate_with(user, *certificate, hash, &mut signer).await
                }
                Shown::Unknown => Err(NotSigned::Passed("nobody knows what it is".to_owned())),
            }
        };
        let shown = tokio::select! {
            shown = showing => Some(shown),
            () = silence(turn) => None,
        };
        match shown {
            None => Err(self.too_late()),
            Some(Ok(answer)) => self.heard(Ok(answer)).await.map(Offered::Heard),
            Some(Err(NotSigned::Ended(error))) => Err(error),
            Some(Err(NotSigned::Lost)) => Err(self.ended().await),
            Some(Err(NotSigned::Passed(why))) => {
                if self.handle.is_closed()
                    && let Some(ended) = self.cut_off().await
                {
                    return Err(ended);
                }
                self.showing = None;
                Ok(Offered::Passed(why))
            }
        }
    }
}

/// Ends where it is the server's turn for too long.
async fn silence(mut our_turn: watch::Receiver<bool>) {
    loop {
        let ours = *our_turn.borrow_and_update();
        let changed = our_turn.changed();
        let over =
            if ours { changed.await.is_err() } else { !matches!(timeout(TRY_TIMEOUT, changed).await, Ok(Ok(()))) };
        if over {
            return;
        }
    }
}
