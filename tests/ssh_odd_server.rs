//! What OpenSSH's server will not do on demand, done by a small one of our own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::io;
use std::sync::Arc;

use llm_proxy::ssh::{SshClient, SshError, SshHome, SshOptions, StreamError};
use russh::keys::{PublicKeyBase64, load_secret_key};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey, run_stream};
use russh::{Channel, ChannelOpenFailure, Disconnect};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

#[expect(dead_code, reason = "each test file uses its own part")]
#[path = "support/sshd.rs"]
mod sshd;

use sshd::DEADLINE;

/// Ports that stand for a manner of the server.
const BREAKS_OFF: u16 = 1;
const OPENS_CHANNELS: u16 = 2;
const LEAVES: u16 = 3;
const REFUSES: u16 = 4;

/// A server that lets everybody in.
struct Odd {
    /// What came of each channel that it opened to its client.
    opened: mpsc::UnboundedSender<(&'static str, Result<(), russh::Error>)>,
}

impl Handler for Odd {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _user: &str, _key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _host: &str,
        port: u32,
        _from: &str,
        _from_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let port = u16::try_from(port).unwrap();
        if port == REFUSES {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        reply.accept().await;
        let (handle, opened) = (session.handle(), self.opened.clone());
        tokio::spawn(async move {
            match port {
                BREAKS_OFF => {
                    channel.data_bytes(&b"half of it"[..]).await.unwrap();
                    channel.close().await.unwrap();
                }
                LEAVES => {
                    let words = "down for\r\n\x1b[31mmaintenance".to_owned();
                    handle.disconnect(Disconnect::ServiceNotAvailable, words, String::new()).await.unwrap();
                }
                OPENS_CHANNELS => {
                    let results = [
                        ("session", handle.channel_open_session().await),
                        ("agent", handle.channel_open_agent().await),
                        ("x11", handle.channel_open_x11("h", 1).await),
                        ("direct", handle.channel_open_direct_tcpip("h", 1, "h", 1).await),
                        ("local", handle.channel_open_direct_streamlocal("/s").await),
                        ("forwarded", handle.channel_open_forwarded_tcpip("h", 1, "h", 1).await),
                        ("forwarded local", handle.channel_open_forwarded_streamlocal("/s").await),
                    ];
                    for (kind, result) in results {
                        opened.send((kind, result.map(drop))).unwrap();
                    }
                    channel.into_stream().write_all(b"tried").await.unwrap();
                }
                other => panic!("{other}"),
            }
        });
        Ok(())
    }
}

/// Starts the server; also returns what came of the channels it opened.
async fn start() -> (TempDir, SshClient, mpsc::UnboundedReceiver<(&'static str, Result<(), russh::Error>)>) {
    let dir = tempfile::tempdir().unwrap();
    let home = SshHome::below(dir.path(), "me");
    std::fs::create_dir_all(&home.ssh_dir).unwrap();
    for name in ["host", ".ssh/id_ed25519"] {
        sshd::make_key("ed25519", &dir.path().join(name), "");
    }
    let key = load_secret_key(dir.path().join("host"), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let known = format!("[127.0.0.1]:{port} ssh-ed25519 {}\n", key.public_key_base64());
    std::fs::write(home.ssh_dir.join("known_hosts"), known).unwrap();
    let (sender, opened) = mpsc::unbounded_channel();
    let config = Arc::new(Config { keys: vec![key], ..Config::default() });
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let running = run_stream(Arc::clone(&config), stream, Odd { opened: sender.clone() }).await.unwrap();
            tokio::spawn(running);
        }
    });
    let options = SshOptions { home, ..SshOptions::new(format!("127.0.0.1:{port}")) };
    let client = SshClient::new(&options, TaskTracker::new()).unwrap();
    (dir, client, opened)
}

fn stream_error(error: &io::Error) -> StreamError {
    error.get_ref().unwrap().downcast_ref::<StreamError>().unwrap().clone()
}

#[tokio::test]
async fn a_close_without_an_end_is_an_error_after_the_data() {
    let (_dir, client, _opened) = start().await;
    let mut stream = client.dial("h", BREAKS_OFF).await.unwrap();
    let mut found = Vec::new();
    let error = timeout(DEADLINE, stream.read_to_end(&mut found)).await.unwrap().unwrap_err();
    assert_eq!(found, b"half of it");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(stream_error(&error), StreamError::Reset), "{error:?}");
}

#[tokio::test]
async fn a_server_may_open_nothing() {
    let (_dir, client, mut opened) = start().await;
    let mut stream = client.dial("h", OPENS_CHANNELS).await.unwrap();
    let mut found = [0; 5];
    timeout(DEADLINE, stream.read_exact(&mut found)).await.unwrap().unwrap();
    for _ in 0..7 {
        let (kind, result) = opened.recv().await.unwrap();
        assert!(matches!(result, Err(russh::Error::ChannelOpenFailure(_))), "{kind}: {result:?}");
    }
}

#[tokio::test]
async fn the_servers_farewell_is_told_in_its_own_words() {
    let (_dir, client, _opened) = start().await;
    let mut stream = client.dial("h", LEAVES).await.unwrap();
    let error = timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap_err();
    let StreamError::Lost(error) = stream_error(&error) else { panic!("{error:?}") };
    let SshError::Disconnected { reason, by_server, .. } = &error else { panic!("{error:?}") };
    // What could command a terminal is taken out.
    assert_eq!(reason, "down for [31mmaintenance");
    assert!(*by_server && error.is_transient());
}

#[tokio::test]
async fn a_refusal_is_no_fault_of_the_connection() {
    let (_dir, client, _opened) = start().await;
    for _ in 0..3 {
        let error = client.dial("h", REFUSES).await.unwrap_err();
        assert!(matches!(error, SshError::ConnectFailed { .. }), "{error:?}");
    }
}
