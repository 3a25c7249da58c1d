//! One client's connection: HTTP/1.1 or HTTP/2, until it ends.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::body::ResponseBody;
use super::client_io::ClientIo;
use super::headers::forwarded_for;
use super::router::Gateway;
use super::unframed::Unframed;
use crate::route::{TrackedExecutor, Watched};

/// How long a client may take to send a further head, and how long it may keep a connection without using it. Longer
/// than common clients keep theirs (httpx and Node 5 s, Go 90 s), so that it is seldom we who close.
const HEAD_LIMIT: Duration = Duration::from_mins(2);
/// Bytes that one connection reads ahead or holds back: the cost of a slow reader, and the longest head.
const BUFFER_LIMIT: usize = 128 * 1024;
/// Requests at a time on one connection of HTTP/2.
const STREAMS_LIMIT: u32 = 256;
/// How often a silent HTTP/2 client is asked whether it is still there, and how long it has to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How often we look whether a client is still there that sent bytes which nobody reads yet.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// When a silent client's machine is asked whether it is still there, how often, and how many times in vain.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_mins(1), Duration::from_secs(15), 4);

/// The client left while its request waited.
#[derive(Debug, thiserror::Error)]
#[error("the client left")]
struct Left;

/// Answers what comes on a connection, until it ends, or all does. It is one of `place`'s count until its socket is closed.
pub(super) async fn converse(
    stream: TcpStream,
    client: SocketAddr,
    place: Option<OwnedSemaphorePermit>,
    gateway: Gateway,
) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke at once");
        return;
    }
    let settings = gateway.settings();
    // One end is waited for at a time: before all is ended, no more is taken.
    let (mut ending, mut end_all) =
        (Watched::new(&gateway.lifetime().no_more), Some(gateway.lifetime().end_all.clone()));
    let mut silent = Some(Box::pin(tokio::time::sleep(settings.first_head_timeout)));
    let (stream, asked) = (Arc::new(stream), Arc::new(AtomicBool::new(false)));
    let io = TokioIo::new(ClientIo::new(Arc::clone(&stream), settings.idle_timeout, place));
    let client = forwarded_for(client.ip());
    let (builder, has_asked) = (builder(&gateway), Arc::clone(&asked));
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        // Boxed, so that a connection which only waits for its next request is small.
        Box::pin(answer(gateway.clone(), request, client.clone(), Arc::clone(&stream)))
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    let ended = poll_fn(|cx| {
        while ending.is_cancelled(cx) {
            let Some(end_all) = end_all.take() else { return Poll::Ready(Ok(())) };
            connection.as_mut().graceful_shutdown();
            ending = Watched::new(&end_all);
        }
        let polled = connection.as_mut().poll(cx);
        // From its first request on a connection is no silent one, and needs no clock.
        if has_asked.load(Ordering::Relaxed) {
            silent = None;
        }
        if polled.is_pending() && silent.as_mut().is_some_and(|silent| silent.as_mut().poll(cx).is_ready()) {
            tracing::debug!("a client asked nothing");
            return Poll::Ready(Ok(()));
        }
        polled
    });
    if let Err(error) = ended.await {
        tracing::debug!(error = &*error as &dyn std::error::Error, "a connection broke");
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // Tokens are small and must not wait for one another.
    stream.set_nodelay(true)?;
    let (idle, every, times) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(every).with_retries(times);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn answer(
    gateway: Gateway,
    request: Request<Incoming>,
    client: HeaderValue,
    stream: Arc<TcpStream>,
) -> Result<Response<ResponseBody>, Left> {
    if request.version() > Version::HTTP_11 {
        return Ok(gateway.answer(request, client).await);
    }
    let unframed = request.version() < Version::HTTP_11 && request.method() != Method::HEAD;
    let response = tokio::select! {
        biased;
        response = gateway.answer(request, client) => response,
        () = gone(&stream) => return Err(Left),
    };
    Ok(if unframed && response.body().size_hint().exact().is_none() {
        response.map(|body| ResponseBody::new(Unframed::new(body, stream)))
    } else {
        response
    })
}

/// Waits until the client has closed its side. The HTTP library sees that only where it has read all that came, and it
/// reads no second request, nor the stray line end that some clients send after a body, while the first one waits.
async fn gone(stream: &TcpStream) {
    while stream.ready(Interest::READABLE).await.is_ok_and(|ready| !ready.is_read_closed()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn builder(gateway: &Gateway) -> Builder<TrackedExecutor> {
    let mut builder = Builder::new(TrackedExecutor(gateway.lifetime().tasks.clone()));
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(BUFFER_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_LIMIT)
        .max_send_buf_size(BUFFER_LIMIT)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}
