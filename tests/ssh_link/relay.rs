//! A relay before a server, which does to connections what networks and servers do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use llm_proxy::ssh::{SshClient, SshOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::sshd::{self, Sshd};

/// What the relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It passes all on.
    Pass,
    /// It ends a connection after so many bytes of the server.
    CutAfter(usize),
    /// It passes on so many bytes of the server, and then nothing more.
    HoldAfter(usize),
    /// It passes on no more than so many bytes of the server each [`TICK`].
    Trickle(usize),
    /// It takes all, and passes nothing on.
    Swallow,
    /// It takes nothing more.
    Block,
}

/// How often a slow way takes something.
const TICK: Duration = Duration::from_millis(100);

/// A relay on loopback. New and old connections alike follow its manner of the moment.
pub(crate) struct Relay {
    pub(crate) port: u16,
    manner: watch::Sender<Manner>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    open: AtomicUsize,
    from_server: AtomicUsize,
}

impl Relay {
    pub(crate) async fn before(server: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let (manner, watched) = watch::channel(manner);
        let counting = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counting.begun.fetch_add(1, Ordering::SeqCst);
                counting.open.fetch_add(1, Ordering::SeqCst);
                let (counting, watched) = (Arc::clone(&counting), watched.clone());
                tokio::spawn(async move {
                    let _ = carry(client, server, watched, &counting).await;
                    counting.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, manner, counts }
    }

    pub(crate) fn set(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// How many connections there were.
    pub(crate) fn begun(&self) -> usize {
        self.counts.begun.load(Ordering::SeqCst)
    }

    /// How many there are that the client has not ended.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many bytes of the server were passed on.
    pub(crate) fn passed_on(&self) -> usize {
        self.counts.from_server.load(Ordering::SeqCst)
    }

    /// The options of a user who takes this way, and knows the server behind it.
    pub(crate) fn options(&self, server: &Sshd) -> SshOptions {
        server.write_known_hosts(&format!("[127.0.0.1]:{} {}\n", self.port, server.host_key("ed25519")));
        SshOptions { destination: format!("{}@127.0.0.1:{}", sshd::user(), self.port), ..server.options() }
    }

    pub(crate) fn client(&self, server: &Sshd) -> SshClient {
        SshClient::new(&self.options(server), TaskTracker::new()).unwrap()
    }
}

async fn carry(client: TcpStream, server: u16, manner: watch::Receiver<Manner>, counts: &Counts) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        ended = up(from_client, to_server, manner.clone()) => ended,
        cut = down(from_server, to_client, manner, counts) => cut,
    }
}

/// Until the client ends it.
async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut manner: watch::Receiver<Manner>) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        manner.wait_for(|manner| *manner != Manner::Block).await.map_err(io::Error::other)?;
        let read = tokio::select! {
            read = from.read(&mut bytes) => read?,
            _ = manner.changed() => continue,
        };
        if read == 0 {
            return Ok(());
        }
        if *manner.borrow() != Manner::Swallow {
            to.write_all(bytes.get(..read).unwrap()).await?;
        }
    }
}

/// Until it is to be cut. Where the server ends it, the client sees that.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut manner: watch::Receiver<Manner>,
    counts: &Counts,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    let mut passed = 0;
    loop {
        let now = *manner.borrow_and_update();
        let room = match now {
            Manner::CutAfter(most) if passed >= most => return Ok(()),
            Manner::CutAfter(most) | Manner::HoldAfter(most) => most.saturating_sub(passed).min(bytes.len()),
            Manner::Pass | Manner::Swallow => bytes.len(),
            Manner::Trickle(most) => most.min(bytes.len()),
            Manner::Block => 0,
        };
        if room == 0 {
            manner.changed().await.map_err(io::Error::other)?;
            continue;
        }
        let read = tokio::select! {
            read = from.read(bytes.get_mut(..room).unwrap()) => read?,
            _ = manner.changed() => continue,
        };
        if read == 0 {
            to.shutdown().await?;
            return std::future::pending().await;
        }
        if matches!(now, Manner::Trickle(_)) {
            tokio::time::sleep(TICK).await;
        }
        if now != Manner::Swallow {
            passed += read;
            to.write_all(bytes.get(..read).unwrap()).await?;
            counts.from_server.fetch_add(read, Ordering::SeqCst);
        }
    }
}
