//! A relay: the way into a network namespace for a test outside it, and a long line where one is wanted.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep_until};

use crate::args::{Endpoint, RelayArgs};
use crate::listener::Listener;
use crate::report::say;

/// How many bytes may be under way, each way, on a line with a delay.
const LINE_CAPACITY: usize = 16 * 1024 * 1024;

type Stream = (Pin<Box<dyn AsyncRead + Send>>, Pin<Box<dyn AsyncWrite + Send>>);

/// Accepts at one end, connects to the other, carries until both sides are done.
pub(crate) async fn run(args: &RelayArgs) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let (listener, place) = Listener::bind(&args.listen).await?;
    say(&format!("listening on {place}"));
    loop {
        let near = accept(&listener).await?;
        let (to, delay) = (args.to.clone(), args.delay);
        tokio::spawn(async move {
            match connect(&to).await {
                Ok(far) => carry(near, far, delay).await,
                Err(error) => say(&format!("test-engine relay: {to:?}: {error}")),
            }
        });
    }
}

async fn accept(listener: &Listener) -> io::Result<Stream> {
    match listener {
        Listener::Unix(listener) => Ok(halves_of_unix(listener.accept().await?.0)),
        Listener::Tcp(listener) => halves_of_tcp(listener.accept().await?.0),
    }
}

async fn connect(endpoint: &Endpoint) -> io::Result<Stream> {
    match endpoint {
        Endpoint::Unix(path) => Ok(halves_of_unix(UnixStream::connect(path).await?)),
        Endpoint::Tcp(address) => halves_of_tcp(TcpStream::connect(address).await?),
    }
}

fn halves_of_unix(stream: UnixStream) -> Stream {
    let (read, write) = stream.into_split();
    (Box::pin(read), Box::pin(write))
}

fn halves_of_tcp(stream: TcpStream) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok((Box::pin(read), Box::pin(write)))
}

/// Carries both ways. An end of input goes through as one; a fault either way ends both, as a lost line would.
async fn carry(near: Stream, far: Stream, delay: Duration) {
    let carried = tokio::try_join!(one_way(near.0, far.1, delay), one_way(far.0, near.1, delay));
    if let Err(error) = carried {
        say(&format!("test-engine relay: {error}"));
    }
}

async fn one_way(
    mut from: Pin<Box<dyn AsyncRead + Send>>,
    mut to: Pin<Box<dyn AsyncWrite + Send>>,
    delay: Duration,
) -> io::Result<()> {
    if delay.is_zero() {
        tokio::io::copy(&mut from, &mut to).await?;
        return to.shutdown().await;
    }
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut held = 0;
    let mut open = true;
    let mut buffer = vec![0; 64 * 1024];
    while open || !under_way.is_empty() {
        let due = under_way.front().map(|(due, _)| *due);
        tokio::select! {
            read = from.read(&mut buffer), if open && held < LINE_CAPACITY => {
                let length = read?;
                open = length > 0;
                held += length;
                under_way.push_back((Instant::now() + delay, buffer.get(..length).unwrap_or_default().to_vec()));
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((_, piece)) = under_way.pop_front() {
                    held -= piece.len();
                    to.write_all(&piece).await?;
                }
            }
        }
    }
    to.shutdown().await
}
