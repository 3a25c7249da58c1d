//! Which of all that went wrong is told.

use russh::MethodKind;

use super::authentication::Login;
use crate::ssh::SshError;

/// The methods that a user could do something for.
const OURS: [MethodKind; 3] = [MethodKind::PublicKey, MethodKind::KeyboardInteractive, MethodKind::Password];

impl Login<'_> {
    /// Why we were not let in: the cause that the user can mend first.
    pub(super) fn failure(&mut self) -> SshError {
        let tried = std::mem::take(&mut self.tried);
        let offers: Vec<String> = self.offers.iter().map(String::from).collect();
        let (user, host) = (self.target.user.clone(), self.target.called());
        let mut keys = self.keys.take();
        let named = keys.as_mut().and_then(|keys| first(&mut keys.named_problems));
        let certificate = keys.as_mut().and_then(|keys| first(&mut keys.certificate_problems));
        if let Some(problem) = named.or(certificate).or_else(|| self.asking.person_needed(&tried)) {
            return problem;
        }
        if !self.taken.is_empty() && !self.offers.iter().any(|offer| OURS.contains(offer)) {
            return SshError::MoreAuthenticationNeeded { user, host, accepted: self.taken.join(", "), offers };
        }
        let mut notes = Vec::new();
        if !self.taken.is_empty() {
            notes.push(format!("it accepted {} before", self.taken.join(", ")));
        }
        if let Some(mut keys) = keys {
            if tried.is_empty() && self.taken.is_empty() {
                if let Some(problem) = first(&mut keys.other_problems) {
                    return problem;
                }
                if let Some(problem) = keys.agent_problem {
                    return SshError::Agent { problem };
                }
                if keys.notes.is_empty() {
                    keys.notes.push("no key file and no agent was found".to_owned());
                }
            }
            notes.extend(keys.agent_problem);
            notes.extend(keys.notes);
            notes.extend(keys.other_problems.iter().map(ToString::to_string));
        }
        SshError::AuthenticationFailed { user, host, tried, offers, notes }
    }
}

fn first(problems: &mut Vec<SshError>) -> Option<SshError> {
    (!problems.is_empty()).then(|| problems.remove(0))
}
