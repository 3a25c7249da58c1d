//! Our own reading of configurations, held against `ssh -G`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where it finds a fault")]

use std::path::Path;

use super::{RevokedLists, Target, Way};
use crate::ssh::{SshError, SshHome, SshOptions};

/// What is written on the command line (the destination comes last), and the file. `@` stands for a folder with `one.conf`
/// (`User one`), `two.conf` (`Host h`, `Port 2`), `sub/three.conf` (`Host other`, `User three`) and `loop.conf`.
type Case = (&'static str, &'static str);

/// Both must come to the same.
const SAME: &[Case] = &[
    ("h", ""),
    ("H", ""),
    ("you@h", "User me"),
    ("h", "Host h\nHostName login.example.org\nUser me\nPort 2222"),
    ("h", "User me\nHost h\nUser you"),
    ("h", "Host other\nUser you\nHost *\nUser me"),
    ("h", "Host * !h\nUser you\nHost *\nUser me"),
    ("h", "Host !h *\nUser you"),
    ("h", "Host !x\nUser you"),
    ("h1", "Host h? x\nHostName %h.Example.org"),
    ("h", "Host H\nUser me"),
    ("H", "Host H\nUser me"),
    ("h", "Host \"a b\" h\nUser me"),
    ("h", "HOST h\n\tuSER=me\n  PORT = 2222 \n# x\n\nCompression yes # y"),
    ("h", "User \"me\""),
    ("h", "User 'me'"),
    ("h", "User me#x"),
    ("h", "User me #x"),
    ("h", "User a\nUser b c"),
    ("h", "User \"a\\\"b\""),
    ("h", "Host h\r\nUser me\r\nPort 24\r"),
    // Match.
    ("h", "Match host h\nUser a\nMatch all\nPort 24"),
    ("h", "HostName x.org\nMatch host x.*\nUser a\nMatch host h\nPort 24"),
    ("h", "HostName x.org\nMatch originalhost h\nUser a"),
    ("H", "Match host h originalhost h\nUser a"),
    ("h", "Match host=h\nUser a"),
    ("h", "Match !host x,y\nUser a"),
    ("h", "Match host *,!h\nUser a"),
    ("h", "User me\nMatch user me\nPort 24\nMatch user x\nPort 25"),
    ("you@h", "Match user you\nPort 24"),
    ("-l you h", "Match user you\nPort 24"),
    ("h", "Match localuser nobody-at-all\nPort 24\nMatch !localuser nobody-at-all\nPort 25"),
    ("h", "Match host h user nobody-at-all\nPort 24"),
    ("h", "Match exec false\nPort 24\nHost h\nUser a"),
    ("h", "Match user nobody-at-all exec true\nPort 24"),
    ("h", "Match all user me\nPort 24"),
    ("h", "Match host\nPort 24"),
    // Include.
    ("h", "Include @/one.conf\nUser two"),
    ("h", "Include @/*.conf"),
    ("h", "Include @/*/*.conf @/[t]wo.conf"),
    ("h", "Include @/no-such.conf @/two.conf"),
    ("h", "Host other\nInclude @/one.conf\nHost h\nPort 24"),
    ("h", "Host h\nInclude @/sub/three.conf\nUser after"),
    ("h", "Match host h\nInclude @/two.conf\nUser after"),
    ("h", "Include @/loop.conf"),
    // Keys.
    ("h", "IdentityFile ~/a\nIdentityFile \"~/b c\"\nIdentityFile ~/a\nIdentitiesOnly yes"),
    ("you@h", "Port 24\nHostName x.org\nIdentityFile /%%-%C-%d-%h-%i-%k-%L-%l-%n-%p-%r-%u"),
    ("h", "HostKeyAlias Ali\nIdentityFile /%k\nCertificateFile ~/c-%h\nCertificateFile /d"),
    ("h", "IdentityFile none"),
    ("h", "IdentityFile none\nIdentityFile /a"),
    ("h", "IdentityFile ${HOME}/a"),
    ("h", "IdentityFile /a b"),
    ("h", "IdentityAgent none"),
    ("h", "IdentityAgent ~/agent-%r"),
    ("h", "IdentityAgent SSH_AUTH_SOCK"),
    ("h", "IdentityAgent $HOME"),
    ("h", "IdentityAgent ${HOME}/agent"),
    // Known hosts.
    ("h", "UserKnownHostsFile ~/k-%h \"/a b\" /c%%h\nGlobalKnownHostsFile /g-%h /i"),
    ("h", "UserKnownHostsFile none\nGlobalKnownHostsFile none"),
    ("h", "UserKnownHostsFile none /a"),
    ("h", "UserKnownHostsFile /dev/null\nStrictHostKeyChecking no"),
    ("h", "StrictHostKeyChecking accept-new\nHashKnownHosts yes"),
    ("h", "StrictHostKeyChecking yes"),
    ("h", "StrictHostKeyChecking OFF"),
    ("h", "RevokedHostKeys ~/r-%h"),
    ("h", "RevokedHostKeys none"),
    // Ways.
    ("h", "ProxyJump gate"),
    ("h", "Host h\nProxyJump gate"),
    ("h", "Host h\nProxyJump a,me@[::1]:24,ssh://you@c:25\nHost a\nUser x\nHostName a.org"),
    ("h", "Host h\nProxyJump a\nHost a\nProxyJump b\nPort 24"),
    ("h", "Host h\nProxyJump a\nHost a\nProxyJump h"),
    ("h", "Host h\nProxyJump a,\n"),
    ("h", "Host h\nProxyJump gate-%h"),
    ("h", "ProxyJump none\nProxyJump a"),
    ("h", "ProxyJump none\nProxyCommand nc %h"),
    ("h", "ProxyCommand none\nProxyJump a"),
    ("h", "ProxyCommand   nc \"%h\"   %p %r %n %% # x\nProxyJump a"),
    ("h", "Host h\nProxyJump a\nProxyCommand nc"),
    ("-J none h", "ProxyJump a"),
    ("-J none h", "ProxyCommand nc %h"),
    ("-J a,b h", "Host h\nProxyJump c\nHost b\nProxyJump d"),
    ("-J b -o ProxyCommand=nc h", ""),
    ("-o ProxyCommand=none h", "ProxyJump a"),
    // The rest.
    ("-p 24 -l you -o User=x -o ConnectTimeout=7 h", "User me\nPort 25\nConnectTimeout 8"),
    ("-o HostName=%h.org h", "Match host h.org\nUser a"),
    ("-o Port=x h", ""),
    ("h", "ServerAliveInterval 1m30s\nServerAliveCountMax 7\nConnectTimeout 1h"),
    ("h", "ServerAliveInterval 0\nConnectTimeout none"),
    ("h", "ConnectTimeout soon"),
    ("h", "AddressFamily inet6\nBindAddress ::1"),
    ("h", "AddressFamily ipx"),
    ("h", "PreferredAuthentications password,publickey,x\nPasswordAuthentication no"),
    ("h", "ChallengeResponseAuthentication no\nNumberOfPasswordPrompts 1\nBatchMode yes"),
    ("h", "PubkeyAuthentication unbound"),
    ("h", "PubkeyAuthentication no"),
    (
        "h",
        "Ciphers aes256-ctr,aes128-gcm@openssh.com\nMACs hmac-sha2-256\nKexAlgorithms curve25519-sha256,ecdh-sha2-nistp256",
    ),
    ("h", "HostKeyAlgorithms ssh-ed25519,rsa-sha2-512\nPubkeyAcceptedKeyTypes ssh-ed25519-cert-v01@openssh.com"),
    ("h", "KexAlgorithms sntrup761x25519-sha512@openssh.com"),
    ("h", "HostKeyAlgorithms ssh-ed25519*"),
    ("h", "IgnoreUnknown Use*\nUseKeychain yes\nUser me"),
    ("h", "Port 0"),
    ("h", "Port 2222 23"),
    ("h", "User"),
    ("h", "User \"me"),
    ("h", "IdentitiesOnly maybe"),
    ("::1", "Host *:1\nPort 24"),
    ("fe80::1%lo", "User me"),
    ("h", "HostName fe80::1%%lo"),
    ("h", "HostName 2001:db8::A"),
    ("h", "HostName %n"),
];

