//! One run of a server, on a thread of its own: only so can a `drop` wait for its end, whatever it is dropped in.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

use super::ServerError;
use crate::app::{App, InstanceSettings, Settings};
use crate::instance::{Phase, Snapshot};

/// A server that is ready, until it is ended or dropped.
pub(super) struct Life {
    /// Where its API is served.
    pub(super) address: SocketAddr,
    snapshots: watch::Receiver<Snapshot>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Vec<String>>>,
}

/// What a thread tells once its server is ready.
struct Ready {
    address: SocketAddr,
    snapshots: watch::Receiver<Snapshot>,
}

impl Life {
    /// Returns when the engine answers; where it does not, when nothing is left of it.
    pub(super) fn begin(settings: Settings, instance: InstanceSettings) -> Result<Self, ServerError> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (ready, told) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("llm-proxy {}", instance.name))
            .spawn(move || runtime.block_on(live(settings, instance, &ready, ended)))?;
        match told.recv() {
            Ok(Ok(Ready { address, snapshots })) => {
                Ok(Self { address, snapshots, end: Some(end), thread: Some(thread) })
            }
            Ok(Err(error)) => {
                drop(thread.join());
                Err(error)
            }
            Err(mpsc::RecvError) => Err(ServerError::Ended),
        }
    }

    /// Whether the engine answers.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.snapshots.borrow().phase, Phase::Ready | Phase::Draining)
    }

    /// Ends it, and returns what could not be ended, by name.
    pub(super) fn end(&mut self) -> Vec<String> {
        drop(self.end.take());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lives until `ended` is told, or dropped with its owner. Returns what could not be ended.
async fn live(
    settings: Settings,
    instance: InstanceSettings,
    ready: &mpsc::Sender<Result<Ready, ServerError>>,
    ended: oneshot::Receiver<()>,
) -> Vec<String> {
    let (app, instance) = match App::start_one(settings, instance).await {
        Ok(started) => started,
        Err(error) => {
            drop(ready.send(Err(error.into())));
            return Vec::new();
        }
    };
    instance.wake();
    let outcome = until_ready(instance.watch()).await;
    let failed = match outcome {
        Ok(()) => {
            drop(ready.send(Ok(Ready { address: app.address(), snapshots: instance.watch() })));
            drop(ended.await);
            None
        }
        Err(error) => Some(error),
    };
    let last = instance.watch();
    app.close(false);
    app.closed().await;
    app.finish().await;
    // Only now: who is told has nothing left to end.
    if let Some(error) = failed {
        drop(ready.send(Err(error)));
    }
    last.borrow().left.clone()
}

async fn until_ready(mut snapshots: watch::Receiver<Snapshot>) -> Result<(), ServerError> {
    loop {
        match &snapshots.borrow_and_update().phase {
            Phase::Ready => return Ok(()),
            Phase::Failed(diagnosis) => return Err(ServerError::Engine(diagnosis.clone())),
            Phase::Stopped
            | Phase::Recovering
            | Phase::Submitting
            | Phase::Queued { .. }
            | Phase::Starting
            | Phase::Draining
            | Phase::Stopping(_) => {}
        }
        snapshots.changed().await.map_err(|_| ServerError::Ended)?;
    }
}
