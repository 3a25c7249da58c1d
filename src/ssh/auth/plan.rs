//! Which keys are offered, and in what order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey};

use super::certificates::Certified;
use super::identity::{Identity, unreadable};
use crate::ssh::SshError;
use crate::ssh::words::printable;

/// One key to offer.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// What a user is told about it: where it comes from, its kind and its fingerprint.
    pub(super) label: String,
    pub(super) shown: Shown,
    pub(super) holder: Holder,
}

/// What the server is shown.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    Key(Box<PublicKey>),
    Certificate(Box<Certificate>),
    /// Nobody knows before a passphrase opens the file.
    Unknown,
}

/// Who has the private half.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    Ours(Arc<PrivateKey>),
    /// A file that a passphrase opens.
    Locked(PathBuf),
    Agent(Box<AgentIdentity>),
}

impl Shown {
    pub(super) fn is_rsa(&self) -> bool {
        let algorithm = match self {
            Self::Key(key) => key.algorithm(),
            Self::Certificate(certificate) => certificate.algorithm(),
            Self::Unknown => return false,
        };
        matches!(algorithm, Algorithm::Rsa { .. })
    }

    fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(one), Self::Key(other)) => one.key_data() == other.key_data(),
            (Self::Certificate(one), Self::Certificate(other)) => one == other,
            (Self::Key(_) | Self::Certificate(_) | Self::Unknown, _) => false,
        }
    }
}

/// What keys are taken from, each in its order.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// The files that the caller named.
    pub(super) named: Vec<Identity>,
    /// The files that the configuration names.
    pub(super) configured: Vec<Identity>,
    /// What the agent holds.
    pub(super) agent: Vec<AgentIdentity>,
    /// The files that `ssh` looks for by itself.
    pub(super) usual: Vec<Identity>,
    /// The certificates that the configuration names.
    pub(super) certificates: Vec<Certified>,
    /// Whether the agent may only be asked for keys that were named.
    pub(super) identities_only: bool,
}

/// The keys to offer, in order, and what is wrong with those that cannot be.
#[derive(Debug, Default)]
pub(super) struct AuthPlan {
    pub(super) candidates: Vec<Candidate>,
    /// What is wrong with keys that the caller named: it is the likely cause if all else fails.
    pub(super) named_problems: Vec<SshError>,
    /// What is wrong with certificates of keys that are here, such as that they expired: the next likely cause.
    pub(super) certificate_problems: Vec<SshError>,
    /// What is wrong with the others.
    pub(super) other_problems: Vec<SshError>,
}

impl AuthPlan {
    /// Named keys come first: a server counts every key that is offered, and ends the connection after some. A locked file
    /// that does not show its public half comes last, because a passphrase would be asked for before the server says
    /// whether it knows the key.
    pub(super) fn make(sources: Sources, now: SystemTime) -> Self {
        let Sources { named, configured, agent, usual, certificates, identities_only } = sources;
        let any_named = !named.is_empty() || !configured.is_empty();
        let mut planning = Planning { plan: Self::default(), agent: &agent, certificates: &certificates, now };
        for identity in named {
            let problem = planning.add(identity, true);
            planning.plan.named_problems.extend(problem);
        }
        for identity in configured {
            let problem = planning.add(identity, false);
            planning.plan.other_problems.extend(problem);
        }
        // Keys that were only looked for stand after the agent's, but with `IdentitiesOnly` they may name one of those.
        let usual_count = if identities_only && any_named { 0 } else { usual.len() };
        if !identities_only {
            for held in &agent {
                planning.held(held);
            }
        }
        for identity in usual.into_iter().take(usual_count) {
            let problem = planning.add(identity, false);
            planning.plan.other_problems.extend(problem);
        }
        let mut plan = planning.plan;
        plan.candidates.sort_by_key(|candidate| matches!(candidate.shown, Shown::Unknown));
        plan
    }
}

struct Planning<'a> {
    plan: AuthPlan,
    agent: &'a [AgentIdentity],
    certificates: &'a [Certified],
    now: SystemTime,
}

