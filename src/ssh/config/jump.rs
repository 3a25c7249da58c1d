//! The way through other hosts: `ProxyJump`, hop by hop.

use super::destination::Destination;
use crate::ssh::SshError;

/// How many hosts one way may lead through.
const MOST_HOPS: usize = 8;

/// The last host before the target, which it is dialled from, and what comes before that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct LastHop {
    /// As a user would name it.
    pub(in crate::ssh) destination: String,
    /// The hops before it; `None`: its own configuration decides.
    pub(in crate::ssh) before: Option<String>,
}

/// Takes the last hop off `written`; `None` where it says `none`.
///
/// # Errors
/// A hop is not a destination.
pub(in crate::ssh) fn last_hop(written: &str) -> Result<Option<LastHop>, SshError> {
    if written.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let hops: Vec<Destination> = written.split(',').map(Destination::parse).collect::<Result<_, _>>()?;
    let before = written.rsplit_once(',').map(|(before, _)| before.to_owned());
    Ok(hops.last().map(|last| LastHop { destination: last.to_string(), before }))
}

/// The hosts that are being reached, each through the next: what is named twice can never be reached.
#[derive(Clone, Debug, Default)]
pub(in crate::ssh) struct Trail(Vec<Destination>);

impl Trail {
    /// This trail and one more host.
    ///
    /// # Errors
    /// The host stands there already, or there are too many.
    pub(in crate::ssh) fn and(&self, next: &Destination) -> Result<Self, SshError> {
        let mut hosts = self.0.clone();
        let circle = hosts.contains(next);
        hosts.push(next.clone());
        // The target itself is no hop.
        if circle || hosts.len() > MOST_HOPS + 1 {
            let chain = hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> ");
            return Err(if circle { SshError::JumpCircle { chain } } else { SshError::TooManyJumps { chain } });
        }
        Ok(Self(hosts))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("none", None)]
    #[test_case("None", None; "capital letters")]
    #[test_case("gate", Some(("gate", None)))]
    #[test_case("me@gate:22", Some(("me@gate:22", None)))]
    #[test_case("a,b,ssh://me@[::1]:24", Some(("me@[::1]:24", Some("a,b"))))]
    fn hops(written: &str, expected: Option<(&str, Option<&str>)>) {
        let expected = expected.map(|(destination, before)| LastHop {
            destination: destination.to_owned(),
            before: before.map(str::to_owned),
        });
        assert_eq!(last_hop(written).unwrap(), expected);
    }

    #[test_case("")]
    #[test_case("a,")]
    #[test_case(",a")]
    #[test_case("a,,b")]
    #[test_case("a b")]
    #[test_case("a:0")]
    #[test_case("a,-oProxyCommand=x")]
    fn not_hops(written: &str) {
        assert!(matches!(last_hop(written), Err(SshError::BadDestination { .. })));
    }

    #[test]
    fn a_circle_is_shown() {
        let host = |written| Destination::parse(written).unwrap();
        let trail = Trail::default().and(&host("me@a")).unwrap().and(&host("b:23")).unwrap();
        assert!(trail.and(&host("you@a")).is_ok());
        match trail.and(&host("me@a")) {
            Err(SshError::JumpCircle { chain }) => assert_eq!(chain, "me@a -> b:23 -> me@a"),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn a_trail_ends(hosts in proptest::collection::vec("[a-z]{1,2}", 0..40)) {
            let mut trail = Trail::default();
            let mut length = 0;
            for host in &hosts {
                match trail.and(&Destination::parse(host).unwrap()) {
                    Ok(longer) => {
                        trail = longer;
                        length += 1;
                    }
                    Err(_) => break,
                }
            }
            prop_assert!(length <= MOST_HOPS + 1);
            let distinct: std::collections::BTreeSet<_> = hosts.iter().take(length).collect();
            prop_assert_eq!(distinct.len(), length);
        }
    }
}
