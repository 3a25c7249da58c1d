//! The tunnel that needs nobody's sshd.

use crate::carried::everything;
use crate::scene::{first_answer, on_login, taken};
use crate::support::left::{processes, wait_until_nothing_runs};
use crate::support::scene::ends_well;
use crate::support::{Cluster, HostName, Proxy};

/// Whoever can log in nowhere from a node, and knows no host, needs neither.
fn without_keys(cluster: &Cluster) {
    let ssh = cluster.home().join(".ssh");
    for file in ["known_hosts", "id_ed25519", "id_ed25519.pub"] {
        std::fs::remove_file(ssh.join(file)).expect("a file of the user's");
    }
}

#[tokio::test]
async fn it_needs_neither_keys_nor_known_hosts() {
    let cluster = Cluster::up();
    without_keys(&cluster);
    let proxy = on_login(&cluster, &["--route", "reverse"]).start().await;
    everything(&cluster, &proxy).await;
    assert_eq!(taken(&Proxy::builder().on_login(&cluster)), "reverse");
    nothing_listens_for_it(&cluster, &proxy);
    no_secret_is_seen(&cluster);
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// Once its client has come, the server's port is closed, and none was opened for the forward.
fn nothing_listens_for_it(cluster: &Cluster, proxy: &Proxy) {
    let sockets = cluster.on(HostName::Login, &["ss", "-Hltnp"]);
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    let ours: Vec<_> = sockets.lines().filter(|line| line.contains("\"llm-proxy\"")).collect();
    assert!(matches!(ours.as_slice(), [one] if one.contains(proxy.address())), "{ours:?}");
}

fn no_secret_is_seen(cluster: &Cluster) {
    for host in [HostName::Login, HostName::Node1] {
        for one in processes(cluster, host) {
            let words = one.words;
            assert!(!words.contains("PRIVATE KEY") && !words.contains("ssh-ed25519 AAAA"), "{words}");
        }
    }
}

/// With a login host between, and an address of this machine that the user says the job reaches.
#[tokio::test]
async fn a_machine_that_nodes_reach_needs_no_sshd() {
    let cluster = Cluster::up();
    let inner = cluster.login_inner_address().to_owned();
    let options = ["--login", "login", "--route", "reverse", "--loopback-host", &inner];
    let proxy = on_login(&cluster, &options).start().await;
    first_answer(&proxy).await;
    let said = proxy.lines().so_far().join("\n");
    // The port of a server of ours, which is none.
    assert!(said.contains("Allocated port 1 for"), "{said}");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}