impl Planning<'_> {
    /// Adds what a file gives; returns what is wrong with it.
    fn add(&mut self, identity: Identity, report_missing: bool) -> Option<SshError> {
        match identity {
            Identity::Key { file, key, certificate } => {
                let public = key.public_key().clone();
                self.with_certificates(&file.display().to_string(), public, certificate.as_ref(), &Holder::Ours(key));
                None
            }
            // What the agent holds wants no passphrase.
            Identity::Locked { file, public: Some(public), certificate } => {
                if !self.held_by_agent(&public, certificate.as_ref()) {
                    let source = file.display().to_string();
                    self.with_certificates(&source, *public, certificate.as_ref(), &Holder::Locked(file));
                }
                None
            }
            Identity::Locked { file, public: None, .. } => {
                let label = file.display().to_string();
                self.plan.candidates.push(Candidate { label, shown: Shown::Unknown, holder: Holder::Locked(file) });
                None
            }
            Identity::AgentOnly { public, certificate, problem } => {
                (!self.held_by_agent(&public, certificate.as_ref())).then_some(problem)
            }
            Identity::Missing { file } => report_missing.then(|| missing(&file)),
            Identity::Unusable { problem } => Some(problem),
        }
    }

    /// Adds all that the agent can do for this key; says whether it holds it.
    fn held_by_agent(&mut self, public: &PublicKey, beside: Option<&Certified>) -> bool {
        let agent = self.agent;
        let mut any = false;
        for held in agent.iter().filter(|held| key_data(held) == public.key_data()) {
            any = true;
            match held {
                AgentIdentity::PublicKey { key, comment } => {
                    let source = format!("the agent's {}", printable(comment));
                    let holder = Holder::Agent(Box::new(held.clone()));
                    self.with_certificates(&source, key.clone(), beside, &holder);
                }
                AgentIdentity::Certificate { .. } => self.held(held),
            }
        }
        any
    }

    /// Adds what the agent holds.
    fn held(&mut self, held: &AgentIdentity) {
        let holder = Holder::Agent(Box::new(held.clone()));
        match held {
            AgentIdentity::PublicKey { key, comment } => {
                self.with_certificates(&format!("the agent's {}", printable(comment)), key.clone(), None, &holder);
            }
            AgentIdentity::Certificate { certificate, comment } => {
                let source = format!("the agent's certificate {}", printable(comment));
                let certificate = Box::new(certificate.clone());
                self.certified(&source, &Certified { source: source.clone(), certificate }, &holder);
            }
        }
    }

    /// Adds a key, and before it what certifies it.
    fn with_certificates(&mut self, source: &str, public: PublicKey, beside: Option<&Certified>, holder: &Holder) {
        let certificates = self.certificates;
        let configured = certificates.iter().filter(|one| one.certificate.public_key() == public.key_data());
        for certified in beside.into_iter().chain(configured) {
            self.certified(&format!("{source} with its certificate"), certified, holder);
        }
        let label = label(source, &public);
        self.offer(Candidate { label, shown: Shown::Key(Box::new(public)), holder: holder.clone() });
    }

    fn certified(&mut self, source: &str, certified: &Certified, holder: &Holder) {
        if let Err(problem) = certified.judge(self.now) {
            if !self.plan.certificate_problems.iter().any(|known| known.to_string() == problem.to_string()) {
                self.plan.certificate_problems.push(problem);
            }
            return;
        }
        let certificate = certified.certificate.clone();
        let label = label(source, &PublicKey::new(certificate.public_key().clone(), ""));
        self.offer(Candidate { label, shown: Shown::Certificate(certificate), holder: holder.clone() });
    }

    /// Adds a candidate, unless the same is already there.
    fn offer(&mut self, candidate: Candidate) {
        if !self.plan.candidates.iter().any(|known| known.shown.is_same_as(&candidate.shown)) {
            self.plan.candidates.push(candidate);
        }
    }
}

fn missing(file: &Path) -> SshError {
    unreadable(file, "there is no such file")
}

fn key_data(held: &AgentIdentity) -> &KeyData {
    match held {
        AgentIdentity::PublicKey { key, .. } => key.key_data(),
        AgentIdentity::Certificate { certificate, .. } => certificate.public_key(),
    }
}

/// A key in a user's words.
pub(super) fn label(source: &str, key: &PublicKey) -> String {
    format!("{source} ({} {})", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
