//! Login hosts that give little, and such as are several.

use futures_util::future::join_all;

use crate::ssh::ssh_reaches;
use crate::support::scene::chat;
use crate::support::{Cluster, HostName};
use crate::way::{ask, ends_well, proxy, whole_way};

#[tokio::test]
async fn two_sessions_on_one_connection() {
    let cluster = Cluster::builder().sshd_option("MaxSessions 2").up();
    let words = ["-o", "ControlMaster=no"];
    assert_eq!(ssh_reaches(&cluster, None, &words, "login"), "login");
    let proxy = proxy(&cluster, None, &words, "login").start().await;
    ask(&proxy).await.ok();
    let streams =
        (0..30).map(|_| async { proxy.client().stream("/v1/chat/completions", &chat(true)).await.events().await });
    for (events, whole) in join_all(streams).await {
        assert!(whole && events.last().is_some_and(|last| last == "data: [DONE]"), "{events:?}");
    }
    assert_eq!(cluster.jobs().len(), 1);
    ends_well(&cluster, proxy).await;
}

/// Each has a key of its own, and both are known by the name.
#[tokio::test]
async fn two_login_hosts_behind_one_name() {
    let cluster = Cluster::builder().second_login().up();
    let none: [&str; 0] = [];
    assert_eq!(ssh_reaches(&cluster, None, &none, "cluster"), "login");
    whole_way(&cluster, proxy(&cluster, None, &none, "cluster")).await;
    cluster.cut_from(HostName::Login);
    let hasty = ["-o", "ConnectTimeout=3"];
    assert_eq!(ssh_reaches(&cluster, None, &hasty, "cluster"), "login2");
    whole_way(&cluster, proxy(&cluster, None, &hasty, "cluster")).await;
}
