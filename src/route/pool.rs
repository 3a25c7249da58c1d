//! Connections to one engine. Each carries one request at a time, and waits for the next one here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::connector::Connector;
use super::link_wait::BoxError;

/// The body of a request on its way to the engine.
pub type UpstreamBody = UnsyncBoxBody<Bytes, BoxError>;

/// How long an unused connection is kept. uvicorn and llama.cpp close theirs after 5 s; less a second for a slow way
/// there and another for clocks that tick apart, so that a request seldom meets a connection that is being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(3);

/// Unused connections kept. Each may be a channel of one SSH connection, which carries 256 safely.
const IDLE_MAX: usize = 32;

/// Bytes that one connection reads ahead, or holds back for a write: so a slow reader costs no more. Also the longest
/// head of an answer.
const BUFFER_LIMIT: usize = 128 * 1024;

/// Connections, made as they are needed. Those that are idle end with it.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    shelf: Arc<Shelf>,
    // The tasks of connections end with them, and they with the last of the pool and its answers.
    tasks: TaskTracker,
}

/// Where those wait that are idle.
#[derive(Debug, Default)]
struct Shelf {
    idle: Mutex<Idle>,
    /// Told when one comes.
    told: Notify,
}

#[derive(Debug, Default)]
struct Idle {
    /// The longest idle first.
    free: Vec<Free>,
    /// Whether somebody sees to it that they do not stay too long.
    watched: bool,
}

#[derive(Debug)]
struct Free {
    carrier: Carrier,
    since: Instant,
}

/// What a request is sent by.
#[derive(Debug)]
struct Carrier {
    sender: SendRequest<UpstreamBody>,
    /// Whether a byte has come on it since its last request began.
    answered: Arc<AtomicBool>,
}

/// One for one request.
#[derive(Debug)]
pub(super) struct Connection {
    carrier: Carrier,
    /// Whether it was there before its request.
    reused: bool,
    home: Home,
}

/// Where a connection goes once it is idle.
#[derive(Clone, Debug)]
struct Home {
    shelf: Weak<Shelf>,
    tasks: TaskTracker,
}

/// A connection whose answer has begun. Dropped, it goes back to those that are idle as soon as it is.
#[derive(Debug)]
pub(super) struct Lent {
    carrier: Option<Carrier>,
    home: Home,
}

/// Why there is no answer.
pub(super) struct Failed {
    pub(super) error: hyper::Error,
    /// The request, where nothing of it has left and another connection may do better.
    pub(super) request: Option<Request<UpstreamBody>>,
    /// Whether the connection was there before the request, and no byte of an answer came.
    pub(super) untouched: bool,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, shelf: Arc::default(), tasks: TaskTracker::new() }
    }

    /// One that is idle; or a new one, or one that becomes idle before that is made.
    pub(super) async fn connection(&self) -> Result<Connection, BoxError> {
        if let Some(carrier) = self.shelf.take() {
            return Ok(self.lend(carrier, true));
        }
        tokio::select! {
            biased;
            made = self.new_connection() => made,
            carrier = self.shelf.freed() => Ok(self.lend(carrier, true)),
        }
    }

    /// A new one.
    pub(super) async fn new_connection(&self) -> Result<Connection, BoxError> {
        // Boxed, for it is large, and seldom: a request that finds an idle connection does not carry it.
        let wire = Box::pin(self.connector.dial()).await?;
        let answered = wire.answered();
        let (mut sender, connection) = Builder::new().max_buf_size(BUFFER_LIMIT).handshake(TokioIo::new(wire)).await?;
        let (ended, end) = oneshot::channel();
        drop(self.tasks.spawn(async move {
            if let Err(Err(error)) = ended.send(connection.with_upgrades().await) {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection to the engine broke");
            }
        }));
        if let Err(closed) = sender.ready().await {
            // Why it ended at once says more than that it did.
            return Err(end.await.ok().and_then(Result::err).unwrap_or(closed).into());
        }
        Ok(self.lend(Carrier { sender, answered }, false))
    }

    fn lend(&self, carrier: Carrier, reused: bool) -> Connection {
        Connection { carrier, reused, home: Home { shelf: Arc::downgrade(&self.shelf), tasks: self.tasks.clone() } }
    }
}

impl Connection {
    /// Sends a request with a path-only URI, and waits for the answer's head. To drop the future, or the answer's body, closes
    /// the connection.
    pub(super) async fn send(self, request: Request<UpstreamBody>) -> Result<Response<Answer>, Failed> {
        let Self { mut carrier, reused, home } = self;
        carrier.answered.store(false, Ordering::Relaxed);
        match carrier.sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(|body| Answer::new(body, Lent { carrier: Some(carrier), home }))),
            Err(mut error) => {
                let untouched = reused && !carrier.answered.load(Ordering::Relaxed);
                let request = error.take_message().filter(|_| reused);
                Err(Failed { error: error.into_error(), request, untouched })
            }
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut carrier) = self.carrier.take().filter(|carrier| !carrier.sender.is_closed()) else { return };
        if carrier.sender.is_ready() {
            return self.home.put(carrier);
        }
        // It ends, for nobody wants the rest of its answer; or it is idle soon: the engine has answered before it took all of the
        // request.
        let home = self.home.clone();
        self.home.spawn(async move {
            if carrier.sender.ready().await.is_ok() {
                home.put(carrier);
            }
        });
    }
}

impl Home {
    fn put(&self, carrier: Carrier) {
        let Some(held) = self.shelf.upgrade() else { return };
        let mut idle = held.idle();
        if idle.free.len() >= IDLE_MAX {
            idle.free.remove(0);
        }
        idle.free.push(Free { carrier, since: Instant::now() });
        if !idle.watched {
            idle.watched = self.spawn(Shelf::watch(Weak::clone(&self.shelf)));
        }
        drop(idle);
        held.told.notify_one();
    }

    /// Whether it runs: what is dropped after the runtime's end needs it no more.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let runtime = Handle::try_current();
        runtime.map(|runtime| drop(self.tasks.spawn_on(task, &runtime))).is_ok()
    }
}

impl Shelf {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Whoever panicked with it has left nothing half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last.
    fn take(&self) -> Option<Carrier> {
        let mut idle = self.idle();
        let now = Instant::now();
        loop {
            let free = idle.free.pop()?;
            // Whoever ends those that are too old may be late: the machine may have stood still.
            if free.carrier.sender.is_ready() && now < free.since + IDLE_LIMIT {
                return Some(free.carrier);
            }
        }
    }

    /// The next that becomes idle and that nobody else takes.
    async fn freed(&self) -> Carrier {
        loop {
            self.told.notified().await;
            if let Some(carrier) = self.take() {
                return carrier;
            }
        }
    }

    /// Ends those that nobody has used for too long, until none is left.
    async fn watch(shelf: Weak<Self>) {
        while let Some(due) = shelf.upgrade().and_then(|shelf| shelf.end_old()) {
            sleep_until(due).await;
        }
    }

    /// When to look again.
    fn end_old(&self) -> Option<Instant> {
        let mut idle = self.idle();
        let now = Instant::now();
        idle.free.retain(|free| now < free.since + IDLE_LIMIT && !free.carrier.sender.is_closed());
        let due = idle.free.first().map(|free| free.since + IDLE_LIMIT);
        idle.watched = due.is_some();
        due
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
