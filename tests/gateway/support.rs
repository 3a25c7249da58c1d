//! A proxy before an engine of the test's own, and an owner that does as it is told.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_proxy::backend::Loading;
use llm_proxy::fleet::{Fleet, Member};
use llm_proxy::gateway::{Gateway, Lifetime, Settings, serve};
use llm_proxy::host::{Address, Host, LocalHost};
use llm_proxy::id::InstanceName;
use llm_proxy::instance::{Command, Entrance, Handle, Hold, Permit, Phase, Refusal, Snapshot};
use llm_proxy::route::{EngineAuth, Upstream, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) type EngineBody = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

/// Waits until `done` is true.
pub(crate) async fn eventually(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never came: {what}"));
}

/// What the owner of the instance was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Acquire(Hold),
    TryAcquire(Hold),
    Abandon,
    Release(Hold),
    Nudge,
}

/// What the owner does with who wants the engine.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// The engine is up.
    Ready,
    /// It is not; who waits, waits.
    Asleep,
    /// It cannot be started.
    Refusing(Refusal),
}

struct Inner {
    mood: Mood,
    /// Never open, so that each request is told of.
    entrance: Arc<Entrance>,
    waiting: Vec<(Hold, oneshot::Sender<Result<Permit, Refusal>>)>,
    told: Vec<Told>,
    snapshots: watch::Sender<Snapshot>,
    /// Whether a nudge starts the engine.
    nudgeable: bool,
    /// Whether what is shown as in flight is what is.
    counts: bool,
}

/// The task that owns the instance, in the test's hands.
#[derive(Clone)]
pub(crate) struct Owner(Arc<Mutex<Inner>>);

impl Owner {
    fn start(name: &str, upstream: Arc<Upstream>, mood: Mood) -> (Self, Handle) {
        let (commands, mut received) = mpsc::unbounded_channel();
        let phase = if matches!(mood, Mood::Ready) { Phase::Ready } else { Phase::Stopped };
        let now = Snapshot { phase, ..Snapshot::default() };
        let (publish, snapshots) = watch::channel(now);
        let name = InstanceName::from_text(name).expect("a name");
        let handle = Handle::new(name, commands.clone(), snapshots, watch::channel(None).1);
        let (waiting, told) = (Vec::new(), Vec::new());
        let entrance = Entrance::new(upstream, 1, commands);
        let inner = Inner { mood, entrance, waiting, told, snapshots: publish, nudgeable: true, counts: false };
        let owner = Self(Arc::new(Mutex::new(inner)));
        let task = owner.clone();
        tokio::spawn(async move {
            while let Some(command) = received.recv().await {
                task.0.lock().expect("no poison").obey(command);
            }
        });
        (owner, handle)
    }

    /// Everything that was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.0.lock().expect("no poison").told.clone()
    }

    pub(crate) fn was_told(&self, wanted: Told) -> bool {
        self.told().contains(&wanted)
    }

    /// The engine is up from now on: who waits gets it.
    pub(crate) fn wake(&self) {
        let mut inner = self.0.lock().expect("no poison");
        inner.mood = Mood::Ready;
        inner.show(Phase::Ready);
        for (hold, answer) in std::mem::take(&mut inner.waiting) {
            let permit = inner.permit(hold);
            drop(answer.send(Ok(permit)));
        }
    }

    /// From now on a look at the models starts nothing.
    pub(crate) fn ignore_nudges(&self) {
        self.0.lock().expect("no poison").nudgeable = false;
    }

    /// Shows where the instance stands.
    pub(crate) fn show(&self, phase: Phase) {
        self.0.lock().expect("no poison").show(phase);
    }

    /// Shows so many requests in flight.
    pub(crate) fn show_load(&self, in_flight: usize) {
        let inner = self.0.lock().expect("no poison");
        inner.snapshots.send_modify(|seen| (seen.in_flight, seen.inference) = (in_flight, in_flight));
    }

    /// Shows from now on the requests that are in flight.
    pub(crate) fn count_permits(&self) {
        self.0.lock().expect("no poison").counts = true;
    }

    /// Shows how far the start of the engine is.
    pub(crate) fn show_loading(&self, loading: Loading) {
        let inner = self.0.lock().expect("no poison");
        inner.snapshots.send_modify(|seen| (seen.phase, seen.loading) = (Phase::Starting, Some(loading)));
    }

    /// Refuses who waits and who comes.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        let mut inner = self.0.lock().expect("no poison");
        for (_, answer) in std::mem::take(&mut inner.waiting) {
            drop(answer.send(Err(refusal.clone())));
        }
        inner.mood = Mood::Refusing(refusal);
    }
}

