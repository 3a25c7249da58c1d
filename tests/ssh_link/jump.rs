//! Servers that are reached through other servers.

use std::fs;
use std::io;

use futures_util::future::join_all;
use llm_proxy::ssh::{SshClient, SshError, SshOptions, StreamError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::far_end::{FarEnd, assert_echo, pattern};
use crate::relay::{Manner, Relay};
use crate::sshd::{self, DEADLINE, Sshd, eventually};

/// A user of `target` who goes through `hops`, the first one first, with one key for all, and knows them all.
fn through(hops: &[&Sshd], target: &Sshd) -> SshOptions {
    let known: String = hops.iter().chain([&target]).map(|server| server.known_hosts_lines(&["ed25519"])).collect();
    target.write_known_hosts(&known);
    fs::write(target.path(".ssh/config"), "IdentityFile ~/key\n").unwrap();
    for hop in hops {
        fs::copy(target.path("key.pub"), hop.path("authorized_keys")).unwrap();
    }
    let place = |hop: &&Sshd| format!("{}@127.0.0.1:{}", sshd::user(), hop.port);
    SshOptions { jump: Some(hops.iter().map(place).collect::<Vec<_>>().join(",")), ..target.options() }
}

fn client(options: &SshOptions) -> SshClient {
    SshClient::new(options, TaskTracker::new()).unwrap()
}

async fn answers(client: &SshClient, far: &FarEnd) {
    let mut stream = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
    timeout(DEADLINE, assert_echo(&mut stream)).await.unwrap();
}

#[tokio::test]
async fn a_chain_of_servers_is_gone_through_and_ends_with_its_last_one() {
    let (one, other, target) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let far = FarEnd::echo().await;
    let tasks = TaskTracker::new();
    let client = SshClient::new(&through(&[&one, &other], &target), tasks.clone()).unwrap();
    answers(&client, &far).await;
    timeout(DEADLINE, client.exec("true")).await.unwrap().unwrap().exit.wait().await.unwrap();
    // One connection each, however much is carried.
    join_all((0..20).map(|_| answers(&client, &far))).await;
    let servers = [&one, &other, &target];
    assert_eq!(servers.map(Sshd::accepted), [1; 3]);
    client.close().await;
    tasks.close();
    timeout(DEADLINE, tasks.wait()).await.unwrap();
    eventually("end at all servers", || servers.iter().all(|server| server.processes() == 0)).await;
}

#[tokio::test]
async fn a_client_that_is_dropped_leaves_no_connection_on_the_way() {
    let (hop, target) = (Sshd::start(""), Sshd::start(""));
    let far = FarEnd::echo().await;
    let client = client(&through(&[&hop], &target));
    answers(&client, &far).await;
    drop(client);
    eventually("end at both", || hop.processes() == 0 && target.processes() == 0).await;
}

#[tokio::test]
async fn the_name_is_the_targets_own_for_its_key_and_for_the_hop() {
    let (hop, target) = (Sshd::start("LogLevel DEBUG1"), Sshd::start(""));
    let options = through(&[&hop], &target);
    let options = SshOptions { destination: format!("{}@localhost:{}", sshd::user(), target.port), ..options };
    // By its address it is known, and by this name it is not.
    let error = timeout(DEADLINE, client(&options).connect()).await.unwrap().unwrap_err();
    let SshError::HostKeyUnknown { host, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*host, format!("[localhost]:{}", target.port));
    let known = format!("[localhost]:{} {}\n", target.port, target.host_key("ed25519"));
    target.write_known_hosts(&(hop.known_hosts_lines(&["ed25519"]) + &known));
    timeout(DEADLINE, client(&options).connect()).await.unwrap().unwrap();
    // The hop looks it up, as a name that only it may know.
    assert!(hop.log().contains(&format!("target localhost port {}", target.port)), "{}", hop.log());
}

#[tokio::test]
async fn errors_name_the_hop_that_failed() {
    let (one, other, target) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let options = through(&[&one, &other], &target);
    let failure = async || timeout(DEADLINE, client(&options).connect()).await.unwrap().unwrap_err();
    let said_by = |server: &Sshd| format!("through {}@127.0.0.1:{}: ", sshd::user(), server.port);

    fs::write(other.path("authorized_keys"), "").unwrap();
    let error = failure().await;
    assert!(error.to_string().starts_with(&said_by(&other)), "{error}");
    assert!(error.is_authentication() && !error.is_transient() && !error.is_host_key(), "{error:?}");
    assert_eq!(target.begun(), 0);

    let known = target.known_hosts_lines(&["ed25519"]) + &one.known_hosts_lines(&["ed25519"]);
    target.write_known_hosts(&known);
    let error = failure().await;
    assert!(error.to_string().starts_with(&said_by(&other)) && error.is_host_key(), "{error}");
    assert!(error.remedy().is_some());

    drop(other);
    let error = failure().await;
    assert!(error.to_string().starts_with(&said_by(&one)), "{error}");
    assert!(error.to_string().ends_with("Connection refused") && error.is_link_loss(), "{error:?}");

    drop(one);
    let error = failure().await;
    assert!(error.to_string().ends_with("refused the connection"), "{error}");
    assert!(error.to_string().starts_with("through ") && error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_hop_that_forbids_it_is_said() {
    let (hop, target) = (Sshd::start("AllowTcpForwarding no"), Sshd::start(""));
    let error = timeout(DEADLINE, client(&through(&[&hop], &target)).connect()).await.unwrap().unwrap_err();
    assert!(matches!(error.root(), SshError::Prohibited { .. }), "{error:?}");
    assert!(error.to_string().starts_with("through ") && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_hop_that_dies_is_said_to_the_streams_and_the_next_request_finds_another_way() {
    let (hop, target) = (Sshd::start(""), Sshd::start(""));
    let far = FarEnd::echo().await;
    let client = client(&through(&[&hop], &target));
    let mut stream = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
    for process in hop.process_ids() {
        kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
    }
    let error = timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let lost = error.get_ref().unwrap().downcast_ref::<StreamError>().unwrap();
    assert!(matches!(lost, StreamError::Lost(SshError::Disconnected { .. })), "{lost:?}");
    assert!(lost.to_string().contains("the SSH connection to 127.0.0.1 ended: the SSH connection to"), "{lost}");
    answers(&client, &far).await;
    assert_eq!((hop.accepted(), target.accepted()), (2, 2));
    eventually("end of the first", || target.processes() == 1).await;
}

#[tokio::test]
async fn a_dead_link_to_the_hop_is_found_out() {
    let (hop, target) = (Sshd::start(""), Sshd::start(""));
    let relay = Relay::before(hop.port, Manner::Pass).await;
    let mut options = through(&[&hop], &target);
    options.jump = Some(format!("{}@127.0.0.1:{}", sshd::user(), relay.port));
    let known = format!("[127.0.0.1]:{} {}\n", relay.port, hop.host_key("ed25519"));
    target.write_known_hosts(&(known + &target.known_hosts_lines(&["ed25519"])));
    let config = "IdentityFile ~/key\nServerAliveInterval 1\nServerAliveCountMax 2\n";
    fs::write(target.path(".ssh/config"), config).unwrap();
    let client = client(&options);
    let far = FarEnd::swallow().await;
    let mut stream = timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
    relay.set(Manner::Block);
    let uploading = tokio::spawn(async move { while stream.write_all(&[7; 4096]).await.is_ok() {} });
    let error = timeout(DEADLINE / 4, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap_err();
    assert!(error.is_link_loss(), "{error:?}");
    timeout(DEADLINE, uploading).await.unwrap().unwrap();
    relay.set(Manner::Pass);
    timeout(DEADLINE, client.dial("127.0.0.1", far.port)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_goes_both_ways_at_once_beside_readers_that_stand_still() {
    const LENGTH: usize = 12 << 20;
    let (hop, target) = (Sshd::start(""), Sshd::start(""));
    let (source, sink) = (FarEnd::source(LENGTH).await, FarEnd::swallow().await);
    let client = client(&through(&[&hop], &target));
    let expected = pattern(0, LENGTH);
    // More than one window each, and nobody reads yet.
    let standing = join_all((0..6).map(|_| client.dial("127.0.0.1", source.port))).await;
    let down = async {
        let mut stream = client.dial("127.0.0.1", source.port).await.unwrap();
        let mut found = Vec::new();
        stream.read_to_end(&mut found).await.unwrap();
        found == expected
    };
    let up = async {
        let mut stream = client.dial("127.0.0.1", sink.port).await.unwrap();
        stream.write_all(&expected).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        sink.received() == LENGTH
    };
    assert_eq!(timeout(DEADLINE, async { tokio::join!(down, up) }).await.unwrap(), (true, true));
    for stream in standing {
        let mut found = Vec::new();
        timeout(DEADLINE, stream.unwrap().read_to_end(&mut found)).await.unwrap().unwrap();
        assert!(found == expected);
    }
    assert_eq!((hop.accepted(), target.accepted()), (1, 1));
}
