//! What the configuration asks for and we do not do: said once, and what to do instead.

use super::configured::{Configured, Setting};

/// What is said about a setting: when it matters, and the words.
type Rule = (&'static str, fn(&Setting) -> bool, &'static str);

const RULES: [Rule; 13] = [
    ("PKCS11Provider", given, "keys on smart cards are used through the agent: `ssh-add -s PROVIDER`"),
    (
        "SecurityKeyProvider",
        |setting| given(setting) && !setting.is("internal"),
        "security keys are used through the agent: `ssh-add KEY`",
    ),
    ("KnownHostsCommand", given, "it is not run: write the keys into a file that UserKnownHostsFile names"),
    (
        "VerifyHostKeyDNS",
        switched_on,
        "host keys are not looked up in the DNS: they must stand in a file of known hosts",
    ),
    ("CheckHostIP", switched_on, "a host key is only looked up by name, not by address too"),
    ("NoHostAuthenticationForLocalhost", switched_on, "host keys of this machine are verified all the same"),
    ("CASignatureAlgorithms", |_| true, "certificate authorities may sign by any algorithm that this program has"),
    ("RequiredRSASize", |_| true, "the size of RSA keys is not looked at"),
    ("ProxyUseFdpass", switched_on, "no descriptor is taken: the command must carry the bytes itself (nc without -F)"),
    ("BindInterface", given, "an interface cannot be chosen: name one of its addresses with BindAddress"),
    (
        "CanonicalizeHostname",
        switched_on,
        "without OpenSSH's `ssh`, names are not made canonical: set HostName, or install it",
    ),
    (
        "PreferredAuthentications",
        |setting| names(setting, "gssapi"),
        "GSSAPI (Kerberos) is not done: use a key, or ask your site for another way",
    ),
    (
        "PreferredAuthentications",
        |setting| names(setting, "hostbased"),
        "hostbased authentication is not done: use a key, or ask your site for another way",
    ),
];

/// Adds the warnings. What `ssh -G` has done by itself, such as names made canonical, is no matter.
pub(in crate::ssh) fn name(found: &mut Configured, by_openssh: bool) {
    let mut warnings = Vec::new();
    for (keyword, matters, words) in RULES {
        if by_openssh && keyword == "CanonicalizeHostname" {
            continue;
        }
        if let Some(setting) = found.get(keyword).filter(|setting| matters(setting)) {
            warnings.push(format!("{}: {keyword} {}: {words}", setting.origin, setting.value()));
        }
    }
    let preferred = found.get("PreferredAuthentications");
    if found.wants_gssapi
        && preferred.is_none()
        && let Some(setting) = found.get("GSSAPIAuthentication").filter(|setting| switched_on(setting))
    {
        warnings.push(format!(
            "{}: GSSAPIAuthentication yes: GSSAPI (Kerberos) is not done; the other ways are tried",
            setting.origin
        ));
    }
    for warning in warnings {
        found.warn(warning);
    }
}

fn given(setting: &Setting) -> bool {
    !setting.is("none")
}

fn switched_on(setting: &Setting) -> bool {
    !setting.is("no") && !setting.is("false") && !setting.is("none")
}

fn names(setting: &Setting, way: &str) -> bool {
    setting.value().split(',').any(|named| named.starts_with(way))
}
