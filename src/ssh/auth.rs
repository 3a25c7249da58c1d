//! Showing the server who we are.

use std::time::Duration;

use russh::MethodKind;
use russh::client::{AuthResult, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::SshError;
use super::agent::Agent;
use super::auth_plan::{AuthPlan, Candidate, Proof, Sources};
use super::handler::{ClientHandler, Ending, reason_words};
use super::identity::Identity;
use super::target::Target;

/// How many keys are offered on one connection: OpenSSH's server ends it at the sixth failure, and some sites earlier.
const MOST_TRIES: usize = 5;

/// How long one key may take. Some agents ask a person; OpenSSH's server waits 120 s for all of it.
const TRY_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the reason for a connection's end may lag behind the end.
const ENDING_LAG: Duration = Duration::from_secs(1);

/// What one key came to.
enum Outcome {
    Accepted,
    Refused {
        offers: Vec<String>,
        keys_still_count: bool,
    },
    /// The key was right, and the server wants more.
    Partly {
        offers: Vec<String>,
    },
    /// We could not offer it.
    NotOffered {
        note: String,
    },
}

/// A connection that has shaken hands, and whom it is to be authenticated for.
pub(super) struct Authentication<'a> {
    pub(super) handle: &'a mut Handle<ClientHandler>,
    pub(super) target: &'a Target,
    pub(super) ending: watch::Receiver<Ending>,
    pub(super) tasks: &'a TaskTracker,
}

