#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use tempfile::TempDir;
use test_case::test_case;

use super::*;
use crate::ssh::SshHome;
use crate::ssh::config::{KeepAlive, Method};

/// What comes of a destination under a user's configuration; `~` in the result stands for the test's home.
fn resolve(destination: &str, config: &str) -> (TempDir, Result<Target, SshError>) {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "local");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    std::fs::write(home.ssh_dir.join("config"), config).unwrap();
    let target = Target::resolve(&SshOptions { home, ..SshOptions::new(destination) });
    (dir, target)
}

fn target(destination: &str, config: &str) -> Target {
    resolve(destination, config).1.unwrap()
}

/// `user@host:port`.
fn place(destination: &str, config: &str) -> String {
    let target = target(destination, config);
    format!("{}@{}:{}", target.user, target.host, target.port)
}

#[test_case("h", "", "local@h:22"; "nothing configured")]
#[test_case("h", "Host h\nHostName login.example.org\nUser me\nPort 2222", "me@login.example.org:2222")]
#[test_case("you@h:23", "Host h\nUser me\nPort 2222", "you@h:23"; "the destination's own words win")]
#[test_case("h", "User me\nHost h\nUser you", "me@h:22"; "the first value wins")]
#[test_case("h", "Host other\nUser you\nHost *\nUser me", "me@h:22"; "another host's block")]
#[test_case("h", "Host * !h\nUser you\nHost *\nUser me", "me@h:22"; "a negation")]
#[test_case("h1", "Host h? x\nHostName %h.example.org", "local@h1.example.org:22"; "a pattern and a token")]
#[test_case("h", "Host h\nHostName 100%%h", "local@100%h:22"; "a hidden percent sign")]
#[test_case("h", "Host=h\nUser=\"me\"\n\tport = 2222", "me@h:2222"; "equals signs, quotes and tabs")]
#[test_case("h", "HOST h\nuSER me\r\nPORT 2222\r", "me@h:2222"; "capital letters and carriage returns")]
#[test_case("h", "Match host h\nUser you\nMatch all\nUser me", "you@h:22"; "a Match block")]
#[test_case("h", "Match exec \"true\"\nPort 1\nHost h\nUser me", "me@h:22"; "a Host ends a Match")]
fn places(destination: &str, config: &str, expected: &str) {
    assert_eq!(place(destination, config), expected);
}

#[test]
fn a_match_block_is_passed_over_aloud() {
    let warnings = target("h", "Host x\nMatch exec true\nPort 1\n").warnings;
    assert_eq!(warnings.len(), 1);
    let expected = "config:2: a Match block is passed over: without OpenSSH's `ssh`, `exec` is not judged";
    assert!(warnings.first().unwrap().ends_with(expected), "{warnings:?}");
}

#[test_case("RevokedHostKeys /r", "RevokedHostKeys")]
#[test_case("userknownhostsfile /k", "UserKnownHostsFile"; "small letters")]
#[test_case("GlobalKnownHostsFile /k", "GlobalKnownHostsFile")]
#[test_case("StrictHostKeyChecking yes", "StrictHostKeyChecking")]
fn what_decides_on_trust_is_named_where_it_is_passed_over(line: &str, option: &str) {
    let said = |config: &str| {
        let warnings = target("h", config).warnings;
        let expected = format!(": {option} is not applied: the Match block around it is passed over");
        warnings.iter().any(|warning| warning.ends_with(&expected))
    };
    assert!(said(&format!("Match exec x\nPort 1\n{line}")));
    assert!(!said(&format!("Match exec x\nPort 1\nHost h\n{line}")), "a Host ends a Match");
    assert!(!said(&format!("Match all\n{line}")));
    // In a file that such a block includes, and there in a block for our host.
    for (included, expected) in
        [(line.to_owned(), true), (format!("Host h\n{line}"), true), (format!("Host x\n{line}"), false)]
    {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("more"), included).unwrap();
        let include = format!("Include {}", dir.path().join("more").display());
        assert_eq!(said(&format!("Match exec x\n{include}")), expected);
        assert!(!said(&format!("Host x\n{include}")));
    }
}