/// Both come to something else, and why that is meant.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("h", "Ciphers +aes256-cbc", "without ssh, signs change our own list and not that of some version of OpenSSH"),
    ("h", "Ciphers -aes*-ctr", "the same"),
    ("h", "KexAlgorithms ^diffie-hellman-group14-sha256", "the same"),
    ("h", "Match exec true\nUser a", "we run no commands to judge, and never apply what we cannot judge"),
    ("h", "Match final\nUser a", "we read the files once"),
    ("h", "Match canonical all\nUser a\nMatch final all\nUser b", "the same"),
    ("h", "NoSuchKeyword x", "ssh stops; we go on aloud, because it may be newer than we are"),
    ("h", "Port 24\nPort x", "ssh reads lines that do not count; we do not"),
    ("h", "MACs hmac-sha2-*", "ssh takes patterns only behind a minus"),
];

/// The folder that a case may include files from, and the file.
fn files(folder: &Path, config: &str) -> std::path::PathBuf {
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("one.conf", "User one\n");
    write("two.conf", "Host h\nPort 2\n");
    write("sub/three.conf", "Host other\nUser three\n");
    write("loop.conf", &format!("Include {}/loop.conf\n", folder.display()));
    // Not beside the others, or a pattern would name it.
    let file = folder.join("config");
    std::fs::write(
        &file,
        config.replace('@', "\u{1}").replace("\u{1}/", &format!("{}/", folder.display())).replace('\u{1}', "@"),
    )
    .unwrap();
    file
}

