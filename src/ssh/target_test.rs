#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use tempfile::TempDir;
use test_case::test_case;

use super::*;

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
#[test_case("h", "Match host h\nUser you\nMatch all\nUser me", "me@h:22"; "a Match block is passed over but for all")]
#[test_case("h", "Match exec \"true\"\nPort 1\nHost h\nUser me", "me@h:22"; "a Host ends a Match")]
fn places(destination: &str, config: &str, expected: &str) {
    assert_eq!(place(destination, config), expected);
}

#[test]
fn a_match_block_is_passed_over_aloud() {
    let warnings = target("h", "Host x\nMatch user me\nPort 1\n").warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings.first().unwrap().ends_with("config:2: a Match block is passed over: only `Match all` is understood")
    );
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
    assert!(said(&format!("Match user me\nPort 1\n{line}")));
    assert!(!said(&format!("Match user me\nPort 1\nHost h\n{line}")), "a Host ends a Match");
    assert!(!said(&format!("Match all\n{line}")));
    // In a file that such a block includes, and there in a block for our host.
    for (included, expected) in
        [(line.to_owned(), true), (format!("Host h\n{line}"), true), (format!("Host x\n{line}"), false)]
    {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("more"), included).unwrap();
        let include = format!("Include {}", dir.path().join("more").display());
        assert_eq!(said(&format!("Match user me\n{include}")), expected);
        assert!(!said(&format!("Host x\n{include}")));
    }
}

#[test]
fn lists_of_revoked_keys_are_found() {
    let (dir, found) = resolve("h", "Host h\nRevokedHostKeys ~/one %d/%h\nRevokedHostKeys /two");
    let home = dir.path();
    let lists = vec![home.join("one"), home.join("h")];
    assert_eq!(found.unwrap().revoked_host_keys, Some(RevokedLists { lists, file: home.join(".ssh/config"), line: 2 }));
    assert_eq!(target("h", "RevokedHostKeys none\nRevokedHostKeys /two").revoked_host_keys, None);
    assert_eq!(target("h", "Host x\nRevokedHostKeys /two").revoked_host_keys, None);
}

#[test_case("CheckHostIP yes", "only looked up by name")]
#[test_case("KnownHostsCommand /bin/k", "KnownHostsCommand is not run")]
#[test_case("StrictHostKeyChecking no", "an unknown host key is refused all the same")]
#[test_case("StrictHostKeyChecking accept-new", "an unknown host key is refused all the same"; "accept new")]
#[test_case("IdentityFile ~/%C", "%C is not understood")]
#[test_case("CertificateFile c", "a certificate is only found beside its key")]
fn what_is_not_honoured_is_said(line: &str, expected: &str) {
    let warnings = target("h", line).warnings;
    assert!(warnings.first().is_some_and(|warning| warning.contains(expected)), "{warnings:?}");
}

#[test]
fn what_changes_nothing_is_not_mentioned() {
    let config =
        "StrictHostKeyChecking ask\nServerAliveInterval 10\nForwardAgent yes\nHost other\nStrictHostKeyChecking no";
    assert!(target("h", config).warnings.is_empty());
}

#[test]
fn keys_are_found() {
    let config = "IdentityFile ~/a\nHost h\nIdentityFile \"%d/my keys/%r-%h-%u\"\nIdentityFile /k\nIdentitiesOnly yes";
    let (dir, target) = resolve("you@h", config);
    let target = target.unwrap();
    let home = dir.path();
    assert_eq!(target.configured, [home.join("a"), home.join("my keys/you-h-local"), PathBuf::from("/k")]);
    assert_eq!(target.usual.first().unwrap(), &home.join(".ssh/id_ed25519"));
    assert!(target.identities_only);
}

#[test]
fn none_names_no_keys_and_no_files() {
    let target = target("h", "IdentityFile none\nUserKnownHostsFile none\nIdentityAgent none");
    assert!(target.configured.is_empty());
    assert_eq!(target.agent, None);
    assert!(
        target.known_hosts.iter().all(|file| file.ends_with("ssh_known_hosts") || file.ends_with("ssh_known_hosts2"))
    );
}

#[test]
fn known_hosts_files_are_found() {
    let (dir, target) = resolve("h", "UserKnownHostsFile ~/one \"~/t w o\"\nGlobalKnownHostsFile /%g");
    let home = dir.path();
    assert_eq!(target.unwrap().known_hosts, [home.join("one"), home.join("t w o"), PathBuf::from("/%g")]);
}

#[test_case("ProxyJump gate", "ProxyJump", "gate")]
#[test_case("ProxyCommand nc -X 5 %h %p", "ProxyCommand", "nc -X 5 %h %p")]
fn a_way_through_another_host_is_refused_by_name(line: &str, expected_option: &str, expected_value: &str) {
    let error = resolve("h", &format!("Host h\n{line}")).1.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("config:2 asks for {expected_option} {expected_value}, and this version cannot")),
        "{text}"
    );
    assert!(error.remedy().unwrap().contains(&format!("`{expected_option} none`")));
}

#[test_case("ProxyJump none")]
#[test_case("ProxyJump none\nProxyCommand nc"; "the first of either wins")]
#[test_case("Host other\nProxyJump gate"; "another host's")]
fn no_way_through_another_host(config: &str) {
    assert_eq!(place("h", config), "local@h:22");
}

#[test_case("Port ssh", "`ssh` is not a port")]
#[test_case("Port 0", "`0` is not a port"; "zero")]
#[test_case("User \"me", "a quote is not closed")]
#[test_case("RevokedHostKeys /%Z", "`RevokedHostKeys /%Z` has a token that is not understood")]
#[test_case("UserKnownHostsFile none /k", "`none` must stand alone")]
#[test_case("GlobalKnownHostsFile /k NONE", "`none` must stand alone"; "capital letters")]
#[test_case("Include ~/.ssh/config", "files include one another too deeply")]
fn lines_that_mean_nothing(line: &str, expected: &str) {
    match resolve("h", line).1 {
        Err(SshError::ConfigInvalid { line: 1, problem, .. }) => assert_eq!(problem, expected),
        other => panic!("{other:?}"),
    }
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
