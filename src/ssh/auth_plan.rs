//! Which keys are offered, and in what order.

use std::path::Path;
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};

use super::SshError;
use super::identity::Identity;
use super::words::printable;

/// One key to offer.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// What a user is told about it: where it comes from, its kind and its fingerprint.
    pub(super) label: String,
    pub(super) proof: Proof,
}

/// How a key is shown.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// By a key of ours.
    Key(Arc<PrivateKey>),
    /// By a key of ours and its certificate.
    Certificate(Arc<PrivateKey>, Box<Certificate>),
    /// By the agent.
    Agent(Box<PublicKey>),
    /// By the agent, with a certificate that it holds.
    AgentCertificate(Box<Certificate>),
}

impl Proof {
    fn key_data(&self) -> &KeyData {
        match self {
            Self::Key(key) | Self::Certificate(key, _) => key.public_key().key_data(),
            Self::Agent(key) => key.key_data(),
            Self::AgentCertificate(certificate) => certificate.public_key(),
        }
    }

    fn is_certificate(&self) -> bool {
        match self {
            Self::Certificate(..) | Self::AgentCertificate(_) => true,
            Self::Key(_) | Self::Agent(_) => false,
        }
    }
}

/// The files to take keys from, each in its order.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Those the caller named.
    pub(super) named: Vec<Identity>,
    /// Those the configuration names.
    pub(super) configured: Vec<Identity>,
    /// What the agent holds.
    pub(super) agent: Vec<AgentIdentity>,
    /// The files that `ssh` looks for by itself.
    pub(super) usual: Vec<Identity>,
    /// Whether the agent may only be asked for keys that were named.
    pub(super) identities_only: bool,
}

/// The keys to offer, in order, and what is wrong with those that cannot be.
#[derive(Debug, Default)]
pub(super) struct AuthPlan {
    pub(super) candidates: Vec<Candidate>,
    /// What is wrong with keys that the caller named: it is the likely cause if all else fails.
    pub(super) named_problems: Vec<SshError>,
    /// What is wrong with the others.
    pub(super) other_problems: Vec<SshError>,
}

impl AuthPlan {
    /// Named keys come first: a server counts every key that is offered, and ends the connection after some.
    pub(super) fn make(sources: Sources) -> Self {
        let mut plan = Self::default();
        let any_named = !sources.named.is_empty() || !sources.configured.is_empty();
        for identity in sources.named {
            let problem = plan.add(identity, &sources.agent, true);
            plan.named_problems.extend(problem);
        }
        for identity in sources.configured {
            let problem = plan.add(identity, &sources.agent, false);
            plan.other_problems.extend(problem);
        }
        // Keys that were only looked for stand after the agent's, but with `IdentitiesOnly` they may name one of those.
        let usual_count = if sources.identities_only && any_named { 0 } else { sources.usual.len() };
        if !sources.identities_only {
            for held in &sources.agent {
                plan.offer(agent_candidate(held));
            }
        }
        for identity in sources.usual.into_iter().take(usual_count) {
            let problem = plan.add(identity, &sources.agent, false);
            plan.other_problems.extend(problem);
        }
        plan
    }

    /// Adds what a file gives; returns what is wrong with it.
    fn add(&mut self, identity: Identity, agent: &[AgentIdentity], report_missing: bool) -> Option<SshError> {
        match identity {
            Identity::Key { file, key, certificate } => {
                if let Some(certificate) = certificate {
                    let label = label(&format!("{} with its certificate", file.display()), key.public_key());
                    let proof = Proof::Certificate(Arc::clone(&key), certificate);
                    self.offer(Candidate { label, proof });
                }
                let label = label(&file.display().to_string(), key.public_key());
                self.offer(Candidate { label, proof: Proof::Key(key) });
                None
            }
            Identity::Locked { public, problem, .. } => {
                let held: Vec<&AgentIdentity> = agent
                    .iter()
                    .filter(|held| public.as_ref().is_some_and(|public| key_data(held) == public.key_data()))
                    .collect();
                if held.is_empty() {
                    return Some(problem);
                }
                for held in held {
                    self.offer(agent_candidate(held));
                }
                None
            }
            Identity::Missing { file } => report_missing.then(|| missing(&file)),
            Identity::Unusable { problem } => Some(problem),
        }
    }

    /// Adds a candidate, unless the same key is already there.
    fn offer(&mut self, candidate: Candidate) {
        let known = self.candidates.iter().any(|known| {
            known.proof.key_data() == candidate.proof.key_data()
                && known.proof.is_certificate() == candidate.proof.is_certificate()
        });
        if !known {
            self.candidates.push(candidate);
        }
    }
}

fn missing(file: &Path) -> SshError {
    SshError::KeyUnreadable { file: file.to_owned(), problem: "there is no such file".to_owned() }
}

fn key_data(held: &AgentIdentity) -> &KeyData {
    match held {
        AgentIdentity::PublicKey { key, .. } => key.key_data(),
        AgentIdentity::Certificate { certificate, .. } => certificate.public_key(),
    }
}

fn agent_candidate(held: &AgentIdentity) -> Candidate {
    match held {
        AgentIdentity::PublicKey { key, comment } => Candidate {
            label: label(&format!("the agent's {}", printable(comment)), key),
            proof: Proof::Agent(Box::new(key.clone())),
        },
        AgentIdentity::Certificate { certificate, comment } => Candidate {
            label: label(
                &format!("the agent's certificate {}", printable(comment)),
                &PublicKey::new(certificate.public_key().clone(), ""),
            ),
            proof: Proof::AgentCertificate(Box::new(certificate.clone())),
        },
    }
}

fn label(source: &str, key: &PublicKey) -> String {
    format!("{source} ({} {})", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
#[path = "auth_plan_test.rs"]
mod tests;
