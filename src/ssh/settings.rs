//! How our connections are set up, and why so.

use std::borrow::Cow;
use std::time::Duration;

use russh::{Limits, Preferred, cipher, client, kex, mac};

use super::SshError;
use super::config::{KeepAlive, Target};
use super::trust::HostKeyAlgorithms;

/// How many bytes of one stream may be under way to us: of our own streams, and of one that carries another connection with
/// all streams of that one in it. russh gives the window back by halves, so a stream gets about this much in two round
/// trips: 24 MiB/s at 80 ms, where `ssh -L` gets 20 with half of it, which it gives back sooner. With a quarter, hundreds of
/// streams that all carry as much as they can are twice as fast (the server holds less of each), and one alone is four times
/// slower; hundreds such streams are no engine's work, one large answer is.
const WINDOW: u32 = 4 << 20;

/// OpenSSH sends no larger packets whatever is offered.
const PACKET: u32 = 32 * 1024;

/// How many messages of one stream russh holds before it stops reading for all of them. The stream's task always takes
/// them, so this only covers the time until it is scheduled, or has written to disk; an empty place costs nothing, and all
/// of them full are 32 MiB.
const MESSAGES: usize = 1024;

/// Our own order. `AES-GCM` costs half of what `ChaCha` does where the processor helps, and both ends nearly always have that.
const CIPHERS: [cipher::Name; 6] = [
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// Those that bring their own authentication code.
const AUTHENTICATED: [cipher::Name; 3] = [cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::CHACHA20_POLY1305];

/// What a client may say among its key exchanges besides those. The last one closes the hole of CVE-2023-48795, and is
/// said whatever else the user chooses.
const EXTENSIONS: [kex::Name; 2] = [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// The settings for a connection whose host keys are these kinds, in this order.
///
/// # Errors
/// The configuration allows no algorithm that we have.
pub(super) fn client_config(target: &Target, host_keys: HostKeyAlgorithms) -> Result<client::Config, SshError> {
    let keep_alive = effective(target.keep_alive);
    if host_keys.plain.is_empty() && host_keys.certificates.is_empty() {
        let allowed = target.algorithms.host_keys.iter().flatten().cloned().collect::<Vec<_>>().join(",");
        return Err(SshError::NothingLeft { keyword: "HostKeyAlgorithms", allowed });
    }
    let ciphers = ciphers(target)?;
    Ok(client::Config {
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: MESSAGES,
        keepalive_interval: Some(keep_alive.interval),
        keepalive_max: keep_alive.questions,
        // russh would also end a connection where a person takes long to answer; see `patience`.
        inactivity_timeout: None,
        limits: begin_no_key_exchange(),
        preferred: Preferred {
            kex: key_exchanges(target)?,
            key: host_keys.plain,
            host_key_certificates: host_keys.certificates,
            mac: macs(target, &ciphers)?,
            cipher: ciphers,
            ..Preferred::DEFAULT
        },
        nodelay: true,
        ..client::Config::default()
    })
}

/// We begin no key exchange after the first: under load, russh can end the connection (it counts what was under way against the
/// window of one stream). The other side may: OpenSSH does after 1 GiB or 64 GiB by itself.
pub(super) fn begin_no_key_exchange() -> Limits {
    Limits {
        rekey_read_limit: usize::MAX / 2,
        rekey_write_limit: usize::MAX / 2,
        rekey_time_limit: Duration::from_hours(30 * 24),
    }
}

/// How long a write may be stuck: as long as a server may be silent. russh asks no question while a write is stuck, so
/// whoever writes has to look at the time.
pub(super) fn patience(target: &Target) -> Duration {
    let KeepAlive { interval, questions } = effective(target.keep_alive);
    let silences = u32::try_from(questions).unwrap_or(u32::MAX).saturating_add(1);
    interval.saturating_mul(silences)
}

/// Without questions a dead server would never be found out, so there always are some.
fn effective(keep_alive: KeepAlive) -> KeepAlive {
    let usual = KeepAlive::default();
    KeepAlive {
        interval: if keep_alive.interval.is_zero() { usual.interval } else { keep_alive.interval },
        questions: if keep_alive.questions == 0 { usual.questions } else { keep_alive.questions },
    }
}

/// The user's, or russh's own list and then the NIST curves: login nodes in FIPS mode would otherwise fall to a slow
/// 8192-bit group.
fn key_exchanges(target: &Target) -> Result<Cow<'static, [kex::Name]>, SshError> {
    let named = target.algorithms.kex.as_deref();
    let known = |name: &str| kex::Name::try_from(name).ok().filter(|name| *name != kex::NONE);
    let mut list = if let Some(chosen) = chosen("KexAlgorithms", named, known)? {
        chosen.into_owned()
    } else {
        let mut list = Preferred::DEFAULT.kex.into_owned();
        list.extend([kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521]);
        list
    };
    for extension in EXTENSIONS {
        if !list.contains(&extension) {
            list.push(extension);
        }
    }
    Ok(Cow::Owned(list))
}

fn ciphers(target: &Target) -> Result<Cow<'static, [cipher::Name]>, SshError> {
    let known =
        |name: &str| cipher::Name::try_from(name).ok().filter(|name| *name != cipher::NONE && *name != cipher::CLEAR);
    Ok(chosen("Ciphers", target.algorithms.ciphers.as_deref(), known)?.unwrap_or(Cow::Borrowed(&CIPHERS)))
}

