//! Which kinds of host keys are asked for, and in what order.

use std::borrow::Cow;

use russh::Preferred;
use russh::keys::Algorithm;

/// The kinds of host keys to ask for, the best first. A server that has several keys shows the first one that it has.
#[derive(Clone, Debug)]
pub(in crate::ssh) struct HostKeyAlgorithms {
    /// Kinds of keys.
    pub(in crate::ssh) plain: Cow<'static, [Algorithm]>,
    /// Kinds of keys with a certificate; they are asked for before all others.
    pub(in crate::ssh) certificates: Cow<'static, [Algorithm]>,
}

/// RSA whose signatures are by SHA-1.
const SHA1: Algorithm = Algorithm::Rsa { hash: None };

impl HostKeyAlgorithms {
    /// All that we have, or those of them that the user's `HostKeyAlgorithms` names; those of `known` keys first, so that a
    /// server that has several keys shows the one that we can judge. Certificates only where an authority is named: without
    /// one, nothing can come of them.
    pub(super) fn ordered(wanted: Option<&[String]>, known: &[Algorithm], authority: bool) -> Self {
        let ours = Preferred::DEFAULT.key;
        let named = |name: &dyn Fn(&Algorithm) -> String| -> Vec<Algorithm> {
            match wanted {
                // RSA with SHA-1 is for those who ask for it by name, as with OpenSSH since 8.8.
                None => ours.iter().filter(|algorithm| **algorithm != SHA1).cloned().collect(),
                Some(names) => {
                    let find = |wanted: &String| ours.iter().find(|algorithm| name(algorithm) == *wanted).cloned();
                    names.iter().filter_map(find).collect()
                }
            }
        };
        let mut plain = named(&|algorithm| algorithm.as_str().to_owned());
        let mut certificates = if authority { named(&Algorithm::to_certificate_type) } else { Vec::new() };
        for list in [&mut plain, &mut certificates] {
            list.sort_by_key(|algorithm| !known.iter().any(|known| same_kind(known, algorithm)));
        }
        // The old signature is only for keys whose site asks for it: a certificate is new enough to do without.
        certificates.retain(|algorithm| *algorithm != SHA1);
        Self { plain: Cow::Owned(plain), certificates: Cow::Owned(certificates) }
    }
}

/// Whether both are for the same keys; the hash of RSA is the signature's and not the key's.
pub(super) fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || one == other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ordered: &HostKeyAlgorithms) -> (Vec<&str>, Vec<String>) {
        (
            ordered.plain.iter().map(Algorithm::as_str).collect(),
            ordered.certificates.iter().map(Algorithm::to_certificate_type).collect(),
        )
    }

    #[test]
    fn certificates_are_asked_for_only_where_an_authority_is_named() {
        let without = HostKeyAlgorithms::ordered(None, &[], false);
        assert!(without.certificates.is_empty());
        let with = HostKeyAlgorithms::ordered(None, &[], true);
        assert_eq!(with.plain, without.plain);
        assert_eq!(with.certificates.first(), Some(&Algorithm::Ed25519));
        assert!(!with.certificates.contains(&Algorithm::Rsa { hash: None }));
    }

    #[test]
    fn the_users_list_counts_and_known_kinds_come_first() {
        let wanted = [
            "ssh-ed25519-cert-v01@openssh.com",
            "rsa-sha2-512-cert-v01@openssh.com",
            "unheard-of@example.org",
            "ssh-ed25519",
            "ecdsa-sha2-nistp256",
            "rsa-sha2-256",
        ]
        .map(str::to_owned);
        let ordered = HostKeyAlgorithms::ordered(Some(&wanted), &[Algorithm::Rsa { hash: None }], true);
        let (plain, certificates) = names(&ordered);
        assert_eq!(plain, ["rsa-sha2-256", "ssh-ed25519", "ecdsa-sha2-nistp256"]);
        assert_eq!(certificates, ["rsa-sha2-512-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com"]);
        let ordered = HostKeyAlgorithms::ordered(Some(&wanted[3..]), &[], true);
        assert_eq!(names(&ordered), (vec!["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256"], Vec::new()));
    }
}
