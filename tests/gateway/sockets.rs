//! `WebSockets` that name their model in what they say first.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use futures_util::{SinkExt, StreamExt};
use llm_proxy::config::KeyUse;
use llm_proxy::fleet::Fleet;
use llm_proxy::gateway::{AccessKey, Settings};
use llm_proxy::instance::{Hold, Refusal};
use llm_proxy::route::EngineAuth;
use llm_proxy::secret::Key;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::support::*;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An engine that greets, and then says back what it hears, with its name before it.
async fn greeting(name: &'static str) -> SocketAddr {
    raw_engine(move |stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a handshake");
        socket.send(Message::text(format!("{name} is here"))).await.expect("sent");
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                socket.send(Message::text(format!("{name}: {text}"))).await.expect("sent");
            }
        }
    })
    .await
}

/// `one` and `two`, and who gets what names none of them.
async fn two(moods: [Mood; 2], default: Option<&str>) -> (Proxy, [Owner; 2]) {
    two_with(Settings::default(), moods, default).await
}

async fn two_with(settings: Settings, moods: [Mood; 2], default: Option<&str>) -> (Proxy, [Owner; 2]) {
    let fleet = Fleet::of_many(None);
    fleet.set_default(default.and_then(llm_proxy::id::InstanceName::from_text));
    let [first, second] = moods;
    let all = [("one", greeting("one").await, first), ("two", greeting("two").await, second)];
    let owners = all.map(|(name, engine, mood)| {
        let (owner, member) = member(name, vec![format!("org/{name}")], engine, mood, EngineAuth::Client, &settings);
        fleet.put(member);
        owner
    });
    let (address, gateway, lifetime) = front(fleet, settings).await;
    (Proxy { address, gateway, owner: owners[0].clone(), lifetime }, owners)
}

async fn open(proxy: &Proxy) -> Socket {
    let url = format!("ws://localhost:{}/v1/realtime", proxy.address.port());
    tokio_tungstenite::connect_async(url).await.expect("a handshake").0
}

async fn heard(socket: &mut Socket) -> Message {
    let next = tokio::time::timeout(DEADLINE, socket.next()).await.expect("an answer in time");
    next.expect("more").expect("a message")
}

/// The code and the words with which we end it.
async fn ended(socket: &mut Socket) -> (u16, String) {
    match heard(socket).await {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("no end, but {other:?}"),
    }
}

fn update(model: &str) -> Message {
    Message::text(format!(r#"{{"type":"session.update","model":"{model}"}}"#))
}

#[tokio::test]
async fn the_first_message_names_the_model_and_reaches_its_engine() {
    let (proxy, owners) = two([Mood::Ready, Mood::Ready], None).await;
    let mut socket = open(&proxy).await;
    let long = format!(
        r#"{{"type":"session.update","session":{{"model":"org/two","instructions":"{}"}}}}"#,
        "x".repeat(70_000)
    );
    socket.send(Message::text(long.clone())).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("two is here"));
    assert_eq!(heard(&mut socket).await, Message::text(format!("two: {long}")));
    socket.send(Message::text("more")).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("two: more"));
    assert_eq!(owners[0].told(), []);
    socket.close(None).await.unwrap();
    eventually("the release", || owners[1].was_told(Told::Release(Hold::Inference))).await;
}

/// What a key may reach, it may reach by these as well, and no more of it at once.
#[tokio::test]
async fn a_key_for_one_model_reaches_no_other_by_what_it_says() {
    let class = AccessKey {
        name: "class".to_owned(),
        digest: Key::new("class-key").digest(),
        purpose: KeyUse::Inference,
        models: Some(vec!["org/one".to_owned()]),
        requests_in_flight: NonZeroUsize::new(1),
        requests_per_minute: None,
    };
    let settings = Settings { access_keys: vec![class], ..Settings::default() };
    let (proxy, owners) = two_with(settings, [Mood::Ready, Mood::Ready], Some("two")).await;
    let open = async || {
        let mut request = format!("ws://localhost:{}/v1/realtime", proxy.address.port()).into_client_request().unwrap();
        request.headers_mut().insert("authorization", "Bearer class-key".parse().unwrap());
        tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
    };
    let mut other = open().await.unwrap();
    other.send(update("org/two")).await.unwrap();
    let by_http = http::Request::post("/v1/completions?model=org/two").header("host", "localhost");
    let by_http = by_http.header("authorization", "Bearer class-key").body(full("{}")).unwrap();
    assert_eq!(
        ended(&mut other).await,
        (1008, "the access key `class` is not for the model `org/two`; it is for org/one".to_owned())
    );
    drop(other);
    let told = loop {
        // The one that was sent away may count a moment longer.
        let (status, told) = whole(proxy.send(by_http.clone()).await).await;
        if status != 429 {
            break told;
        }
    };
    assert!(told.contains("the access key `class` is not for the model `org/two`; it is for org/one"), "{told}");
    let mut socket = loop {
        // The one that was sent away may count a moment longer.
        match open().await {
            Ok(socket) => break socket,
            Err(error) => assert!(error.to_string().contains("429"), "{error}"),
        }
    };
    socket.send(update("org/one")).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("one is here"));
    let second = open().await.map(drop).unwrap_err().to_string();
    assert!(second.contains("429"), "{second}");
    assert_eq!(owners[1].told(), [], "the other one was not even asked");
}