#[test]
fn lists_of_revoked_keys_are_found() {
    let (dir, found) = resolve("h", "Host h\nRevokedHostKeys ~/one %d/%h\nRevokedHostKeys /two");
    let home = dir.path();
    let lists = vec![home.join("one"), home.join("h")];
    assert_eq!(
        found.unwrap().revoked_host_keys,
        Some(RevokedLists { lists, named_by: format!("{}:2", home.join(".ssh/config").display()) })
    );
    assert_eq!(target("h", "RevokedHostKeys none\nRevokedHostKeys /two").revoked_host_keys, None);
    assert_eq!(target("h", "Host x\nRevokedHostKeys /two").revoked_host_keys, None);
}

#[test_case("CheckHostIP yes", "only looked up by name")]
#[test_case("KnownHostsCommand /bin/k", "KnownHostsCommand /bin/k: it is not run")]
#[test_case("StrictHostKeyChecking no", "is read as accept-new")]
#[test_case("StrictHostKeyChecking off", "is read as accept-new"; "off")]
#[test_case("IdentityFile ~/%Z", "IdentityFile ~/%Z is passed over: %Z is not understood")]
#[test_case("IdentityFile ${LLM_PROXY_NO_SUCH}/k", "the variable ${LLM_PROXY_NO_SUCH} is not set")]
#[test_case("IdentityAgent ~/%Z", "IdentityAgent ~/%Z is passed over")]
#[test_case("UserKnownHostsFile /a /%Z", "UserKnownHostsFile /%Z is passed over")]
#[test_case("PKCS11Provider /lib/x.so", "`ssh-add -s PROVIDER`")]
#[test_case("SecurityKeyProvider /lib/x.so", "`ssh-add KEY`")]
#[test_case("GSSAPIAuthentication yes", "GSSAPI (Kerberos) is not done; the other ways are tried")]
#[test_case("PreferredAuthentications gssapi-with-mic,publickey", "GSSAPI (Kerberos) is not done: use a key")]
#[test_case("PreferredAuthentications hostbased,publickey", "hostbased authentication is not done")]
#[test_case("VerifyHostKeyDNS ask", "not looked up in the DNS")]
#[test_case("ProxyUseFdpass yes", "no descriptor is taken")]
#[test_case("BindInterface eth0", "name one of its addresses with BindAddress")]
#[test_case("BindAddress myself", "only an address is heeded")]
#[test_case("CanonicalizeHostname yes", "names are not made canonical")]
#[test_case("NoSuchKeyword x", "the keyword `nosuchkeyword` is not known")]
fn what_is_not_honoured_is_said_once(line: &str, expected: &str) {
    let warnings = target("h", &format!("{line}\n{line}")).warnings;
    let about: Vec<&String> = warnings.iter().filter(|warning| warning.contains(expected)).collect();
    let lines = if line.starts_with("NoSuch") { 2 } else { 1 };
    assert_eq!((about.len(), warnings.len()), (lines, lines), "{warnings:?}");
}

#[test_case(
    "StrictHostKeyChecking ask\nServerAliveInterval 10\nForwardAgent yes\nHost other\nStrictHostKeyChecking no"
)]
#[test_case(
    "ControlMaster auto\nControlPath ~/x\nRemoteForward 1 a:1\nTunnel yes\nPermitLocalCommand yes\nSendEnv LANG"
)]
#[test_case(
    "PKCS11Provider none\nSecurityKeyProvider internal\nGSSAPIAuthentication no\nCheckHostIP no\nVerifyHostKeyDNS no"
)]
#[test_case("IgnoreUnknown Foo*,UseKeychain\nFooBar x\nUseKeychain yes\nBindInterface none\nKnownHostsCommand none")]
fn what_changes_nothing_is_not_mentioned(config: &str) {
    assert_eq!(target("h", config).warnings, Vec::<String>::new());
}

#[test]
fn gssapi_that_the_system_switches_on_for_everybody_is_no_matter() {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "local");
    std::fs::create_dir_all(&home.system_dir).unwrap();
    std::fs::write(home.system_dir.join("ssh_config"), "GSSAPIAuthentication yes\n").unwrap();
    let target = Target::resolve(&SshOptions { home, ..SshOptions::new("h") }).unwrap();
    assert_eq!(target.warnings, Vec::<String>::new());
}

#[test]
fn keys_are_found() {
    let config = "IdentityFile ~/a\nHost h\nIdentityFile \"%d/my keys/%r-%h-%u\"\nIdentityFile /k\nIdentitiesOnly yes\n\
                  CertificateFile ~/c-%p\nIdentityFile none";
    let (dir, target) = resolve("you@h", config);
    let target = target.unwrap();
    let home = dir.path();
    assert_eq!(target.configured, [home.join("a"), home.join("my keys/you-h-local"), PathBuf::from("/k")]);
    assert_eq!(target.certificates, [home.join("c-22")]);
    assert!(target.usual.is_empty() && target.identities_only);
}

