//! Whether a life's host can be talked to. Losing the link never means losing the life.

use tokio::time::Instant;

use crate::backend::Diagnosis;

/// The link to the host of a life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It stands, or nothing was asked of it yet.
    #[default]
    Connected,
    /// It was lost; what was started there goes on.
    Reconnecting {
        /// When that was seen.
        since: Instant,
    },
    /// Only a person can bring it back: a password, a code or the trust in a key is asked for.
    NeedsLogin {
        /// When that was seen.
        since: Instant,
        /// What failed, and what to do.
        why: Diagnosis,
    },
}

impl LinkState {
    /// Whether it stands.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Connected)
    }

    /// Whether it says the same to a reader, whenever that began.
    #[must_use]
    pub fn tells_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NeedsLogin { why, .. }, Self::NeedsLogin { why: other, .. }) => why == other,
            (_, _) => self.word() == other.word(),
        }
    }

    /// The word for it in `/health` and in what programs read.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Reconnecting { .. } => "reconnecting",
            Self::NeedsLogin { .. } => "needs-login",
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::id::InstanceName;
    use crate::launch::login_required;

    #[test]
    fn another_thing_that_is_asked_for_is_news_and_another_moment_is_not() {
        let name = InstanceName::from_text("m").unwrap();
        let needs = |what: &str, remedy: Option<&str>| {
            let why = login_required(&name, &what.to_owned(), remedy);
            LinkState::NeedsLogin { since: Instant::now(), why }
        };
        let code = needs("a code is asked for", None);
        assert!(code.tells_the_same(&needs("a code is asked for", None)));
        assert!(!code.tells_the_same(&needs("the host's key is unknown", None)));
        assert!(!code.tells_the_same(&needs("a code is asked for", Some("compare the fingerprint"))));
        let lost = || LinkState::Reconnecting { since: Instant::now() };
        assert!(lost().tells_the_same(&lost()) && !lost().tells_the_same(&code));
    }

    #[test]
    fn what_to_do_before_the_login_is_kept() {
        let name = InstanceName::from_text("m").unwrap();
        let remedy = |before| login_required(&name, &"", before).remedy;
        assert_eq!(remedy(None), "run `llm-proxy login m` at a terminal, and answer there");
        assert_eq!(remedy(Some("compare it")), "compare it; then run `llm-proxy login m`");
        assert_eq!(remedy(Some("run `llm-proxy login`; or add the key")), "run `llm-proxy login m`; or add the key");
    }
}
