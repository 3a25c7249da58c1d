//! Which keys may be shown, and by which hash an RSA key signs.

use russh::keys::{Algorithm, HashAlg};

use super::plan::Shown;

/// The hashes that a server takes for RSA keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RsaHashes {
    /// Only SHA-1, which can be forged.
    None,
    /// SHA-256. So does a server that does not say: since 2016.
    Sha256,
    /// SHA-512 and SHA-256.
    Both,
}

impl RsaHashes {
    /// By what the server says of itself.
    #[expect(clippy::option_option, reason = "this is how russh tells silence from SHA-1 alone")]
    pub(super) fn best(best: Option<Option<HashAlg>>) -> Self {
        match best {
            Some(Some(HashAlg::Sha512)) => Self::Both,
            Some(None) => Self::None,
            Some(Some(_)) | None => Self::Sha256,
        }
    }

    fn all(self) -> &'static [HashAlg] {
        match self {
            Self::None => &[],
            Self::Sha256 => &[HashAlg::Sha256],
            Self::Both => &[HashAlg::Sha512, HashAlg::Sha256],
        }
    }
}

/// The hash to sign with, which only an RSA key chooses. `allowed` are the names that the user allows, if not all.
///
/// # Errors
/// Why the key may not be shown, in words.
pub(super) fn hash_for(
    shown: &Shown,
    rsa: RsaHashes,
    allowed: Option<&[String]>,
) -> Result<Option<HashAlg>, &'static str> {
    let (algorithm, certified) = match shown {
        Shown::Key(key) => (key.algorithm(), false),
        Shown::Certificate(certificate) => (certificate.algorithm(), true),
        Shown::Unknown => return Ok(None),
    };
    let is_allowed = |algorithm: &Algorithm| {
        let name = if certified { algorithm.to_certificate_type() } else { algorithm.as_str().to_owned() };
        allowed.is_none_or(|allowed| allowed.contains(&name))
    };
    let left_out = "PubkeyAcceptedAlgorithms leaves its kind out";
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return if is_allowed(&algorithm) { Ok(None) } else { Err(left_out) };
    }
    if rsa.all().is_empty() {
        return Err("the server takes RSA keys only with SHA-1, which can be forged");
    }
    let hash = rsa.all().iter().find(|hash| is_allowed(&Algorithm::Rsa { hash: Some(**hash) }));
    hash.map(|hash| Some(*hash)).ok_or(left_out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use russh::keys::ssh_key::PublicKey;
    use test_case::test_case;

    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCYhznN91MPn+cOukiJDvsenO/12nc/ckDkV4Xj2H8ppmOX+vsYgBrPVw3qCgPVpc35Ji+Ba7vLXhW/LC0q7rgq7XYmqya2K4tK46BjxobyuePph6Siqc4CZHZAlpUEoLGfggmnnhe4dyAXDtxuFQVksGIE3DXnptanhNVe+zjp8NEt09NuO4xFM8z6AOAqkPr4qJDyLwSEEH+3lkMoTCK599ByblcbEU6Q+lgwmXbP6wf0U0K4J9S3W/WNC+nipaPtVTSxhFsM+Qv6gZ8IwAvH1rTIUYnk7PglTRrsy2NTY3lV5jtAOUMV6jpwRJLlu6tO0NC31Djb3RwNXrjkl3br";

    fn shown(text: &str) -> Shown {
        Shown::Key(Box::new(PublicKey::from_openssh(text).unwrap()))
    }

    #[test_case(RsaHashes::Both, None, Ok(Some(HashAlg::Sha512)); "the best")]
    #[test_case(RsaHashes::Sha256, None, Ok(Some(HashAlg::Sha256)); "what the server has")]
    #[test_case(RsaHashes::Both, Some("rsa-sha2-256"), Ok(Some(HashAlg::Sha256)); "what the user allows")]
    #[test_case(RsaHashes::Both, Some("ssh-ed25519"), Err("PubkeyAcceptedAlgorithms leaves its kind out"); "no RSA")]
    #[test_case(RsaHashes::None, None, Err("the server takes RSA keys only with SHA-1, which can be forged"); "SHA 1")]
    fn an_rsa_key_signs_by(rsa: RsaHashes, allowed: Option<&str>, expected: Result<Option<HashAlg>, &str>) {
        let allowed = allowed.map(|one| vec![one.to_owned()]);
        assert_eq!(hash_for(&shown(RSA), rsa, allowed.as_deref()), expected);
    }

    #[test]
    fn another_key_is_allowed_or_not() {
        let allowed = |name: &str| hash_for(&shown(ED25519), RsaHashes::None, Some(&[name.to_owned()]));
        assert_eq!(allowed("ssh-ed25519"), Ok(None));
        assert!(allowed("ssh-ed25519-cert-v01@openssh.com").is_err());
    }
}
