//! The documented mode: `ssh -R` from the job to an sshd.

use crate::carried::everything;
use crate::scene::{first_answer, on_laptop, on_login, taken, tunnels};
use crate::support::carried::{LONG, a_cut_is_survived};
use crate::support::left::wait_until_nothing_runs;
use crate::support::scene::{chat, ends_well};
use crate::support::{Cluster, HostName, Proxy, eventually};

#[tokio::test]
async fn it_ends_on_the_login_host_where_nothing_else_is_said() {
    let cluster = Cluster::up();
    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    everything(&cluster, &proxy).await;
    a_cut_is_survived(&cluster, proxy.client()).await;
    assert_eq!(taken(&Proxy::builder().home(&proxy.home())), "reverse");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// The line that the project was asked for, but for the engine and what it needs.
#[tokio::test]
async fn the_documented_line_works_where_srun_is() {
    let cluster = Cluster::up();
    let (user, inner) = (cluster.user().to_owned(), cluster.login_inner_address().to_owned());
    let proxy = Proxy::builder()
        .on_login(&cluster)
        .options(["--target-port", "8084", "--use-slurm", "--srun-args", "--mem=1G --gres=gpu:1 --nodelist=node1"])
        .options(["--loopback-user", &user, "--loopback-host", &inner])
        .command([cluster.engine().display().to_string()])
        .command(["--host", "0.0.0.0", "--port", "8084", "--api-key", "apikey", "--token-delay", "100"])
        .start()
        .await;
    proxy_with_key(&cluster, proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// The command has a key of its own, which its clients know.
async fn proxy_with_key(cluster: &Cluster, proxy: Proxy) {
    let mut client = cluster.client(HostName::Login, proxy.address()).await;
    client.set_header("authorization", "Bearer apikey");
    let answer = client.post("/v1/chat/completions", &chat(false)).await;
    assert!(answer.status == 200, "{}\n{}", answer.text(), proxy.lines().so_far().join("\n"));
    let said = taken(&Proxy::builder().on_login(cluster));
    assert_eq!(said, "reverse");
    let lines = proxy.lines();
    assert!(!lines.so_far().join("\n").contains("not needed"));
    drop(client);
    ends_well(proxy).await;
}

#[tokio::test]
async fn it_may_end_on_this_machine() {
    let cluster = Cluster::up();
    let (user, inner) = (cluster.user().to_owned(), cluster.login_inner_address().to_owned());
    let proxy = on_login(&cluster, &["--loopback-user", &user, "--loopback-host", &inner]).start().await;
    everything(&cluster, &proxy).await;
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// A host that is neither where `srun` is nor this one, and that both reach.
#[tokio::test]
async fn it_may_end_on_another_host() {
    let cluster = Cluster::builder().second_login().up();
    let proxy = on_laptop(&cluster, &["--loopback-host", "login2"]).start().await;
    first_answer(&proxy).await;
    // Its end is there, and not on the first.
    let listens = |host| {
        let found = cluster.on(host, &["ss", "-Hltn"]);
        String::from_utf8_lossy(&found.stdout).lines().filter(|line| line.contains("127.0.0.1:")).count()
    };
    assert_eq!((listens(HostName::Login), listens(HostName::Login2)), (0, 1));
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// Ports are opened for others, and no channels: a command connects to the tunnel's end.
#[tokio::test]
async fn it_is_reached_by_a_command_where_no_channel_may_be_opened() {
    let cluster = Cluster::builder().sshd_option("AllowTcpForwarding remote").up();
    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    everything(&cluster, &proxy).await;
    a_cut_is_survived(&cluster, proxy.client()).await;
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// The far side gives its port to everybody.
#[tokio::test]
async fn a_port_that_is_open_to_other_machines_is_warned_of() {
    let warned_of = async |setting: &str| {
        let cluster = Cluster::builder().sshd_option(&format!("GatewayPorts {setting}")).up();
        let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
        first_answer(&proxy).await;
        let lines = proxy.lines().so_far();
        ends_well(proxy).await;
        lines.iter().filter(|line| line.contains("WARN") && line.contains("is open to other machines")).count()
    };
    assert_eq!(warned_of("yes").await, 1);
    // It is the client who chooses, and ours asks for nothing of the kind.
    assert_eq!(warned_of("clientspecified").await, 0);
}

/// Where nothing may be opened from the login host, and nodes take nobody in.
#[tokio::test]
async fn it_is_tried_after_direct_and_nested() {
    let cluster = Cluster::builder().node_sshd_option("DenyUsers *").up();
    // The engine binds loopback, so that its port cannot be dialled from outside.
    let builder = on_laptop(&cluster, &["--route", "auto", "--target-host", "127.0.0.1"]);
    let proxy = builder.start().await;
    first_answer(&proxy).await;
    assert_eq!(taken(&Proxy::builder().home(&proxy.home())), "reverse");
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}

/// Nobody asked for its end, and nobody is there to hear of the tunnel's.
#[tokio::test]
async fn an_engine_that_dies_takes_its_tunnel_with_it() {
    let cluster = Cluster::up();
    let proxy = on_laptop(&cluster, &["--route", "reverse"]).start().await;
    first_answer(&proxy).await;
    assert_eq!(tunnels(&cluster).len(), 1);
    let killed = cluster.on_as_user(HostName::Node1, &["pkill", "-KILL", "-u", cluster.user(), "-x", "test-engine"]);
    assert!(killed.status.success(), "{killed:?}");
    let gone = async || (tunnels(&cluster).is_empty() && cluster.jobs().is_empty()).then_some(());
    eventually(LONG, "neither the tunnel nor its job is left", gone).await;
    ends_well(proxy).await;
    wait_until_nothing_runs(&cluster, 15).await;
}