/// The user's, or russh's own. Where every cipher brings its own, none of them is ever used, and it is no matter what the
/// user allows.
fn macs(target: &Target, ciphers: &[cipher::Name]) -> Result<Cow<'static, [mac::Name]>, SshError> {
    let known = |name: &str| mac::Name::try_from(name).ok().filter(|name| *name != mac::NONE);
    match chosen("MACs", target.algorithms.macs.as_deref(), known) {
        Ok(chosen) => Ok(chosen.unwrap_or(Preferred::DEFAULT.mac)),
        Err(_) if ciphers.iter().all(|cipher| AUTHENTICATED.contains(cipher)) => Ok(Preferred::DEFAULT.mac),
        Err(error) => Err(error),
    }
}

/// Those of the user's names that we have, in the user's order; `None` where the user names none.
fn chosen<N: Clone + 'static>(
    keyword: &'static str,
    named: Option<&[String]>,
    known: impl Fn(&str) -> Option<N>,
) -> Result<Option<Cow<'static, [N]>>, SshError> {
    let Some(named) = named else { return Ok(None) };
    let found: Vec<N> = named.iter().filter_map(|name| known(name)).collect();
    if found.is_empty() {
        return Err(SshError::NothingLeft { keyword, allowed: named.join(",") });
    }
    Ok(Some(Cow::Owned(found)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use super::*;
    use crate::ssh::SshOptions;

    fn target() -> Target {
        let mut options = SshOptions::new("h");
        options.home = crate::ssh::SshHome::below(std::path::Path::new("/nowhere"), "me");
        Target::resolve(&options).unwrap()
    }

    fn config(target: &Target) -> Result<client::Config, SshError> {
        let usual = HostKeyAlgorithms { plain: Preferred::DEFAULT.key, certificates: Cow::Borrowed(&[]) };
        client_config(target, usual)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().copied().map(String::from).collect()
    }

    #[test]
    fn a_server_is_found_dead_within_a_minute_unless_the_user_says_otherwise() {
        let mut target = target();
        assert_eq!(patience(&target), Duration::from_mins(1));
        target.keep_alive = KeepAlive { interval: Duration::from_secs(1), questions: 2 };
        let made = config(&target).unwrap();
        assert_eq!((made.keepalive_interval, made.keepalive_max), (Some(Duration::from_secs(1)), 2));
        assert_eq!(patience(&target), Duration::from_secs(3));
        // What would never find it dead is not taken.
        target.keep_alive = KeepAlive { interval: Duration::ZERO, questions: 0 };
        assert_eq!(patience(&target), Duration::from_mins(1));
    }

    #[test]
    fn strict_key_exchange_stays_on() {
        let mut target = target();
        for kex in [None, Some(names(&["ecdh-sha2-nistp256"]))] {
            target.algorithms.kex = kex;
            let made = config(&target).unwrap();
            assert!(made.preferred.kex.contains(&kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT));
        }
    }

    #[test]
    fn the_users_algorithms_are_taken_in_the_users_order() {
        let mut target = target();
        target.algorithms.kex = Some(names(&["sntrup761x25519-sha512", "ecdh-sha2-nistp384", "curve25519-sha256"]));
        target.algorithms.ciphers = Some(names(&["aes256-ctr", "none", "3des-cbc", "aes256-gcm@openssh.com"]));
        target.algorithms.macs = Some(names(&["umac-64@openssh.com", "hmac-sha2-256"]));
        let made = config(&target).unwrap().preferred;
        assert_eq!(made.kex.get(..2).unwrap(), [kex::ECDH_SHA2_NISTP384, kex::CURVE25519]);
        assert_eq!(made.cipher.as_ref(), [cipher::AES_256_CTR, cipher::AES_256_GCM]);
        assert_eq!(made.mac.as_ref(), [mac::HMAC_SHA256]);
    }

    #[test]
    fn ciphers_that_bring_their_own_code_need_none_of_the_users() {
        let mut target = target();
        target.algorithms.macs = Some(names(&["umac-128-etm@openssh.com"]));
        target.algorithms.ciphers = Some(names(&["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com"]));
        assert!(!config(&target).unwrap().preferred.mac.contains(&mac::NONE));
        target.algorithms.ciphers = Some(names(&["chacha20-poly1305@openssh.com", "aes256-ctr"]));
        assert!(matches!(config(&target), Err(SshError::NothingLeft { keyword: "MACs", .. })));
    }

    #[test]
    fn a_kind_of_host_key_must_be_left() {
        let mut target = target();
        target.algorithms.host_keys = Some(names(&["ssh-dss", "ssh-ed448"]));
        let none = HostKeyAlgorithms { plain: Cow::Borrowed(&[]), certificates: Cow::Borrowed(&[]) };
        let error = client_config(&target, none).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the SSH configuration only allows HostKeyAlgorithms `ssh-dss,ssh-ed448`, and this program has none of them"
        );
    }

    #[test]
    fn a_list_without_anything_that_we_have_is_an_error_and_not_ours_instead() {
        for kind in ["KexAlgorithms", "Ciphers", "MACs"] {
            let mut target = target();
            let list = Some(names(&["none", "rot13"]));
            match kind {
                "KexAlgorithms" => target.algorithms.kex = list,
                "Ciphers" => target.algorithms.ciphers = list,
                _ => target.algorithms.macs = list,
            }
            let error = config(&target).unwrap_err();
            assert!(matches!(&error, SshError::NothingLeft { keyword, .. } if *keyword == kind), "{error:?}");
            assert!(error.to_string().contains("none,rot13") && !error.is_transient(), "{error}");
        }
    }
}
