//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::converse;
use super::descriptors;
use super::router::Gateway;

/// How long to wait where the system has no descriptor or memory left for a connection.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(200);

/// Serves until the gateway's lifetime says "no more". Connections that are still being served then are tasks of its
/// tracker. Raises the process's soft limit of descriptors to the hard one.
pub async fn serve(listener: TcpListener, gateway: Gateway) {
    let lifetime = gateway.lifetime().clone();
    let room = Arc::new(Semaphore::new(descriptors::connections()));
    loop {
        let (stream, client, place) = tokio::select! {
            () = lifetime.no_more.cancelled() => return,
            accepted = accept(&listener, &room) => accepted,
        };
        let (gateway, ended) = (gateway.clone(), lifetime.end_all.clone());
        drop(lifetime.tasks.spawn(async move {
            tokio::select! {
                () = converse(stream, client, place, gateway) => {}
                () = ended.cancelled() => {}
            }
        }));
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // It is never closed, so that there is always a place in the end.
    let place = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, client)) => return (stream, client, place),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no connection can be accepted for now");
                tokio::time::sleep(EXHAUSTED_WAIT).await;
            }
        }
    }
}

/// Whether a client left before we came to it, which says nothing about the next.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