impl Inner {
    fn show(&self, phase: Phase) {
        self.snapshots.send_modify(|seen| seen.phase = phase);
    }

    fn permit(&self, hold: Hold) -> Permit {
        self.count(1);
        self.entrance.admit(hold)
    }

    fn count(&self, more: isize) {
        if self.counts {
            self.snapshots.send_modify(|seen| seen.in_flight = seen.in_flight.saturating_add_signed(more));
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Acquire { hold, answer, .. } => {
                self.told.push(Told::Acquire(hold));
                match &self.mood {
                    Mood::Ready => drop(answer.send(Ok(self.permit(hold)))),
                    Mood::Asleep => self.waiting.push((hold, answer)),
                    Mood::Refusing(refusal) => drop(answer.send(Err(refusal.clone()))),
                }
            }
            Command::TryAcquire { hold, answer, .. } => {
                self.told.push(Told::TryAcquire(hold));
                if matches!(self.mood, Mood::Ready) {
                    drop(answer.send(Ok(self.permit(hold))));
                }
            }
            Command::Abandon(_) => self.told.push(Told::Abandon),
            Command::Release(_, hold) => {
                self.told.push(Told::Release(hold));
                self.count(-1);
            }
            Command::Nudge => {
                self.told.push(Told::Nudge);
                if self.nudgeable && matches!(self.mood, Mood::Asleep) {
                    self.show(Phase::Starting);
                }
            }
            Command::Moved
            | Command::Start
            | Command::Yield { .. }
            | Command::Replace(_)
            | Command::Stop { .. }
            | Command::Reset
            | Command::Close { .. } => {}
        }
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Gateway,
    pub(crate) owner: Owner,
    pub(crate) lifetime: Lifetime,
}

impl Proxy {
    /// Before the engine at `engine`, with settings for a test.
    pub(crate) async fn start(engine: SocketAddr, mood: Mood) -> Self {
        Self::with(engine, mood, EngineAuth::Client, Settings::default()).await
    }

    pub(crate) async fn with(engine: SocketAddr, mood: Mood, auth: EngineAuth, settings: Settings) -> Self {
        Self::serving(&[], engine, mood, auth, settings).await
    }

    /// Whose engine is known to serve these models.
    pub(crate) async fn serving(
        models: &[&str],
        engine: SocketAddr,
        mood: Mood,
        auth: EngineAuth,
        settings: Settings,
    ) -> Self {
        let models = models.iter().map(|&model| model.to_owned()).collect();
        let (owner, member) = member("tiny", models, engine, mood, auth, &settings);
        let fleet = Fleet::of_one();
        fleet.put(member);
        let (address, gateway, lifetime) = front(fleet, settings).await;
        Self { address, gateway, owner, lifetime }
    }

    /// Before several engines, each with its instance's name and the models that it is known to serve.
    pub(crate) async fn several<const N: usize>(members: [(&str, &[&str], SocketAddr, Mood); N]) -> (Self, [Owner; N]) {
        Self::several_with(Settings::default(), members).await
    }

    /// The same, with these settings.
    pub(crate) async fn several_with<const N: usize>(
        settings: Settings,
        members: [(&str, &[&str], SocketAddr, Mood); N],
    ) -> (Self, [Owner; N]) {
        let fleet = Fleet::of_many(None);
        let owners = members.map(|(name, models, engine, mood)| {
            let models = models.iter().map(|&model| model.to_owned()).collect();
            let (owner, member) = member(name, models, engine, mood, EngineAuth::Client, &settings);
            fleet.put(member);
            owner
        });
        let (address, gateway, lifetime) = front(fleet, settings).await;
        (Self { address, gateway, owner: owners[0].clone(), lifetime }, owners)
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        tokio::time::timeout(DEADLINE, send(self.address, request)).await.expect("an answer in time")
    }

    /// Sends a request without a body and gives status and body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        whole(self.send(request.body(full("")).expect("a request")).await).await
    }

    /// Posts JSON and gives status and body.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> (u16, String) {
        whole(self.send(post(path, body)).await).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the proxy listens")
    }
}

