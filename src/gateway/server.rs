//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::converse;
use super::descriptors;
use super::router::Gateway;

/// How many connections may wait to be accepted, where the system allows it (`net.core.somaxconn`). A client that comes when no
/// place is left is not told, and knocks again only a second later; hundreds of them may come in one moment.
const WAITING: u32 = 4096;

/// How long to wait where the system has no descriptor or memory left for a connection.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(200);

/// Listens there, for [`serve`].
///
/// # Errors
/// The address is not ours, or in use.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As with any server: what is left of an earlier one's connections is no reason to wait.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

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
        drop(lifetime.tasks.spawn(converse(stream, client, place, gateway.clone())));
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

// Elsewhere the system may allow fewer, whatever is asked for.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

    use super::*;

    #[tokio::test]
    async fn hundreds_may_come_before_the_first_is_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..400 {
            // Where no place is left, it takes until somebody accepts, and here nobody does.
            let client = tokio::time::timeout(Duration::from_secs(20), TcpStream::connect(address)).await;
            clients.push(client.unwrap().unwrap());
        }
    }
}
