//! The small server that a job's `ssh -R` dials, against OpenSSH's client: what it allows, and that it allows no more.
#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use llm_proxy::ssh::{ForwardServer, new_key};
use russh::keys::ssh_key::LineEnding;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Longer than anything here takes on two busy cores.
const LONG: Duration = Duration::from_secs(20);

/// A server, and the files of its client.
struct Scene {
    server: ForwardServer,
    folder: TempDir,
    tasks: TaskTracker,
}

impl Scene {
    async fn new() -> Self {
        let tasks = TaskTracker::new();
        let server = ForwardServer::listen(Ipv4Addr::LOCALHOST.into(), &tasks).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        private(&folder.path().join("key"), server.client_key().expose_secret());
        private(&folder.path().join("known_hosts"), &format!("{}\n", server.known_hosts()));
        Self { server, folder, tasks }
    }

    /// Its client, with more words.
    fn ssh(&self, words: &[&str]) -> Command {
        self.ssh_as(self.server.user(), words)
    }

    fn ssh_as(&self, user: &str, words: &[&str]) -> Command {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-T", "-i", &file("key"), "-l", user])
            .args(["-p", &self.server.port().to_string(), "-o", &format!("HostKeyAlias={}", self.server.name())])
            .args(["-o", &format!("UserKnownHostsFile={}", file("known_hosts")), "-o", "GlobalKnownHostsFile=none"])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"])
            .args(["-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"])
            .args(words)
            .arg("127.0.0.1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        ssh
    }

    /// What a client says that is to end by itself, in vain.
    async fn refused(&self, words: &[&str]) -> String {
        in_vain(self.ssh(words)).await
    }
}

async fn in_vain(mut ssh: Command) -> String {
    let output = timeout(LONG, ssh.output()).await.unwrap().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Scene {
    /// A client whose forward leads to `port`, once it has it.
    async fn joined(&self, port: u16) -> Child {
        let client = self.ssh(&["-N", "-R", &format!("0:127.0.0.1:{port}")]).spawn().unwrap();
        timeout(LONG, self.server.joined()).await.unwrap();
        client
    }
}

fn private(path: &Path, text: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A port whose every connection gets back what it sends.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn streams_of_ours_go_into_the_clients_connection() {
    let scene = Scene::new().await;
    let _client = scene.joined(echo().await).await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let rounds = (0..4).map(|_| async {
        let stream = scene.server.open().await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        let mut heard = Vec::new();
        let upload = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(read.read_to_end(&mut heard), upload);
        read.unwrap();
        assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
    });
    timeout(LONG, futures_util::future::join_all(rounds)).await.unwrap();
}

#[tokio::test]
async fn one_who_reads_nothing_holds_up_nobody() {
    let scene = Scene::new().await;
    let _client = scene.joined(echo().await).await;
    let mut stuck = scene.server.open().await.unwrap();
    // More than memory and the connection's window hold.
    let stuffed = vec![7; 64 << 20];
    let stuff = stuck.write_all(&stuffed);
    drop(timeout(Duration::from_secs(3), stuff).await);
    let mut other = scene.server.open().await.unwrap();
    other.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    timeout(LONG, other.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_port_that_refuses_is_told() {
    let scene = Scene::new().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let _client = scene.joined(free).await;
    let error = timeout(LONG, scene.server.open()).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("connection refused"), "{error}");
    assert!(!scene.server.is_over());
}

#[tokio::test]
async fn nobody_else_can_connect_once_the_client_has_come() {
    let scene = Scene::new().await;
    let _client = scene.joined(echo().await).await;
    let refused = async {
        while TcpStream::connect(("127.0.0.1", scene.server.port())).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, refused).await.unwrap();
}

/// Whoever of the network connects and says nothing holds a place for a moment only.
#[tokio::test]
async fn silent_strangers_keep_the_client_out_for_a_moment_only() {
    let scene = Scene::new().await;
    let mut strangers = Vec::new();
    for _ in 0..8 {
        strangers.push(TcpStream::connect(("127.0.0.1", scene.server.port())).await.unwrap());
    }
    let _client = scene.joined(echo().await).await;
    scene.server.open().await.unwrap();
}

#[tokio::test]
async fn another_key_is_not_let_in() {
    let scene = Scene::new().await;
    let other = new_key().unwrap().to_openssh(LineEnding::LF).unwrap();
    private(&scene.folder.path().join("key"), &other);
    let said = scene.refused(&["-N", "-R", "0:127.0.0.1:1"]).await;
    assert!(said.contains("Permission denied"), "{said}");
}

#[tokio::test]
async fn another_user_is_not_let_in() {
    let scene = Scene::new().await;
    let said = in_vain(scene.ssh_as("root", &["-N", "-R", "0:127.0.0.1:1"])).await;
    assert!(said.contains("Permission denied"), "{said}");
}

#[tokio::test]
async fn a_server_with_another_key_is_not_trusted() {
    let scene = Scene::new().await;
    let other = Scene::new().await;
    private(&scene.folder.path().join("known_hosts"), other.server.known_hosts());
    let said = scene.refused(&["-N", "-R", "0:127.0.0.1:1"]).await;
    assert!(said.contains("HOST IDENTIFICATION HAS CHANGED"), "{said}");
}

#[tokio::test]
async fn whatever_else_is_asked_for_is_refused() {
    let scene = Scene::new().await;
    for forward in ["0.0.0.0:0:127.0.0.1:1", "*:0:127.0.0.1:1", "127.0.0.1:4242:127.0.0.1:1"] {
        let said = scene.refused(&["-N", "-R", forward]).await;
        assert!(said.contains("remote port forwarding failed"), "{forward}: {said}");
    }
    let said = scene.refused(&["-n", "-o", "RemoteCommand=id"]).await;
    assert!(said.contains("open failed"), "a session: {said}");
    let said = scene.refused(&["-W", "127.0.0.1:22"]).await;
    assert!(said.contains("open failed"), "a stream: {said}");
    // Two forwards of one client: the second is refused, and ends it.
    let said = scene.refused(&["-N", "-R", "0:127.0.0.1:1", "-R", "127.0.0.1:0:127.0.0.1:2"]).await;
    assert!(said.contains("remote port forwarding failed"), "{said}");
}

#[tokio::test]
async fn all_of_it_ends_with_the_value() {
    let scene = Scene::new().await;
    let mut client = scene.joined(echo().await).await;
    let Scene { server, tasks, folder: _folder } = scene;
    drop(server);
    timeout(LONG, client.wait()).await.unwrap().unwrap();
    tasks.close();
    timeout(LONG, tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let scene = Scene::new().await;
    let mut client = scene.joined(echo().await).await;
    client.kill().await.unwrap();
    let over = async {
        while !scene.server.is_over() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, over).await.unwrap();
    assert!(scene.server.open().await.is_err());
}