/// What `ssh` and what we make of it.
fn both(line: &str, config: &str) -> [Result<Target, SshError>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let home = SshHome::from_environment();
    assert!(home.ssh_program.is_some(), "no `ssh` in $PATH to compare with: install openssh-client");
    let mut options = SshOptions { home, config_file: Some(files(folder.path(), config)), ..SshOptions::new("") };
    let mut words = line.split(' ').map(str::to_owned);
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("an option has a value");
        match word.as_str() {
            "-l" => options.user = Some(value()),
            "-p" => options.port = Some(value().parse().unwrap()),
            "-J" => options.jump = Some(value()),
            "-o" => options.settings.push(value()),
            destination => destination.clone_into(&mut options.destination),
        }
    }
    let theirs = Target::resolve(&options).map(without_words);
    options.home.ssh_program = None;
    [theirs, Target::resolve(&options).map(without_words)]
}

/// Warnings and the places of settings are told by lines, which `ssh` does not give.
fn without_words(target: Target) -> Target {
    let way = match target.way {
        Way::Jump(hop) => Way::Jump(Box::new(without_words(*hop))),
        other @ (Way::Direct | Way::Command(_)) => other,
    };
    let revoked = target.revoked_host_keys;
    let revoked = revoked.map(|found| RevokedLists { lists: found.lists, named_by: String::new() });
    Target { way, revoked_host_keys: revoked, warnings: Vec::new(), ..target }
}

/// Why two results differ; errors are all alike here, because their words are not ours.
fn difference([theirs, ours]: &[Result<Target, SshError>; 2]) -> Option<String> {
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) if theirs == ours => None,
        (Err(_), Err(_)) => None,
        (theirs, ours) => {
            let (theirs, ours) = (format!("{theirs:#?}"), format!("{ours:#?}"));
            let beyond = |one: &str, other: &str| {
                let others: Vec<&str> = other.lines().collect();
                one.lines().filter(|line| !others.contains(line)).collect::<Vec<_>>().join("\n")
            };
            Some(format!("ssh:\n{}\nwe:\n{}", beyond(&theirs, &ours), beyond(&ours, &theirs)))
        }
    }
}

#[test]
fn our_own_reading_comes_to_what_ssh_s_does() {
    assert!(SAME.len() >= 40);
    let mut faults = Vec::new();
    for (line, config) in SAME {
        if let Some(difference) = difference(&both(line, config)) {
            faults.push(format!("`{line}` with\n{config}\n{difference}\n"));
        }
    }
    assert!(faults.is_empty(), "{} of {} differ:\n{}", faults.len(), SAME.len(), faults.join("\n"));
}

#[test]
fn where_both_differ_it_is_meant() {
    for (line, config, reason) in DIFFERENT {
        assert!(difference(&both(line, config)).is_some(), "`{line}` with\n{config}\nno longer differs: {reason}");
    }
}
