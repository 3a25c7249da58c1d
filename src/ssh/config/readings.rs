//! Single values of the configuration, read for what they mean.

use std::net::IpAddr;
use std::time::Duration;

use super::algorithms::Kind;
use super::configured::{Configured, Setting};
use super::{AddressFamily, Algorithms, KeepAlive, METHODS, Method, UnknownHostKey};
use crate::ssh::SshError;

/// `StrictHostKeyChecking`.
///
/// # Errors
/// It is none of its words.
pub(super) fn unknown_host_key(found: &mut Configured) -> Result<UnknownHostKey, SshError> {
    let Some(setting) = found.get("StrictHostKeyChecking") else { return Ok(UnknownHostKey::Ask) };
    match setting.value().to_ascii_lowercase().as_str() {
        "ask" => Ok(UnknownHostKey::Ask),
        "yes" | "true" => Ok(UnknownHostKey::Refuse),
        "accept-new" => Ok(UnknownHostKey::Accept),
        "no" | "false" | "off" => {
            let warning = format!(
                "{}: StrictHostKeyChecking no is read as accept-new: an unknown host key is trusted, a changed one is \
                 refused all the same",
                setting.origin
            );
            found.warn(warning);
            Ok(UnknownHostKey::Accept)
        }
        other => Err(setting.origin.invalid(format!("`{other}` is not a StrictHostKeyChecking"))),
    }
}

/// `PreferredAuthentications`, less the methods that are switched off.
///
/// # Errors
/// No method is left that we have.
pub(super) fn methods(found: &Configured) -> Result<Vec<Method>, SshError> {
    let preferred = found.get("PreferredAuthentications");
    let mut methods: Vec<Method> = match preferred {
        Some(setting) => setting.value().split(',').filter_map(|name| method(name.trim())).collect(),
        None => METHODS.to_vec(),
    };
    if let Some(setting) = preferred.filter(|_| methods.is_empty()) {
        return Err(SshError::NothingLeft { keyword: "PreferredAuthentications", allowed: setting.value().to_owned() });
    }
    let switches = [
        ("PubkeyAuthentication", Method::PublicKey),
        ("KbdInteractiveAuthentication", Method::KeyboardInteractive),
        ("PasswordAuthentication", Method::Password),
    ];
    for (keyword, method) in switches {
        // `PubkeyAuthentication` has more words than yes and no, and they are kinds of yes.
        if found.get(keyword).is_some_and(|setting| setting.is("no") || setting.is("false")) {
            methods.retain(|kept| *kept != method);
        }
    }
    if methods.is_empty() {
        let allowed = preferred.map_or("none", Setting::value).to_owned();
        return Err(SshError::NothingLeft { keyword: "PreferredAuthentications", allowed });
    }
    Ok(methods)
}

fn method(name: &str) -> Option<Method> {
    match name {
        "publickey" => Some(Method::PublicKey),
        "keyboard-interactive" => Some(Method::KeyboardInteractive),
        "password" => Some(Method::Password),
        _ => None,
    }
}

/// The five lists.
///
/// # Errors
/// One holds nothing that we have.
pub(super) fn algorithms(found: &Configured) -> Result<Algorithms, SshError> {
    let list = |kind: Kind| {
        let Some(setting) = found.get(kind.keyword()) else { return Ok(None) };
        let list = kind.list(setting.value());
        if list.is_empty() {
            return Err(SshError::NothingLeft { keyword: kind.keyword(), allowed: setting.value().to_owned() });
        }
        Ok(Some(list))
    };
    Ok(Algorithms {
        kex: list(Kind::KeyExchange)?,
        ciphers: list(Kind::Cipher)?,
        macs: list(Kind::Mac)?,
        host_keys: list(Kind::HostKey)?,
        public_keys: list(Kind::PublicKey)?,
    })
}

/// `ServerAliveInterval` and `ServerAliveCountMax`; 0 keeps ours, because a dead link must be found out.
///
/// # Errors
/// One is not a number.
pub(super) fn keep_alive(found: &Configured) -> Result<KeepAlive, SshError> {
    let mut keep_alive = KeepAlive::default();
    if let Some(interval) = span(found.get("ServerAliveInterval"))? {
        keep_alive.interval = interval;
    }
    if let Some(questions) = number(found.get("ServerAliveCountMax"))?.filter(|questions| *questions > 0) {
        keep_alive.questions = questions;
    }
    Ok(keep_alive)
}

