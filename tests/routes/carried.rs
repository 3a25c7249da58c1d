//! What each route carries: everything that HTTP is used for, over a link that comes and goes.

use crate::scene::{first_answer, proxy};
use crate::support::carried::{
    a_cut_is_survived, a_websocket_echoes, an_abort_reaches_the_engine, large_bodies_pass, tokens_come_one_by_one,
};
use crate::support::left::{processes, wait_until_nothing_runs};
use crate::support::scene::ends_well;
use crate::support::{Cluster, ClusterBuilder, HostName};

/// One body of either direction.
const LARGE: usize = 100 << 20;

#[tokio::test]
async fn direct_carries_everything() {
    everything(&Cluster::builder(), "direct", "direct").await;
}

#[tokio::test]
async fn nested_carries_everything() {
    everything(&Cluster::builder(), "nested", "nested").await;
}

#[tokio::test]
async fn nested_by_a_command_carries_everything() {
    everything(&Cluster::builder().sshd_option("AllowTcpForwarding no"), "nested", "nested").await;
}

#[tokio::test]
async fn relay_carries_everything() {
    everything(&Cluster::builder().sshd_option("AllowTcpForwarding no"), "relay", "relay").await;
}

#[tokio::test]
async fn what_auto_takes_where_nothing_is_forwarded_carries_everything() {
    everything(&Cluster::builder().sshd_option("AllowTcpForwarding no"), "auto", "nested").await;
}

async fn everything(cluster: &ClusterBuilder, wish: &str, taken: &str) {
    let cluster = cluster.clone().up();
    let proxy = proxy(&cluster, wish).start().await;
    assert_eq!(first_answer(&proxy).await.taken, taken);
    let jobs = cluster.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    tokens_come_one_by_one(proxy.client()).await;
    large_bodies_pass(proxy.client(), LARGE).await;
    a_websocket_echoes(proxy.client()).await;
    an_abort_reaches_the_engine(proxy.client()).await;
    a_cut_is_survived(&cluster, proxy.client()).await;
    assert_eq!(cluster.jobs(), jobs, "it is the same job");
    assert!(!processes(&cluster, HostName::Node1).is_empty(), "processes are seen at all");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 10).await;
}
