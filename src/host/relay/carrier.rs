//! A far end that runs, and yamux over its standard streams.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, BufReader, Join, join};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, interval, timeout};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::task::TaskTracker;
use yamux::{Config, Connection, Mode};

use super::silence::{BEAT, Ear};
use super::{RelayFault, RelayPlan, RelayStream};
use crate::host::lossy_lines::LossyLines;
use crate::host::{Host, HostError, Program};

/// How long the far end may take to greet: a step of a job has to start, and Python in it.
const GREETING_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes before the greeting, and of what it says when it fails.
const NOISE_LIMIT: usize = 64 * 1024;

/// What begins the far end's own words.
const OWN_WORDS: &str = "relay: ";

/// Streams at once. The far end takes as many.
const MOST_STREAMS: usize = 1024;

/// What all streams together may have on their way to us, in bytes: each may have 256 KiB.
const WINDOW_OF_ALL: usize = 512 << 20;

/// How many may wait for a stream at once; more wait in line.
const WAITING: usize = 64;

/// Who wants a stream, and is told where none can be had.
type Asked = oneshot::Sender<Result<yamux::Stream, yamux::ConnectionError>>;

/// A far end that runs. It ends with the last clone and the last stream.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    asked: mpsc::Sender<Asked>,
    ear: Ear,
}

type Wires = Join<Box<dyn AsyncRead + Send + Unpin>, Box<dyn tokio::io::AsyncWrite + Send + Unpin>>;
type Wire = Compat<Wires>;

impl Carrier {
    /// Starts the far end on `host`, and returns once it has greeted.
    ///
    /// # Errors
    /// It cannot be started there.
    pub(super) async fn start(host: &Host, plan: &RelayPlan, tasks: &TaskTracker) -> Result<Self, HostError> {
        let mut program = host.spawn(plan.shell).await?;
        program.give(&plan.script).await?;
        Self::over(program, host, plan, tasks).await
    }

    /// Waits for the greeting of one that was started.
    ///
    /// # Errors
    /// It does not greet.
    pub(super) async fn over(
        program: Program,
        host: &Host,
        plan: &RelayPlan,
        tasks: &TaskTracker,
    ) -> Result<Self, HostError> {
        let ear = Ear::default();
        let mut stdout = BufReader::new(ear.at(program.stdout));
        let expected = format!("{} relay\n", plan.nonce);
        let greeting = greeting(&mut stdout, &expected);
        let mut stderr = program.stderr;
        match timeout(GREETING_TIMEOUT, greeting).await.map_or(Ok(None), |heard| heard.map(Some))? {
            None => return Err(RelayFault::Silent(GREETING_TIMEOUT).into()),
            Some(false) => return Err(RelayFault::NotStarted(words(&mut stderr).await).into()),
            Some(true) => {}
        }
        let (asked, asking) = mpsc::channel(WAITING);
        let wire = join(Box::new(stdout) as _, program.stdin);
        let (host, listening) = (host.clone(), ear.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = carry(wire.compat(), asking, stderr) => {}
                () = listening.until_silent(&host) => tracing::warn!("the relay says nothing any more, and is given up"),
            }
        });
        Ok(Self { asked, ear })
    }

    /// Opens a connection to the port. Nobody has taken it yet: one that is refused breaks off.
    ///
    /// # Errors
    /// The far end is gone.
    pub(super) async fn open(&self) -> io::Result<RelayStream> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the relay ended");
        let (opened, opening) = oneshot::channel();
        self.asked.send(opened).await.map_err(|_| gone())?;
        let stream = opening.await.map_err(|_| gone())?.map_err(io::Error::other)?;
        Ok(RelayStream::new(stream, self.clone()))
    }

    /// Returns once the far end says anything.
    pub(super) async fn heard(&self) {
        self.ear.next().await;
    }

    /// Whether its far end is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.asked.is_closed()
    }
}

/// Reads up to the far end's greeting, whatever the host prints before it.
pub(in crate::host) async fn greeting(
    stdout: &mut (impl tokio::io::AsyncBufRead + Unpin),
    greeting: &str,
) -> io::Result<bool> {
    use tokio::io::AsyncBufReadExt as _;
    let (mut line, mut read) = (Vec::new(), 0);
    while read < NOISE_LIMIT {
        line.clear();
        let mut piece = (&mut *stdout).take(NOISE_LIMIT as u64);
        match piece.read_until(b'\n', &mut line).await? {
            0 => return Ok(false),
            more => read += more,
        }
        if line == greeting.as_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the far end itself said last, or what was said last at all.
async fn words(stderr: &mut (impl AsyncRead + Unpin)) -> String {
    let mut said = Vec::new();
    // It has ended; what it left behind may hold its standard error open.
    let mut stderr = stderr.take(NOISE_LIMIT as u64);
    let _ = timeout(Duration::from_secs(1), stderr.read_to_end(&mut said)).await;
    let text = String::from_utf8_lossy(&said);
    // What started it may say after it that it failed.
    let own = text.lines().rev().find_map(|line| line.split_once(OWN_WORDS).map(|(_, said)| said));
    let last = own.or_else(|| text.lines().map(str::trim).rfind(|line| !line.is_empty()));
    last.unwrap_or("it ended without a word").to_owned()
}

/// Carries all streams until the far end is gone, or nobody holds the relay or a stream of it any more.
async fn carry(wire: Wire, asking: mpsc::Receiver<Asked>, stderr: impl AsyncRead + Unpin) {
    let mut config = Config::default();
    config.set_max_connection_receive_window(Some(WINDOW_OF_ALL)).set_max_num_streams(MOST_STREAMS);
    let connection = Connection::new(wire, config, Mode::Client);
    let mut driver = Driver { connection, asking, waiting: None, beat: interval(BEAT) };
    tokio::select! {
        result = poll_fn(|cx| driver.poll(cx)) => tracing::debug!(?result, "a relay ended"),
        () = listen(stderr) => {}
    }
}

/// Passes on what the far end says. Never returns: its end is told by its standard output.
async fn listen(stderr: impl AsyncRead + Unpin) {
    let mut lines = LossyLines::new(stderr);
    while let Ok(Some(line)) = lines.next().await {
        tracing::debug!("the relay's far end says: {line}");
    }
    std::future::pending::<()>().await;
}

struct Driver {
    connection: Connection<Wire>,
    asking: mpsc::Receiver<Asked>,
    /// Who is to get the next stream.
    waiting: Option<Asked>,
    /// An idle connection does not wake by itself to ask for an answer.
    beat: Interval,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<yamux::Result<()>> {
        while self.beat.poll_tick(cx).is_ready() {}
        loop {
            if self.waiting.is_none() {
                match self.asking.poll_recv(cx) {
                    Poll::Ready(Some(asked)) => self.waiting = Some(asked),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {}
                }
            }
            if self.waiting.is_some()
                && let Poll::Ready(stream) = self.connection.poll_new_outbound(cx)
                && let Some(asked) = self.waiting.take()
            {
                match stream {
                    // One that nobody waits for any more ends by itself.
                    Ok(stream) => drop(asked.send(Ok(stream))),
                    Err(full @ yamux::ConnectionError::TooManyStreams) => drop(asked.send(Err(full))),
                    Err(error) => return Poll::Ready(Err(error)),
                }
                continue;
            }
            match ready!(self.connection.poll_next_inbound(cx)) {
                // Nobody was asked to open any.
                Some(Ok(unasked)) => drop(unasked),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}