#[tokio::test]
async fn an_engine_is_started_by_it_and_pings_are_answered_meanwhile() {
    let (proxy, owners) = two([Mood::Ready, Mood::Asleep], None).await;
    let mut socket = open(&proxy).await;
    socket.send(update("two")).await.unwrap();
    eventually("the wait", || owners[1].was_told(Told::Acquire(Hold::Inference))).await;
    socket.send(Message::text("sound")).await.unwrap();
    socket.send(Message::Ping("there?".into())).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::Pong("there?".into()));
    owners[1].wake();
    assert_eq!(heard(&mut socket).await, Message::text("two is here"));
    let said = update("two");
    assert_eq!(heard(&mut socket).await, Message::text(format!("two: {}", said.to_text().unwrap())));
    assert_eq!(heard(&mut socket).await, Message::text("two: sound"));
}

#[tokio::test]
async fn a_client_that_leaves_or_closes_waits_no_more() {
    let (proxy, owners) = two([Mood::Asleep, Mood::Asleep], None).await;
    let mut leaves = open(&proxy).await;
    leaves.send(update("one")).await.unwrap();
    let mut closes = open(&proxy).await;
    closes.send(update("two")).await.unwrap();
    eventually("both wait", || owners.iter().all(|owner| owner.was_told(Told::Acquire(Hold::Inference)))).await;
    drop(leaves);
    closes.close(None).await.unwrap();
    eventually("both are gone", || owners.iter().all(|owner| owner.was_told(Told::Abandon))).await;
}

#[tokio::test]
async fn what_cannot_be_is_told_with_a_code_and_words() {
    let (proxy, owners) = two([Mood::Ready, Mood::Asleep], None).await;
    let mut socket = open(&proxy).await;
    socket.send(update("three")).await.unwrap();
    let (code, words) = ended(&mut socket).await;
    assert!(code == 1008 && words.contains("`three` does not exist; known: org/one"), "{code} {words}");

    let mut socket = open(&proxy).await;
    socket.send(Message::text("hello")).await.unwrap();
    let (code, words) = ended(&mut socket).await;
    assert!(code == 1008 && words.contains("?model=NAME"), "{code} {words}");

    owners[1].refuse(Refusal::TooManyWaiting { limit: 3 });
    let mut socket = open(&proxy).await;
    socket.send(update("two")).await.unwrap();
    assert_eq!(ended(&mut socket).await.0, 1013);

    for (status, code) in [("503 Busy", 1013), ("429 Full", 1013), ("403 No", 1008), ("500 Broken", 1011)] {
        let engine = raw_engine(move |mut stream| async move {
            read_head(&mut stream).await;
            write(&mut stream, &format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        })
        .await;
        let members: [(&str, &[&str], _, _); 2] =
            [("one", &[], engine, Mood::Ready), ("two", &[], engine, Mood::Ready)];
        let (proxy, _owners) = Proxy::several(members).await;
        let mut socket = open(&proxy).await;
        socket.send(update("one")).await.unwrap();
        let (ended, words) = ended(&mut socket).await;
        assert!(ended == code && words.contains(&status[..3]), "{status}: {ended} {words}");
    }

    // What is no WebSocket after all.
    let mut stream = proxy.connect().await;
    let head = "GET /v1/realtime HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
    write(&mut stream, head).await;
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("HSmrc0sMlYUkAGmm5OPpG2HaGWk="), "{answer}");
    write(&mut stream, "GET / HTTP/1.1\r\n\r\n").await;
    let end = read_all(&mut stream).await;
    assert!(end.contains("no frames of a WebSocket"), "{end}");
}

#[tokio::test]
async fn who_says_nothing_in_time_gets_the_default_or_is_told_how_to_name_a_model() {
    let with = async {
        let (proxy, _owners) = two([Mood::Ready, Mood::Ready], Some("one")).await;
        let mut socket = open(&proxy).await;
        assert_eq!(heard(&mut socket).await, Message::text("one is here"));
    };
    let without = async {
        let (proxy, _owners) = two([Mood::Ready, Mood::Ready], None).await;
        let mut socket = open(&proxy).await;
        let (code, words) = ended(&mut socket).await;
        assert!(code == 1008 && words.contains("?model=NAME"), "{code} {words}");
    };
    tokio::join!(Box::pin(with), Box::pin(without));
}

#[tokio::test]
async fn a_query_and_the_default_still_decide_and_a_protocol_is_the_engines_to_choose() {
    let (proxy, _owners) = two([Mood::Ready, Mood::Ready], Some("one")).await;
    let url = format!("ws://localhost:{}/v1/realtime?model=org%2Ftwo", proxy.address.port());
    let mut socket = tokio_tungstenite::connect_async(url).await.unwrap().0;
    assert_eq!(heard(&mut socket).await, Message::text("two is here"), "at once, without a word");
    let mut socket = open(&proxy).await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(heard(&mut socket).await, Message::text("one is here"));
    assert_eq!(heard(&mut socket).await, Message::text("one: hello"));

    let (proxy, owners) = two([Mood::Ready, Mood::Ready], None).await;
    let mut request = format!("ws://localhost:{}/v1/realtime", proxy.address.port()).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "realtime".parse().unwrap());
    let refused = tokio_tungstenite::connect_async(request).await.unwrap_err();
    assert!(refused.to_string().contains("400"), "{refused}");
    assert!(owners.iter().all(|owner| owner.told().is_empty()));
}
