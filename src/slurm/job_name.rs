//! The name of an instance's job: the one thing by which a job whose number was never heard is found again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceName, fnv1a};

/// `llm-proxy-USER-HOST-INSTANCE`: the same for each life of an instance, and no other instance's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobName(String);

impl JobName {
    /// The longest name, in bytes. Slurm takes 1024; accounting tools and file name patterns take less.
    pub const MAX_LEN: usize = 120;

    /// The name of this user's job for this instance, asked for from this machine.
    ///
    /// Keeps letters, digits, `.`, `_` and `-`: `squeue --name` parts its list at commas, and accounting files part
    /// fields at spaces. Where anything had to be changed or cut, a digest of the whole is added, so that different
    /// names stay different.
    #[must_use]
    pub fn new(user: &str, host: &str, instance: &InstanceName) -> Self {
        let host = host.split('.').next().unwrap_or(host);
        let whole = format!("llm-proxy-{user}-{host}-{instance}");
        let mut name: String = whole.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        if name != whole || name.len() > Self::MAX_LEN {
            let digest = format!("-{:016x}", fnv1a(whole.as_bytes()));
            name.truncate(Self::MAX_LEN - digest.len());
            name.push_str(&digest);
        }
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("ada", "laptop.example.org", "llm-proxy-ada-laptop-falcon3-10b"; "plain")]
    #[test_case("ada lovelace", "laptop", "llm-proxy-ada_lovelace-laptop-falcon3-10b-0e88b5109dac6b6d"; "a space")]
    #[test_case("ada_lovelace", "laptop", "llm-proxy-ada_lovelace-laptop-falcon3-10b"; "an underscore")]
    fn is_stable_and_recognisable(user: &str, host: &str, name: &str) {
        let instance = InstanceName::from_text("falcon3-10b").unwrap();
        assert_eq!(JobName::new(user, host, &instance).as_str(), name);
    }

    proptest! {
        #[test]
        fn is_bounded_and_plain(user in ".{0,200}", host in ".{0,200}", instance in "[a-z]{1,60}") {
            let name = JobName::new(&user, &host, &InstanceName::from_text(&instance).unwrap());
            prop_assert!(name.as_str().len() <= JobName::MAX_LEN);
            prop_assert!(name.as_str().chars().all(is_plain));
        }

        #[test]
        fn long_users_stay_different(a in "[a-z]{130,150}", b in "[a-z]{130,150}") {
            prop_assume!(a != b);
            let instance = InstanceName::from_text("m").unwrap();
            prop_assert_ne!(JobName::new(&a, "h", &instance), JobName::new(&b, "h", &instance));
        }
    }
}