pub(crate) fn member(
    name: &str,
    models: Vec<String>,
    engine: SocketAddr,
    mood: Mood,
    auth: EngineAuth,
    settings: &Settings,
) -> (Owner, Member) {
    let address = Address { host: engine.ip().to_string(), port: engine.port() };
    let upstream = Upstream::new(Way::Dial { host: Host::Local(LocalHost), endpoint: address.into() }, auth);
    let (owner, handle) = Owner::start(name, upstream, mood);
    (owner, Member::new(handle, models, settings.idle_timeout))
}

pub(crate) async fn front(fleet: Fleet, settings: Settings) -> (SocketAddr, Gateway, Lifetime) {
    let lifetime = Lifetime::default();
    let gateway = Gateway::new(fleet, settings, lifetime.clone(), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(serve(listener, gateway.clone()));
    (address, gateway, lifetime)
}

/// Sends a request on a new connection of HTTP/1.1. Dropping the response closes it.
pub(crate) async fn send<B>(to: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(to).await.expect("the proxy listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("http");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("an answer")
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(full(body))
        .expect("a request")
}

pub(crate) fn full(body: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(body.into())
}

/// Status and text of an answer.
pub(crate) async fn whole(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = tokio::time::timeout(DEADLINE, response.into_body().collect()).await.expect("an end in time");
    let body = body.expect("a whole body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// The next piece of a body, as text; nothing at its end.
pub(crate) async fn piece(body: &mut Incoming) -> Option<Result<String, hyper::Error>> {
    let frame = tokio::time::timeout(DEADLINE, body.frame()).await.expect("a frame in time")?;
    Some(frame.map(|frame| String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text")))
}

/// An engine that answers by `answer`.
pub(crate) async fn engine<F, R>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<EngineBody>> + Send + 'static,
{
    raw_engine(move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            drop(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
        }
    })
    .await
}

/// An engine that does with its connections as `converse` says.
pub(crate) async fn raw_engine<F, R>(converse: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream));
        }
    });
    address
}

/// An engine that says what it got: the request line and headers as lines, an empty line, the body.
pub(crate) async fn echo_engine() -> SocketAddr {
    engine(|request| async {
        let (head, body) = request.into_parts();
        let mut text = format!("{} {}\n", head.method, head.uri);
        for (name, value) in &head.headers {
            text.extend([name.as_str(), ": ", &String::from_utf8_lossy(value.as_bytes()), "\n"]);
        }
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&body));
        Response::new(known(text))
    })
    .await
}

/// An engine that answers one request, with this head and with a body whose pieces the test sends.
pub(crate) async fn fed_engine(head: http::response::Builder) -> (Feed, SocketAddr) {
    let (feed, body) = fed();
    let answer = Arc::new(Mutex::new(Some(head.body(body).expect("a head"))));
    let engine = engine(move |request| {
        let answer = answer.lock().expect("nobody panicked").take().expect("one request");
        async move {
            // It would not see its client leave while it has something to read.
            drop(request.into_body().collect().await);
            answer
        }
    });
    (feed, engine.await)
}

/// An engine that nobody should ask.
pub(crate) async fn no_engine() -> SocketAddr {
    engine(|request| async move { panic!("asked for {}", request.uri()) }).await
}

pub(crate) fn known(body: impl Into<Bytes>) -> EngineBody {
    EngineBody::new(full(body).map_err(|never| match never {}))
}

/// Where the pieces of a body go in.
pub(crate) type Feed = mpsc::Sender<std::io::Result<Frame<Bytes>>>;

/// A body whose pieces the test sends. An error breaks it off.
pub(crate) fn fed() -> (Feed, EngineBody) {
    let (feed, mut pieces) = mpsc::channel(1);
    let pieces = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    (feed, EngineBody::new(StreamBody::new(pieces)))
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a feed takes")]
pub(crate) fn event(text: &str) -> std::io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from(format!("data: {text}\n\n"))))
}

pub(crate) fn broken() -> std::io::Result<Frame<Bytes>> {
    Err(std::io::Error::other("the engine died"))
}

/// Reads a head, up to and with its empty line.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(DEADLINE, stream.read_u8()).await.expect("a head in time");
        head.push(byte.expect("a whole head"));
    }
    String::from_utf8(head).expect("text")
}

/// Reads until the other side closes.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut all)).await.expect("an end in time");
    drop(read);
    String::from_utf8_lossy(&all).into_owned()
}

pub(crate) async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("written");
}
