//! Ways in by a key, where nobody is asked.

use std::fs;

use crate::ssh::{Agent, Keys, authorize, ssh, ssh_keygen, ssh_reaches};
use crate::support::scene::soon;
use crate::support::{Cluster, HostName};
use crate::way::{ask, proxy, told, whole_way};

#[tokio::test]
async fn a_key() {
    let cluster = Cluster::up();
    let keys = Keys::new();
    let file = keys.make("key");
    authorize(&cluster, &keys.public("key"));
    assert!(!ssh::<&str>(&cluster, None, &[], "login").status.success(), "no other key is good");
    for words in [vec!["-i", &file], vec!["-o", &format!("IdentityFile={file}")]] {
        assert_eq!(ssh_reaches(&cluster, None, &words, "login"), "login");
        whole_way(&cluster, proxy(&cluster, None, &words, "login")).await;
    }
}

/// Only what an authority of the site signed is good.
#[tokio::test]
async fn a_certificate() {
    let cluster = Cluster::up();
    let keys = Keys::new();
    let (authority, file) = (keys.make("authority"), keys.make("key"));
    authorize(&cluster, &format!("cert-authority {}", keys.public("authority")));
    let bare = told(proxy(&cluster, None, &["-i", &file], "login")).await;
    assert!(bare.contains("key"), "the key alone is refused: {bare}");

    ssh_keygen(&["-s", &authority, "-I", "alice of the laptop", "-n", cluster.user(), &format!("{file}.pub")]);
    let elsewhere = keys.path("certificate.pub");
    fs::rename(keys.path("key-cert.pub"), &elsewhere).expect("a certificate that stands by itself");
    let named = ["-i", &file, "-o", &format!("CertificateFile={elsewhere}")];
    assert_eq!(ssh_reaches(&cluster, None, &named, "login"), "login");
    whole_way(&cluster, proxy(&cluster, None, &named, "login")).await;

    fs::rename(&elsewhere, keys.path("key-cert.pub")).expect("a certificate beside its key");
    let beside = ["-i", file.as_str()];
    assert_eq!(ssh_reaches(&cluster, None, &beside, "login"), "login");
    whole_way(&cluster, proxy(&cluster, None, &beside, "login")).await;
}

/// sshd closes the door after six keys, and the right one is the eleventh.
#[tokio::test]
async fn an_agent_with_ten_other_keys() {
    let cluster = Cluster::up();
    let keys = Keys::new();
    let mut names: Vec<String> = (0..10).map(|number| format!("other-{number}")).collect();
    names.push("right".to_owned());
    for name in &names {
        keys.make(name);
    }
    let agent = Agent::start(&keys, &names).await;
    authorize(&cluster, &keys.public("right"));
    // The agent alone has the key; a file names it.
    fs::remove_file(keys.path("right")).expect("a private key");
    let anything = ["-o", "IdentityFile=none", "-o", "IdentitiesOnly=no"];
    assert!(!ssh(&cluster, Some(&agent), &anything, "login").status.success(), "too many keys");
    let serve = proxy(&cluster, Some(&agent), &anything, "login").start().await;
    let refused = ask(&serve).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("7 more keys were not tried"), "the limit is said: {}", refused.text());
    serve.wait_for_line("hint: name the right key with -i", soon()).await;
    assert!(serve.stop("TERM", soon()).await.success());

    let public = keys.path("right.pub");
    for only in ["yes", "no"] {
        let words = ["-i", public.as_str(), "-o", &format!("IdentitiesOnly={only}")];
        assert_eq!(ssh_reaches(&cluster, Some(&agent), &words, "login"), "login");
        whole_way(&cluster, proxy(&cluster, Some(&agent), &words, "login")).await;
    }
}

/// The laptop has no way to a node but through login.
#[tokio::test]
async fn a_jump_host() {
    let cluster = Cluster::up();
    let node = cluster.address(HostName::Node1).to_owned();
    let direct = cluster.on(HostName::Laptop, &["timeout", "5", "bash", "-c", &format!("exec 3<>/dev/tcp/{node}/22")]);
    assert!(!direct.status.success(), "the laptop reaches node1 by itself");
    for words in [["-J", "login"], ["-o", "ProxyJump=login"], ["-o", "ProxyCommand=ssh -F CONFIG -W [%h]:%p login"]] {
        let words = words.map(|word| word.replace("CONFIG", &cluster.ssh_config().display().to_string()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(ssh_reaches(&cluster, None, &words, "node1"), "node1");
        whole_way(&cluster, proxy(&cluster, None, &words, "node1")).await;
    }
}

/// Somebody else answers in login's place; nothing that a user may write makes that good.
#[tokio::test]
async fn a_changed_host_key() {
    let cluster = Cluster::up();
    let known = fs::read_to_string(cluster.known_hosts()).expect("what the laptop knows");
    let of_node = known.lines().find(|line| line.starts_with("node1")).expect("node1's key");
    let (_, key) = of_node.split_once(' ').expect("a name and a key");
    fs::write(cluster.known_hosts(), format!("# of a month ago\nlogin {key}\n")).expect("what the laptop knows");
    let line = format!("{}:2", cluster.known_hosts().display());
    let lax: [&[&str]; 4] = [
        &[],
        &["-o", "StrictHostKeyChecking=no"],
        &["-o", "StrictHostKeyChecking=accept-new"],
        &["--accept-new-host-key"],
    ];
    for words in lax {
        let refused = told(proxy(&cluster, None, words, "login")).await;
        assert!(refused.contains("host key") && refused.contains(&line), "{words:?}: {refused}");
    }
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    let log = cluster.known_hosts().with_file_name("../login/sshd.log");
    assert!(!fs::read_to_string(log).expect("sshd's log").contains("Accepted"), "nobody logged in");
}
