//! Host certificates: what must be true of one, besides that a named authority's key signed it.

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};

use crate::ssh::words::printable;

/// Why a certificate says nothing about a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it is a user's certificate, not a host's")]
    NotOfAHost,
    #[error("it is not valid yet: it will be in {}", how_long(*.seconds))]
    TooEarly { seconds: u64 },
    #[error("it expired {} ago", how_long(*.seconds))]
    Expired { seconds: u64 },
    #[error("it names no host at all")]
    NoNames,
    #[error("it is for {} and not for {}", names(.listed), .wanted)]
    AnotherName { listed: Vec<String>, wanted: String },
    #[error("it has conditions that are not understood: {0}")]
    Conditions(String),
    #[error("its signature is of an old kind (ssh-rsa)")]
    OldSignature,
    #[error("its signature is wrong")]
    Forged,
}

/// Checks a certificate that `authority` is said to have signed, for a host of this name.
///
/// As in OpenSSH, but for one thing: a certificate that names no host would be good for every one, and is refused here.
pub(super) fn check(
    certificate: &Certificate,
    authority: &PublicKey,
    host: &str,
    now: SystemTime,
) -> Result<(), Unfit> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // First of all, so that nothing is said about the words of a forger.
    match certificate.signature().algorithm() {
        Algorithm::Rsa { hash: None } | Algorithm::Dsa => return Err(Unfit::OldSignature),
        _ => {}
    }
    let fingerprint = authority.fingerprint(HashAlg::Sha256);
    let inside = certificate.valid_after().min(certificate.valid_before().saturating_sub(1));
    if certificate.signature_key() != authority.key_data() || certificate.validate_at(inside, [&fingerprint]).is_err() {
        return Err(Unfit::Forged);
    }
    match certificate.cert_type() {
        CertType::Host => {}
        CertType::User => return Err(Unfit::NotOfAHost),
    }
    if now < certificate.valid_after() {
        return Err(Unfit::TooEarly { seconds: certificate.valid_after() - now });
    }
    if now >= certificate.valid_before() {
        return Err(Unfit::Expired { seconds: now - certificate.valid_before() });
    }
    let listed = certificate.valid_principals();
    if listed.is_empty() {
        return Err(Unfit::NoNames);
    }
    if !listed.iter().any(|name| name == host) {
        return Err(Unfit::AnotherName { listed: listed.to_vec(), wanted: host.to_owned() });
    }
    // OpenSSH knows none for hosts.
    if !certificate.critical_options().is_empty() {
        let conditions: Vec<_> = certificate.critical_options().keys().map(String::as_str).collect();
        return Err(Unfit::Conditions(printable(&conditions.join(", "))));
    }
    Ok(())
}

fn names(listed: &[String]) -> String {
    printable(&listed.join(", "))
}

/// A time in its largest unit, as a person would say it.
fn how_long(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        172_800.. => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
#[path = "certificate_test.rs"]
mod tests;