/// A span of time that is more than nothing; `None`, too, for `none`.
///
/// # Errors
/// It is not a time.
pub(super) fn span(setting: Option<&Setting>) -> Result<Option<Duration>, SshError> {
    let Some(setting) = setting.filter(|setting| !setting.is("none")) else { return Ok(None) };
    let seconds = seconds(setting.value())
        .ok_or_else(|| setting.origin.invalid(format!("`{}` is not a time", setting.value())))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// `90`, or `1m30s`, as `sshd_config(5)` describes it; at most what a 32-bit number holds, as in OpenSSH.
fn seconds(written: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut digits = String::new();
    let mut read_any = false;
    for character in written.chars().chain(std::iter::once('\0')) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let unit = match character.to_ascii_lowercase() {
            '\0' if digits.is_empty() => break,
            '\0' | 's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            'w' => 7 * 24 * 60 * 60,
            _ => return None,
        };
        let count: u64 = digits.parse().ok()?;
        total = total.checked_add(count.checked_mul(unit)?)?;
        digits.clear();
        read_any = true;
    }
    (read_any && total <= u64::from(i32::MAX.unsigned_abs())).then_some(total)
}

/// A count.
///
/// # Errors
/// It is not one.
pub(super) fn number(setting: Option<&Setting>) -> Result<Option<usize>, SshError> {
    let Some(setting) = setting else { return Ok(None) };
    let number = setting.value().parse();
    number.map(Some).map_err(|_| setting.origin.invalid(format!("`{}` is not a number", setting.value())))
}

/// `Port`.
///
/// # Errors
/// It is not one.
pub(super) fn port(setting: Option<&Setting>) -> Result<u16, SshError> {
    let Some(setting) = setting else { return Ok(22) };
    let port = setting.value().parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| setting.origin.invalid(format!("`{}` is not a port", setting.value())))
}

/// `AddressFamily`.
///
/// # Errors
/// It is none of its words.
pub(super) fn address_family(setting: Option<&Setting>) -> Result<AddressFamily, SshError> {
    let Some(setting) = setting else { return Ok(AddressFamily::Any) };
    match setting.value().to_ascii_lowercase().as_str() {
        "any" => Ok(AddressFamily::Any),
        "inet" => Ok(AddressFamily::Inet),
        "inet6" => Ok(AddressFamily::Inet6),
        other => Err(setting.origin.invalid(format!("`{other}` is not an AddressFamily"))),
    }
}

/// `BindAddress`, if it is an address.
pub(super) fn bind_address(found: &mut Configured) -> Option<IpAddr> {
    let setting = found.get("BindAddress")?;
    let address = setting.value().parse().ok();
    if address.is_none() && !setting.is("none") && !setting.is("*") {
        let warning = format!("{}: BindAddress {}: only an address is heeded", setting.origin, setting.value());
        found.warn(warning);
    }
    address
}

/// A yes or no that is `false` where nothing is said.
///
/// # Errors
/// It is neither.
pub(super) fn switch(setting: Option<&Setting>) -> Result<bool, SshError> {
    setting.map_or(Ok(false), Setting::switch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    #[test_case("0", Some(0))]
    #[test_case("90", Some(90))]
    #[test_case("1m30", Some(90))]
    #[test_case("1m30s", Some(90); "with all units")]
    #[test_case("1H", Some(3600))]
    #[test_case("1w1d", Some(691_200))]
    #[test_case("", None)]
    #[test_case("m", None)]
    #[test_case("1x", None)]
    #[test_case("-1", None)]
    #[test_case("99999999999", None)]
    fn times(written: &str, expected: Option<u64>) {
        assert_eq!(seconds(written), expected);
    }

    proptest! {
        #[test]
        fn a_time_is_the_sum_of_its_parts(hours in 0u64..1000, minutes in 0u64..1000, more in 0u64..1000) {
            prop_assert_eq!(seconds(&format!("{hours}h{minutes}m{more}")), Some(hours * 3600 + minutes * 60 + more));
        }

        #[test]
        fn never_panics(written in "\\PC{0,20}") {
            let _ = seconds(&written);
        }
    }
}