#[test]
fn keys_are_looked_for_only_where_none_is_named() {
    let (dir, target) = resolve("h", "");
    let names = ["id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk"];
    assert_eq!(target.unwrap().usual, names.map(|name| dir.path().join(".ssh").join(name)));
    let home = SshHome::below(dir.path(), "local");
    let options = SshOptions { home, identities: vec!["/k".into()], ..SshOptions::new("h") };
    let target = Target::resolve(&options).unwrap();
    assert_eq!((target.named, target.usual), (vec![PathBuf::from("/k")], Vec::new()));
}

#[test]
fn none_names_no_keys_and_no_files() {
    let target = target("h", "IdentityFile none\nUserKnownHostsFile none\nIdentityAgent none");
    assert!(target.configured.is_empty() && target.usual.is_empty());
    assert_eq!((target.agent, target.learn_into), (None, None));
    assert!(
        target.known_hosts.iter().all(|file| file.ends_with("ssh_known_hosts") || file.ends_with("ssh_known_hosts2"))
    );
}

#[test]
fn known_hosts_files_are_found() {
    let (dir, target) = resolve("h", "UserKnownHostsFile ~/one \"~/t w o\"\nGlobalKnownHostsFile /%g");
    let home = dir.path();
    let target = target.unwrap();
    assert_eq!(target.known_hosts, [home.join("one"), home.join("t w o"), PathBuf::from("/%g")]);
    assert_eq!(target.learn_into, Some(home.join("one")));
}

#[test]
fn what_is_learnt_into_nowhere_is_kept_in_memory() {
    assert_eq!(target("h", "UserKnownHostsFile /dev/null").learn_into, None);
}

/// The hops from the target outwards.
fn hops(target: &Target) -> Vec<String> {
    let mut hops = Vec::new();
    let mut here = target;
    while let Way::Jump(next) = &here.way {
        hops.push(format!("{}@{}:{}", next.user, next.host, next.port));
        here = next;
    }
    hops
}

#[test_case("Host h\nProxyJump gate", &["local@gate:22"])]
#[test_case("Host h\nProxyJump gate\nHost gate\nHostName g.example.org\nUser me\nPort 23", &["me@g.example.org:23"]; "a hop's own configuration")]
#[test_case("Host h\nProxyJump a,me@b:24,ssh://[::1]:25", &["local@::1:25", "me@b:24", "local@a:22"]; "a chain")]
#[test_case("Host h\nProxyJump a\nHost a\nProxyJump b", &["local@a:22", "local@b:22"]; "a hop with a hop")]
#[test_case("Host h\nProxyJump x,a\nHost a\nProxyJump b", &["local@a:22", "local@x:22"]; "what stands before a hop wins over its own")]
#[test_case("Host h\nProxyJump gate-%h-%r\nHost gate-*\nUser me", &["me@gate-h-local:22"]; "tokens")]
#[test_case("Host h\nProxyJump none\nHost *\nProxyJump gate", &[])]
#[test_case("Host other\nProxyJump gate", &[]; "another host's")]
fn ways_through_other_hosts(config: &str, expected: &[&str]) {
    assert_eq!(hops(&target("h", config)), expected);
}

#[test_case("ProxyCommand nc -X 5 %h %p # x", Some("nc -X 5 h 22 # x"))]
#[test_case("ProxyCommand none\nProxyJump gate", None; "none makes a later jump void")]
#[test_case("ProxyJump none\nProxyCommand nc", Some("nc"); "a jump to none leaves a command be")]
#[test_case("ProxyCommand nc\nProxyJump gate", Some("nc"); "the first of either wins")]
#[test_case("HostName login.example.org\nUser me\nProxyCommand /p %% %n %h %r", Some("/p % h login.example.org me"))]
fn ways_by_a_command(config: &str, expected: Option<&str>) {
    let expected = expected.map_or(Way::Direct, |command| Way::Command(command.to_owned()));
    assert_eq!(target("h", config).way, expected);
}

