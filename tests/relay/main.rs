//! A relay: many connections through the standard streams of one real Python, on this machine.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod far_end;
mod frames;
mod model;
mod silence;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use llm_proxy::host::quote::quote;
use llm_proxy::host::relay::far_end;
use llm_proxy::host::{Address, Endpoint, Host, HostError, HostStream, LocalHost, Relay, RelayPlan, Shell};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

const LONG: Duration = Duration::from_mins(1);

const NONCE: &str = "n0nce";

fn plan(launcher: &[&str], port: u16) -> RelayPlan {
    plan_to(launcher, Address { host: "127.0.0.1".to_owned(), port }.into())
}

fn plan_to(launcher: &[&str], endpoint: Endpoint) -> RelayPlan {
    let far_end = far_end(&endpoint, NONCE);
    let words: Vec<&str> = launcher.iter().copied().chain(far_end.iter().map(String::as_str)).collect();
    let script = format!("exec {}\n", quote(&words).unwrap());
    RelayPlan { shell: Shell::Posix, script, endpoint, nonce: NONCE.to_owned() }
}

fn start(plan: RelayPlan) -> Arc<Relay> {
    Arc::new(Relay::new(Host::Local(LocalHost), plan, TaskTracker::new()))
}

fn relay_to(port: u16) -> Arc<Relay> {
    start(plan(&[], port))
}

async fn dial(relay: &Relay) -> Result<HostStream, HostError> {
    timeout(LONG, relay.dial()).await.expect("an answer")
}

async fn open(relay: &Relay) -> HostStream {
    dial(relay).await.expect("python3 on the PATH (Debian: apt-get install python3)")
}

/// A server that treats each connection as told.
async fn server<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn echo(mut stream: TcpStream) {
    let (mut from, mut to) = stream.split();
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

/// Bytes that no two places of a stream share by chance.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    };
    (0..len).map(step).collect()
}

