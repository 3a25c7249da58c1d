//! What OpenSSH's server will not do on demand, done by a small one of our own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it finds a fault")]

use std::io;

use llm_proxy::demo::{Asked, FarEnd, Outward};
use llm_proxy::ssh::{SshClient, SshError, StreamError};
use russh::{ChannelOpenFailure, Disconnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// Where the streams of an odd server lead.
struct Odd {
    /// What came of each channel that it opened to its client.
    opened: mpsc::UnboundedSender<(&'static str, Result<(), russh::Error>)>,
}

impl Outward for Odd {
    async fn open(&self, asked: Asked) {
        let Asked { port, channel, reply, session, .. } = asked;
        if port == REFUSES {
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
        reply.accept().await;
        match port {
            BREAKS_OFF => {
                channel.data_bytes(&b"half of it"[..]).await.unwrap();
                channel.close().await.unwrap();
            }
            LEAVES => {
                let words = "down for\r\n\x1b[31mmaintenance".to_owned();
                session.disconnect(Disconnect::ServiceNotAvailable, words, String::new()).await.unwrap();
            }
            OPENS_CHANNELS => {
                let results = [
                    ("session", session.channel_open_session().await),
                    ("agent", session.channel_open_agent().await),
                    ("x11", session.channel_open_x11("h", 1).await),
                    ("direct", session.channel_open_direct_tcpip("h", 1, "h", 1).await),
                    ("local", session.channel_open_direct_streamlocal("/s").await),
                    ("forwarded", session.channel_open_forwarded_tcpip("h", 1, "h", 1).await),
                    ("forwarded local", session.channel_open_forwarded_streamlocal("/s").await),
                ];
                for (kind, result) in results {
                    self.opened.send((kind, result.map(drop))).unwrap();
                }
                channel.into_stream().write_all(b"tried").await.unwrap();
            }
            other => panic!("{other}"),
        }
    }
}

/// Starts the server; also returns what came of the channels it opened.
async fn start() -> (FarEnd, SshClient, mpsc::UnboundedReceiver<(&'static str, Result<(), russh::Error>)>) {
    let (sender, opened) = mpsc::unbounded_channel();
    let far_end = FarEnd::with(Odd { opened: sender }).await.unwrap();
    let client = SshClient::new(&far_end.ssh_options(), TaskTracker::new()).unwrap();
    (far_end, client, opened)
}

fn stream_error(error: &io::Error) -> StreamError {
    error.get_ref().unwrap().downcast_ref::<StreamError>().unwrap().clone()
}

#[tokio::test]
async fn a_close_without_an_end_is_an_error_after_the_data() {
    let (_far_end, client, _opened) = start().await;
    let mut stream = client.dial("h", BREAKS_OFF).await.unwrap();
    let mut found = Vec::new();
    let error = timeout(DEADLINE, stream.read_to_end(&mut found)).await.unwrap().unwrap_err();
    assert_eq!(found, b"half of it");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(stream_error(&error), StreamError::Reset), "{error:?}");
}

#[tokio::test]
async fn a_server_may_open_nothing() {
    let (_far_end, client, mut opened) = start().await;
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
    let (_far_end, client, _opened) = start().await;
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
    let (_far_end, client, _opened) = start().await;
    for _ in 0..3 {
        let error = client.dial("h", REFUSES).await.unwrap_err();
        assert!(matches!(error, SshError::ConnectFailed { .. }), "{error:?}");
    }
}