#[test]
fn what_was_said_about_the_target_is_not_said_about_its_hops() {
    let dir = tempfile::tempdir().unwrap();
    let options = SshOptions {
        home: SshHome::below(dir.path(), "local"),
        user: Some("me".to_owned()),
        port: Some(23),
        jump: Some("a,b".to_owned()),
        settings: vec!["HostName=login.example.org".to_owned(), "ConnectTimeout 7".to_owned()],
        identities: vec!["/k".into()],
        accept_new_host_key: true,
        ..SshOptions::new("h")
    };
    let target = Target::resolve(&options).unwrap();
    assert_eq!((target.user.as_str(), target.host.as_str(), target.port), ("me", "login.example.org", 23));
    assert_eq!(target.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(hops(&target), ["local@b:22", "local@a:22"]);
    let Way::Jump(hop) = target.way else { panic!("{:?}", target.way) };
    assert_eq!((hop.connect_timeout, hop.named.len(), hop.unknown_host_key), (None, 0, UnknownHostKey::Ask));
}

#[test_case("Host *\nProxyJump gate", "h -> gate -> gate"; "one that leads to itself")]
#[test_case("Host h\nProxyJump a\nHost a\nProxyJump b\nHost b\nProxyJump a", "h -> a -> b -> a"; "two that lead to each other")]
fn circles_are_shown(config: &str, expected: &str) {
    match resolve("h", config).1 {
        Err(SshError::JumpCircle { chain }) => assert_eq!(chain, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_way_without_end_ends() {
    assert!(matches!(resolve("h", "ProxyJump x%n").1, Err(SshError::TooManyJumps { .. })));
}

#[test]
fn everything_else_is_read() {
    let config = "HostKeyAlias Alias\nStrictHostKeyChecking yes\nHashKnownHosts yes\nServerAliveInterval 1m\n\
                  ServerAliveCountMax 5\nConnectTimeout 20\nAddressFamily inet6\nBindAddress 127.0.0.1\n\
                  PreferredAuthentications password,publickey,keyboard-interactive\nPubkeyAuthentication no\n\
                  NumberOfPasswordPrompts 1\nBatchMode yes\nCiphers aes256-ctr\nMACs -hmac-sha2-512*\n\
                  KexAlgorithms curve25519-sha256\nHostKeyAlgorithms ssh-ed25519\nPubkeyAcceptedKeyTypes rsa-sha2-512";
    let target = target("h", config);
    assert_eq!(target.host_key_alias.as_deref(), Some("alias"));
    assert_eq!((target.unknown_host_key, target.hash_known_hosts), (UnknownHostKey::Refuse, true));
    assert_eq!(target.keep_alive, KeepAlive { interval: Duration::from_mins(1), questions: 5 });
    assert_eq!(target.connect_timeout, Some(Duration::from_secs(20)));
    assert_eq!((target.address_family, target.bind_address), (AddressFamily::Inet6, "127.0.0.1".parse().ok()));
    assert_eq!(target.methods, [Method::Password, Method::KeyboardInteractive]);
    assert_eq!((target.password_prompts, target.batch), (1, true));
    let list = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(target.algorithms.ciphers, list(&["aes256-ctr"]));
    assert_eq!(target.algorithms.macs, list(&["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"]));
    assert_eq!(target.algorithms.kex, list(&["curve25519-sha256"]));
    assert_eq!(target.algorithms.host_keys, list(&["ssh-ed25519"]));
    assert_eq!(target.algorithms.public_keys, list(&["rsa-sha2-512"]));
}

#[test]
fn ours_stays_where_nothing_is_said_or_zero() {
    let target = target("h", "ServerAliveInterval 0\nServerAliveCountMax 0\nConnectTimeout 0");
    assert_eq!((target.keep_alive, target.connect_timeout), (KeepAlive::default(), None));
    assert_eq!(target.algorithms, Algorithms::default());
}

#[test_case("Ciphers blowfish-cbc", "Ciphers")]
#[test_case("KexAlgorithms -*", "KexAlgorithms")]
#[test_case("PreferredAuthentications gssapi-with-mic,hostbased", "PreferredAuthentications")]
#[test_case("PubkeyAuthentication no\nPasswordAuthentication no\nChallengeResponseAuthentication no", "PreferredAuthentications"; "all are switched off")]
fn where_nothing_is_left_that_is_said(config: &str, expected: &str) {
    match resolve("h", config).1 {
        Err(SshError::NothingLeft { keyword, .. }) => assert_eq!(keyword, expected),
        other => panic!("{other:?}"),
    }
}

#[test_case("$(id)", "ProxyCommand nc %h %p")]
#[test_case("a;b", "ProxyCommand nc %n %p")]
#[test_case("a|b@h", "ProxyCommand nc %r %p")]
fn what_a_shell_would_read_is_not_handed_to_one(destination: &str, config: &str) {
    let error = resolve(destination, config).1.unwrap_err();
    assert!(error.to_string().contains("cannot be handed to a shell"), "{error}");
}

#[test_case("Port ssh", "`ssh` is not a port")]
#[test_case("Port 0", "`0` is not a port"; "zero")]
#[test_case("User \"me", "a quote is not closed")]
#[test_case("User a b", "User takes one value")]
#[test_case("RevokedHostKeys /%Z", "RevokedHostKeys /%Z: %Z is not understood")]
#[test_case("UserKnownHostsFile none /k", "`none` must stand alone")]
#[test_case("GlobalKnownHostsFile /k NONE", "`none` must stand alone"; "capital letters")]
#[test_case("Include ~/.ssh/config", "files include one another too deeply")]
#[test_case("Match host", "a criterion has no value")]
#[test_case("IdentitiesOnly maybe", "`maybe` is neither yes nor no")]
#[test_case("StrictHostKeyChecking never", "`never` is not a StrictHostKeyChecking")]
#[test_case("ConnectTimeout soon", "`soon` is not a time")]
#[test_case("NumberOfPasswordPrompts x", "`x` is not a number")]
#[test_case("AddressFamily ipx", "`ipx` is not an AddressFamily")]
#[test_case("HostName %Z", "HostName %Z: %Z is not understood")]
#[test_case("ProxyJump %Z", "ProxyJump %Z: %Z is not understood")]
#[test_case("ProxyCommand %C", "ProxyCommand %C: %C is not understood")]
fn lines_that_mean_nothing(line: &str, expected: &str) {
    match resolve("h", line).1 {
        Err(SshError::ConfigInvalid { line: 1, problem, .. }) => assert_eq!(problem, expected),
        other => panic!("{other:?}"),
    }
}

#[test_case("Port=x", "`-o Port=x`: `x` is not a port")]
#[test_case("User", "`-o User`: the keyword has no value")]
#[test_case("Host=h", "`-o Host=h`: host only stands in files")]
fn arguments_that_mean_nothing(setting: &str, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "local");
    let options = SshOptions { home, settings: vec![setting.to_owned()], ..SshOptions::new("h") };
    assert_eq!(Target::resolve(&options).unwrap_err().to_string(), expected);
}

#[test]
fn includes_count_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "local");
    std::fs::create_dir_all(home.ssh_dir.join("conf.d")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.ssh_dir.join(name), text).unwrap();
    write("config", "Host other\nInclude never\nHost h\nInclude conf.d/*.conf missing\nUser outer\nPort 3");
    write("never", "Host *\nUser never\n");
    write("conf.d/b.conf", "Host h\nUser b\nHost other\n");
    write("conf.d/a.conf", "HostName a.example.org\n");
    write("conf.d/ignored.txt", "HostName ignored\n");
    let target = Target::resolve(&SshOptions { home, ..SshOptions::new("h") }).unwrap();
    assert_eq!(format!("{}@{}:{}", target.user, target.host, target.port), "b@a.example.org:3");
}

#[test]
fn the_systems_file_comes_second_and_a_named_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "local");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    std::fs::create_dir_all(&home.system_dir).unwrap();
    std::fs::write(home.ssh_dir.join("config"), "User mine\n").unwrap();
    std::fs::write(home.system_dir.join("ssh_config"), "User systems\nPort 2\n").unwrap();
    let named = dir.path().join("named");
    std::fs::write(&named, "User named\n").unwrap();
    let mut options = SshOptions { home, ..SshOptions::new("h") };
    let target = Target::resolve(&options).unwrap();
    assert_eq!((target.user.as_str(), target.port), ("mine", 2));
    options.config_file = Some(named);
    let target = Target::resolve(&options).unwrap();
    assert_eq!((target.user.as_str(), target.port), ("named", 22));
    options.config_file = Some(dir.path().join("missing"));
    assert!(matches!(Target::resolve(&options), Err(SshError::ConfigUnreadable { .. })));
}

#[test]
fn a_host_that_the_configuration_refuses_is_refused() {
    let config = "Host h\nRefuseConnection use the new \\x1b gate\nHost *\nUser u";
    let (_dir, refused) = resolve("h", config);
    let error = refused.unwrap_err();
    assert!(matches!(error, SshError::ConfigInvalid { line: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("RefuseConnection: use the new"), "{error}");
    assert_eq!(target("i", config).user, "u");
}