impl Authentication<'_> {
    /// Offers keys until one is taken. It never begins anew: sites bar those who fail often.
    ///
    /// # Errors
    /// None is taken, or the server ends the connection, or asks for more than a key.
    pub(super) async fn run(mut self) -> Result<(), SshError> {
        let mut notes = Vec::new();
        let mut agent = self.agent(&mut notes).await;
        let plan = self.plan(agent.as_ref().map(|agent| agent.identities.clone()).unwrap_or_default()).await?;
        let mut tried = Vec::new();
        let mut offers = Vec::new();
        let left_out = plan.candidates.len().saturating_sub(MOST_TRIES);
        for candidate in plan.candidates.iter().take(MOST_TRIES) {
            match self.offer(candidate, agent.as_mut(), &tried).await? {
                Outcome::Accepted => return Ok(()),
                Outcome::Partly { offers } => {
                    return Err(SshError::MoreAuthenticationNeeded {
                        user: self.target.user.clone(),
                        host: self.target.host.clone(),
                        accepted: candidate.label.clone(),
                        offers,
                    });
                }
                Outcome::NotOffered { note } => notes.push(note),
                Outcome::Refused { offers: now, keys_still_count } => {
                    tried.push(candidate.label.clone());
                    offers = now;
                    if !keys_still_count {
                        break;
                    }
                }
            }
        }
        if left_out > 0 {
            notes.push(format!("{left_out} more keys were not tried"));
        }
        if tried.is_empty() {
            match self.offers_without_a_key().await? {
                Outcome::Accepted => return Ok(()),
                Outcome::Refused { offers: now, .. } | Outcome::Partly { offers: now } => offers = now,
                Outcome::NotOffered { .. } => {}
            }
        }
        Err(self.failure(plan, tried, offers, notes))
    }

    async fn agent(&self, notes: &mut Vec<String>) -> Option<Agent> {
        let socket = self.target.agent.as_ref()?;
        match Agent::ask(socket, self.handle.agent_session_binding()).await {
            Ok(agent) => Some(agent),
            Err(note) => {
                notes.push(note);
                None
            }
        }
    }

    async fn plan(&self, agent: Vec<russh::keys::agent::AgentIdentity>) -> Result<AuthPlan, SshError> {
        let target = self.target.clone();
        let load = move || {
            let all = |files: &[std::path::PathBuf]| files.iter().map(|file| Identity::load(file)).collect();
            AuthPlan::make(Sources {
                named: all(&target.named),
                configured: all(&target.configured),
                agent,
                usual: all(&target.usual),
                identities_only: target.identities_only,
            })
        };
        self.tasks.spawn_blocking(load).await.map_err(|_| self.lost())
    }

    async fn offer(
        &mut self,
        candidate: &Candidate,
        agent: Option<&mut Agent>,
        tried: &[String],
    ) -> Result<Outcome, SshError> {
        tracing::debug!(host = %self.target.host, key = %candidate.label, "a key is offered");
        match timeout(TRY_TIMEOUT, self.show(&candidate.proof, agent)).await {
            Err(_) => Err(SshError::HandshakeTimedOut { host: self.target.host.clone(), after: TRY_TIMEOUT }),
            Ok(Err(note)) => match self.cut_off(candidate, tried).await {
                Some(ended) => Err(ended),
                None => Ok(Outcome::NotOffered { note: format!("{}: {note}", candidate.label) }),
            },
            Ok(Ok(result)) => match outcome(result) {
                // russh says the same where the connection died.
                Outcome::Refused { offers, .. } if offers.is_empty() => {
                    let offered = Outcome::Refused { offers, keys_still_count: false };
                    self.cut_off(candidate, tried).await.map_or(Ok(offered), Err)
                }
                decided => Ok(decided),
            },
        }
    }

    /// Shows one key; an error says in words why it could not be shown.
    async fn show(&mut self, proof: &Proof, agent: Option<&mut Agent>) -> Result<AuthResult, String> {
        let user = self.target.user.clone();
        let words = |error: russh::Error| reason_words(&error);
        let refused = "the agent did not sign with it";
        match proof {
            Proof::Key(key) => {
                let hash = self.rsa_hash(&key.algorithm()).await;
                let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
                self.handle.authenticate_publickey(user, key).await.map_err(words)
            }
            Proof::Certificate(key, certificate) => {
                self.handle.authenticate_openssh_cert(user, key.clone(), (**certificate).clone()).await.map_err(words)
            }
            Proof::Agent(key) => {
                let agent = agent.ok_or(refused)?;
                let hash = self.rsa_hash(&key.algorithm()).await;
                let signed =
                    self.handle.authenticate_publickey_with(user, (**key).clone(), hash, &mut agent.client).await;
                signed.map_err(|error| format!("{refused}: {error}"))
            }
            Proof::AgentCertificate(certificate) => {
                let agent = agent.ok_or(refused)?;
                let hash = self.rsa_hash(&certificate.algorithm()).await;
                let certificate = (**certificate).clone();
                let signed =
                    self.handle.authenticate_certificate_with(user, certificate, hash, &mut agent.client).await;
                signed.map_err(|error| format!("{refused}: {error}"))
            }
        }
    }

    /// The best hash that the server takes for an RSA key; a server that does not say takes SHA-256 since 2016.
    async fn rsa_hash(&self, algorithm: &Algorithm) -> Option<HashAlg> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return None;
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(best)) => best,
            Ok(None) | Err(_) => Some(HashAlg::Sha256),
        }
    }

    /// What the server would take, for the error's sake; a few let anybody in.
    async fn offers_without_a_key(&mut self) -> Result<Outcome, SshError> {
        let user = self.target.user.clone();
        match timeout(TRY_TIMEOUT, self.handle.authenticate_none(user)).await {
            Ok(Ok(result)) => Ok(outcome(result)),
            Ok(Err(_)) => Err(self.reason_of_end().await.unwrap_or_else(|| self.lost())),
            Err(_) => Err(SshError::HandshakeTimedOut { host: self.target.host.clone(), after: TRY_TIMEOUT }),
        }
    }

    /// Why the connection ended, if it did.
    async fn reason_of_end(&mut self) -> Option<SshError> {
        let wait = self.ending.wait_for(Option::is_some);
        let ended = timeout(ENDING_LAG, wait).await.map(|ended| ended.map(|reason| reason.clone()));
        match ended {
            Ok(Ok(reason)) => reason,
            Ok(Err(_)) => Some(self.lost()),
            Err(_) => self.handle.is_closed().then(|| self.lost()),
        }
    }

    async fn cut_off(&mut self, candidate: &Candidate, tried: &[String]) -> Option<SshError> {
        if !self.handle.is_closed() {
            return None;
        }
        let tried = tried.iter().chain([&candidate.label]).cloned().collect();
        Some(match self.reason_of_end().await? {
            SshError::Disconnected { host, reason, by_server: true } => {
                SshError::AuthenticationCutOff { host, words: reason, tried }
            }
            other => other,
        })
    }

    fn lost(&self) -> SshError {
        SshError::Disconnected {
            host: self.target.host.clone(),
            reason: "the connection was lost".to_owned(),
            by_server: false,
        }
    }

    fn failure(&self, plan: AuthPlan, tried: Vec<String>, offers: Vec<String>, mut notes: Vec<String>) -> SshError {
        if let Some(problem) = plan.named_problems.into_iter().next() {
            return problem;
        }
        if tried.is_empty() {
            if let Some(problem) = plan.other_problems.into_iter().next() {
                return problem;
            }
            if let Some(problem) = notes.into_iter().next() {
                return SshError::Agent { problem };
            }
            return SshError::AuthenticationFailed {
                user: self.target.user.clone(),
                host: self.target.host.clone(),
                tried,
                offers,
                notes: vec!["no key file and no agent was found".to_owned()],
            };
        }
        notes.extend(plan.other_problems.iter().map(ToString::to_string));
        SshError::AuthenticationFailed {
            user: self.target.user.clone(),
            host: self.target.host.clone(),
            tried,
            offers,
            notes,
        }
    }
}

fn outcome(result: AuthResult) -> Outcome {
    match result {
        AuthResult::Success => Outcome::Accepted,
        AuthResult::Failure { remaining_methods, partial_success } => {
            let offers = remaining_methods.iter().map(String::from).collect();
            if partial_success {
                Outcome::Partly { offers }
            } else {
                Outcome::Refused { offers, keys_still_count: remaining_methods.contains(&MethodKind::PublicKey) }
            }
        }
    }
}
