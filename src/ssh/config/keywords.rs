//! The keywords of `ssh_config`: those we read, and those that change nothing for us.

/// How a keyword's values are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ssh) enum Takes {
    /// One value; the first line wins.
    One,
    /// Several values in one line; the first line wins.
    Several,
    /// The line's rest as it stands; the first line wins.
    Rest,
    /// One value; every line adds to the list.
    OneMore,
}

/// A keyword that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ssh) struct Keyword {
    /// As `ssh_config(5)` writes it.
    pub(in crate::ssh) name: &'static str,
    pub(in crate::ssh) takes: Takes,
}

const READ: [(Takes, &[&str]); 4] = [
    (
        Takes::One,
        &[
            "AddressFamily",
            "BatchMode",
            "BindAddress",
            "BindInterface",
            "CASignatureAlgorithms",
            "CanonicalizeHostname",
            "CheckHostIP",
            "Ciphers",
            "ConnectTimeout",
            "GSSAPIAuthentication",
            "HashKnownHosts",
            "HostKeyAlgorithms",
            "HostKeyAlias",
            "HostName",
            "IdentitiesOnly",
            "IdentityAgent",
            "IgnoreUnknown",
            "KbdInteractiveAuthentication",
            "KexAlgorithms",
            "MACs",
            "NoHostAuthenticationForLocalhost",
            "NumberOfPasswordPrompts",
            "PKCS11Provider",
            "PasswordAuthentication",
            "Port",
            "PreferredAuthentications",
            "ProxyJump",
            "ProxyUseFdpass",
            "PubkeyAcceptedAlgorithms",
            "PubkeyAuthentication",
            "RequiredRSASize",
            "SecurityKeyProvider",
            "ServerAliveCountMax",
            "ServerAliveInterval",
            "StrictHostKeyChecking",
            "User",
            "VerifyHostKeyDNS",
        ],
    ),
    (Takes::Several, &["GlobalKnownHostsFile", "RevokedHostKeys", "UserKnownHostsFile"]),
    (Takes::Rest, &["KnownHostsCommand", "ProxyCommand", "RefuseConnection"]),
    (Takes::OneMore, &["CertificateFile", "IdentityFile"]),
];

/// Older names for the same.
const ALIASES: [(&str, &str); 7] = [
    ("ChallengeResponseAuthentication", "KbdInteractiveAuthentication"),
    ("SkeyAuthentication", "KbdInteractiveAuthentication"),
    ("TISAuthentication", "KbdInteractiveAuthentication"),
    ("DSAAuthentication", "PubkeyAuthentication"),
    ("PubkeyAcceptedKeyTypes", "PubkeyAcceptedAlgorithms"),
    ("IdentityFile2", "IdentityFile"),
    ("SmartcardDevice", "PKCS11Provider"),
];

/// What changes nothing for a program that runs commands and opens streams of its own.
const WITHOUT_EFFECT: &[&str] = &[
    "AddKeysToAgent",
    "CanonicalDomains",
    "CanonicalizeFallbackLocal",
    "CanonicalizeMaxDots",
    "CanonicalizePermittedCNAMEs",
    "ChannelTimeout",
    "Cipher",
    "ClearAllForwardings",
    "Compression",
    "CompressionLevel",
    "ConnectionAttempts",
    "ControlMaster",
    "ControlPath",
    "ControlPersist",
    "DynamicForward",
    "EnableEscapeCommandline",
    "EnableSSHKeysign",
    "EscapeChar",
    "ExitOnForwardFailure",
    "FallBackToRsh",
    "FingerprintHash",
    "ForkAfterAuthentication",
    "ForwardAgent",
    "ForwardX11",
    "ForwardX11Timeout",
    "ForwardX11Trusted",
    "GatewayPorts",
    "GlobalKnownHostsFile2",
    "GSSAPIClientIdentity",
    "GSSAPIDelegateCredentials",
    "GSSAPIKexAlgorithms",
    "GSSAPIKeyExchange",
    "GSSAPIRenewalForcesRekey",
    "GSSAPIServerIdentity",
    "GSSAPITrustDns",
    "HostbasedAcceptedAlgorithms",
    "HostbasedAcceptedKeyTypes",
    "HostbasedAuthentication",
    "HostbasedKeyTypes",
    "IPQoS",
    "KbdInteractiveDevices",
    "KeepAlive",
    "LocalCommand",
    "LocalForward",
    "LogLevel",
    "LogVerbose",
    "ObscureKeystrokeTiming",
    "PermitLocalCommand",
    "PermitRemoteOpen",
    "Protocol",
    "RSAAuthentication",
    "RekeyLimit",
    "RemoteCommand",
    "RemoteForward",
    "RequestTTY",
    "RhostsRSAAuthentication",
    "SendEnv",
    "SessionType",
    "SetEnv",
    "StdinNull",
    "StreamLocalBindMask",
    "StreamLocalBindUnlink",
    "SyslogFacility",
    "TCPKeepAlive",
    "Tag",
    "Tunnel",
    "TunnelDevice",
    "UpdateHostKeys",
    "UseBlacklistedKeys",
    "UseKeychain",
    "UsePrivilegedPort",
    "UseRoaming",
    "UseRsh",
    "UserKnownHostsFile2",
    "VersionAddendum",
    "VisualHostKey",
    "WarnWeakCrypto",
    "XAuthLocation",
];

impl Keyword {
    /// The keyword that we read by this name, in capital or small letters.
    pub(in crate::ssh) fn named(written: &str) -> Option<Self> {
        let name = ALIASES.iter().find(|(old, _)| old.eq_ignore_ascii_case(written)).map_or(written, |(_, now)| now);
        READ.iter().find_map(|(takes, names)| {
            let name = names.iter().find(|known| known.eq_ignore_ascii_case(name))?;
            Some(Self { name, takes: *takes })
        })
    }

    /// Whether `ssh` knows a keyword that we have no use for.
    pub(in crate::ssh) fn is_without_effect(written: &str) -> bool {
        WITHOUT_EFFECT.iter().any(|known| known.eq_ignore_ascii_case(written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_read_as_the_new_ones() {
        for (old, now) in ALIASES {
            assert_eq!(Keyword::named(&old.to_ascii_lowercase()).map(|keyword| keyword.name), Some(now));
        }
    }

    #[test]
    fn no_keyword_is_both_read_and_without_effect() {
        for (_, names) in READ {
            assert!(names.iter().all(|name| !Keyword::is_without_effect(name)));
        }
        assert_eq!(Keyword::named("ControlMaster"), None);
    }
}
