//! A plain HTTP client: one connection a request, over TCP or through a relay's socket.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::guard::ChildGuard;

/// What a test talks to the proxy, or to an engine, with.
#[derive(Debug)]
pub(crate) struct Client {
    way: Way,
    host: String,
    headers: HeaderMap,
}

#[derive(Debug)]
enum Way {
    Tcp(String),
    Relay { socket: PathBuf, _folder: TempDir, _relay: ChildGuard },
}

/// Any byte stream.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Client {
    /// A client for `HOST:PORT`.
    pub(crate) fn tcp(address: &str) -> Self {
        Self { way: Way::Tcp(address.to_owned()), host: address.to_owned(), headers: HeaderMap::new() }
    }

    /// A client for what is behind a relay, which ends with the client.
    pub(crate) fn by_relay(socket: PathBuf, folder: TempDir, relay: ChildGuard) -> Self {
        let way = Way::Relay { socket, _folder: folder, _relay: relay };
        Self { way, host: "localhost".to_owned(), headers: HeaderMap::new() }
    }

    /// Sends `name: value` with every request from now on.
    pub(crate) fn set_header(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, value.parse().expect("a header's value"));
    }

    /// A connection, for what is not a request and an answer.
    pub(crate) async fn dial(&self) -> std::io::Result<Box<dyn ByteStream>> {
        Ok(match &self.way {
            Way::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Way::Relay { socket, .. } => Box::new(UnixStream::connect(socket).await?),
        })
    }

    /// GET, read to the end.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// POST of a JSON body, read to the end.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// Any method with any body, read to the end.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes) -> Answer {
        self.start(method, path, body).await.whole().await
    }

    /// POST of a JSON body, whose answer is read as it comes.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> EventStream {
        self.start(Method::POST, path, body.to_string().into()).await
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn start(&self, method: Method, path: &str, body: Bytes) -> EventStream {
        let request = self.request(method, path, body);
        self.try_request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// POST of a JSON body to what may be gone.
    pub(crate) async fn ask(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<EventStream, Box<dyn std::error::Error + Send + Sync>> {
        self.try_request(self.request(Method::POST, path, body.to_string().into())).await
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body)).expect("a request")
    }

    /// Sends a request as it is.
    pub(crate) async fn try_request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<EventStream, Box<dyn std::error::Error + Send + Sync>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.dial().await?)).await?;
        let connection = tokio::spawn(async move {
            // What fails here, fails at the request or its body as well.
            let _ = connection.await;
        });
        let response = sender.send_request(request).await;
        match response {
            Ok(response) => Ok(EventStream { response, buffer: Vec::new(), connection: Hangup(connection) }),
            Err(error) => {
                connection.abort();
                Err(error.into())
            }
        }
    }
}

/// Closes the connection when dropped, as a client does that leaves.
#[derive(Debug)]
struct Hangup(JoinHandle<()>);

impl Drop for Hangup {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its trailers, if there were some.
    pub(crate) trailers: Option<HeaderMap>,
    /// Its body, as far as it came.
    pub(crate) body: Bytes,
    /// Whether the body came to its proper end.
    pub(crate) complete: bool,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// The body as JSON of an answer that must be whole and 200.
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status == StatusCode::OK && self.complete, "{}: {}", self.status, self.text());
        self.json()
    }
}

/// An answer whose body is still coming; dropping it hangs up.
#[derive(Debug)]
pub(crate) struct EventStream {
    response: Response<Incoming>,
    buffer: Vec<u8>,
    connection: Hangup,
}

impl EventStream {
    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the body, as it came; `None` at the proper end, an error where it was broken off.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.response.body_mut().frame().await.transpose()? {
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next block of a server-sent event stream (an event or a comment), without its empty line; `None` at the
    /// proper end. What is left without an empty line is given as it is.
    pub(crate) async fn event(&mut self) -> Result<Option<String>, hyper::Error> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(Some(String::from_utf8_lossy(&block).trim_end().to_owned()));
            }
            match self.piece().await? {
                Some(data) => self.buffer.extend_from_slice(&data),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Ok(Some(String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned())),
            }
        }
    }

    /// All that is left of the events, and whether they came to their proper end.
    pub(crate) async fn events(mut self) -> (Vec<String>, bool) {
        let mut events = Vec::new();
        loop {
            match self.event().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, true),
                Err(_) => return (events, false),
            }
        }
    }

    /// The whole answer.
    pub(crate) async fn whole(self) -> Answer {
        let Self { response, connection, .. } = self;
        let (head, mut body) = response.into_parts();
        let (mut bytes, mut trailers, mut complete) = (Vec::new(), None, true);
        while let Some(frame) = body.frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => bytes.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(_) => {
                    complete = false;
                    break;
                }
            }
        }
        drop(connection);
        Answer { status: head.status, headers: head.headers, trailers, body: bytes.into(), complete }
    }
}