/// Sends all, ends, and returns all that came back.
async fn round(stream: HostStream, sent: Vec<u8>) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(stream);
    let sending = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let mut came = Vec::new();
    let (read, ()) = tokio::join!(from.read_to_end(&mut came), sending);
    read.unwrap();
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_many_sizes_come_back_whole() {
    let relay = relay_to(server(echo).await);
    let mut rounds = tokio::task::JoinSet::new();
    // A stream begins with its first byte, as a request does.
    for number in 1..=100_usize {
        let relay = relay.clone();
        rounds.spawn(async move {
            let sent = bytes(number as u64, number * number * 60);
            let stream = open(&relay).await;
            assert_eq!(timeout(LONG, round(stream, sent.clone())).await.expect("in time"), sent, "stream {number}");
        });
    }
    while let Some(done) = rounds.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_pass() {
    let relay = relay_to(server(echo).await);
    let sent = bytes(7, 100 << 20);
    let came = timeout(LONG, round(open(&relay).await, sent.clone())).await.expect("in time");
    assert!(came == sent, "{} of {} bytes", came.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_holds_nobody_up() {
    let water: Arc<[u8]> = bytes(1, 64 << 20).into();
    let expected = Arc::clone(&water);
    let flood = move |mut stream: TcpStream| {
        let water = Arc::clone(&water);
        async move {
            let _ = stream.write_all(&water).await;
        }
    };
    let relay = relay_to(server(flood).await);
    let mut lazy = Vec::new();
    for _ in 0..20 {
        let mut stream = open(&relay).await;
        stream.write_all(b"begin").await.unwrap();
        stream.flush().await.unwrap();
        lazy.push(stream);
    }
    let mut eager = open(&relay).await;
    eager.write_all(b"begin").await.unwrap();
    eager.flush().await.unwrap();
    let mut came = vec![0; 8 << 20];
    timeout(LONG, eager.read_exact(&mut came)).await.expect("in time").unwrap();
    assert!(expected.starts_with(&came));
    drop(lazy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_read_holds_its_own_stream_up_alone() {
    let picky = |mut stream: TcpStream| async move {
        if stream.read_u8().await.is_ok_and(|first| first == b'e') {
            echo(stream).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let relay = relay_to(server(picky).await);
    let mut stuck = open(&relay).await;
    // More than the two windows and the socket's own buffers hold.
    let stuffed = timeout(Duration::from_secs(3), stuck.write_all(&vec![b'x'; 64 << 20])).await;
    assert!(stuffed.is_err(), "64 MiB went somewhere");
    let sent = [b"e".as_slice(), &bytes(3, 1 << 20)].concat();
    let came = timeout(LONG, round(open(&relay).await, sent.clone())).await.expect("in time");
    assert!(sent.strip_prefix(b"e").is_some_and(|rest| came == rest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_or_breaks_off_is_told_as_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relay = relay_to(port);
    let taken = open(&relay).await;
    drop((taken, listener));
    let mut refused = open(&relay).await;
    let _ = refused.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    let error = timeout(LONG, refused.read_u8()).await.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = dial(relay_to(port).as_ref()).await.unwrap_err().to_string();
    assert!(error.contains("cannot be reached: [Errno 111] Connection refused"), "{error}");

    let port = server(|mut stream: TcpStream| async move {
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"half").await;
        let _ = stream.flush().await;
        let _ = stream.read_u8().await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    let relay = relay_to(port);
    let mut stream = open(&relay).await;
    stream.write_all(b"x").await.unwrap();
    let mut half = [0; 4];
    timeout(LONG, stream.read_exact(&mut half)).await.expect("in time").unwrap();
    stream.write_all(b"x").await.unwrap();
    let error = timeout(LONG, stream.read_u8()).await.expect("in time").unwrap_err();
    assert_eq!((&half, error.kind()), (b"half", ErrorKind::ConnectionReset));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_reached_as_a_port_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    let endpoint = Endpoint::Unix(path.to_str().unwrap().to_owned());
    let relay = start(plan_to(&[], endpoint.clone()));
    let sent = bytes(7, 3 << 20);
    let rounds =
        (0..8).map(|_| async { timeout(LONG, round(open(&relay).await, sent.clone())).await.expect("in time") });
    for came in futures_util::future::join_all(rounds).await {
        assert!(came == sent);
    }
    server.abort();
    assert!(server.await.is_err());
    let mut refused = open(&relay).await;
    let _ = refused.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    let error = timeout(LONG, refused.read_u8()).await.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = dial(start(plan_to(&[], endpoint)).as_ref()).await.unwrap_err().to_string();
    assert!(error.contains("engine.sock cannot be reached: [Errno 111] Connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_drops_the_server_sees_leave() {
    let (left, mut leaving) = tokio::sync::mpsc::channel(1);
    let port = server(move |mut stream: TcpStream| {
        let left = left.clone();
        async move {
            let _ = stream.read_u8().await;
            // It goes on writing until it is told.
            while stream.write_all(b"token").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            left.send(()).await.unwrap();
        }
    })
    .await;
    let relay = relay_to(port);
    let mut stream = open(&relay).await;
    stream.write_all(b"x").await.unwrap();
    assert_eq!(timeout(LONG, stream.read_u8()).await.expect("in time").unwrap(), b't');
    drop(stream);
    timeout(LONG, leaving.recv()).await.expect("the server saw its client leave");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_end_ends_with_its_last_user_and_not_before() {
    let relay = relay_to(server(echo).await);
    let stream = open(&relay).await;
    drop(relay);
    assert_eq!(timeout(LONG, round(stream, b"still here".to_vec())).await.expect("in time"), b"still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_end_that_dies_breaks_its_streams_off() {
    // The launcher is ended by its number, as a step is.
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = format!("echo $$ >{}; exec \"$@\"", pid_file.display());
    let relay = start(plan(&["/bin/sh", "-c", &script, "sh"], server(echo).await));
    let mut stream = open(&relay).await;
    stream.write_all(b"x").await.unwrap();
    assert_eq!(timeout(LONG, stream.read_u8()).await.expect("in time").unwrap(), b'x');
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let error = timeout(LONG, stream.read_u8()).await.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // The next one who needs it starts another.
    let came = timeout(LONG, round(open(&relay).await, b"again".to_vec())).await.expect("in time");
    assert_eq!(came, b"again");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_printed_before_the_greeting_is_passed_over() {
    let noisy = "echo 'Welcome to the cluster'; printf 'no newline'; exec \"$@\"";
    let relay = start(plan(&["/bin/sh", "-c", noisy, "sh"], server(echo).await));
    let came = timeout(LONG, round(open(&relay).await, b"hello".to_vec())).await.expect("in time");
    assert_eq!(came, b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_python_is_named() {
    let error = dial(start(plan(&["env", "-i", "PATH=/nowhere"], 1)).as_ref()).await.unwrap_err().to_string();
    // A system that has one for itself has one for us.
    let its_own = std::path::Path::new("/usr/libexec/platform-python").exists();
    let named = if its_own { "cannot be reached" } else { "no python3, python or /usr/libexec/platform-python" };
    assert!(error.contains(named), "{error}");
    let failing = ["/bin/sh", "-c", "echo 'srun: error: Unable to create step' >&2; exit 1"];
    let error = dial(start(plan(&failing, 1)).as_ref()).await.unwrap_err().to_string();
    assert!(error.ends_with("srun: error: Unable to create step"), "{error}");
}
