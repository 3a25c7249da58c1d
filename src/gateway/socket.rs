//! A WebSocket of which only its first message says whose it is: we open it ourselves, listen, and then join it to the engine.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use http::header::{
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::asleep;
use super::body::{ResponseBody, empty};
use super::error::{Fault, close_code};
use super::forward::{Failed, Outgoing, send};
use super::frames::Frames;
use super::headers::{self, put_upgrade};
use super::keys::{Stay, Ticket, party};
use super::opening::{NoFrame, Opening, Step, close, pong};
use super::router::{Asked, Shared, at_once, order};
use super::upgrade::join_both;
use crate::fleet::{Candidates, Member, Roster};
use crate::instance::{Hold, Party, Permit};

/// How long a client has to say whose it is. One that waits for the engine's greeting first says nothing, and is told to name
/// its model in the query.
const FIRST_WORDS: Duration = Duration::from_secs(5);

/// How long a client that was sent away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a WebSocket's key is hashed with (RFC 6455, section 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The client did what it may not (section 7.4).
const WRONG: u16 = 1008;
/// The engine did.
const BROKEN: u16 = 1011;

/// Why a WebSocket comes to nothing.
enum Ending {
    /// The client left.
    Gone,
    /// It is sent away, with a code and with what to do.
    Told(u16, String),
}

impl From<io::Error> for Ending {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<NoFrame> for Ending {
    fn from(what: NoFrame) -> Self {
        Self::Told(1002, what.to_string())
    }
}

fn told(fault: &Fault) -> Ending {
    fault.log();
    Ending::Told(fault.close_code(), fault.to_string())
}

/// Whether this is a WebSocket that may be opened before its engine is known: where the client wants a protocol inside it, only
/// the engine can say which.
pub(super) fn may_be_opened(head: &Parts) -> bool {
    headers::websocket_wanted(&head.headers)
        && head.method == Method::GET
        && head.version == Version::HTTP_11
        && !head.headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
        && head.headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && head.headers.contains_key(SEC_WEBSOCKET_KEY)
        && head.extensions.get::<OnUpgrade>().is_some()
}

impl Shared {
    /// Opens it; what its client says then decides.
    pub(super) fn open_socket(self: &Arc<Self>, asked: &mut Asked) -> Option<Response<ResponseBody>> {
        let head = &mut asked.head;
        let accept = accept(head.headers.get(SEC_WEBSOCKET_KEY)?)?;
        let client = head.extensions.remove::<OnUpgrade>()?;
        head.headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        let mut to_engine = order(head.clone(), Outgoing::Nothing, &asked.client, asked.dialect).head;
        put_upgrade(&mut to_engine.headers, HeaderValue::from_static("websocket"));
        let (this, ended) = (Arc::clone(self), self.lifetime.end_all.clone());
        let talk = async move {
            match client.await {
                Ok(client) => Talk::new(this, client).hold(&to_engine).await,
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "an upgrade came to nothing"),
            }
        };
        drop(self.lifetime.tasks.spawn(async move { ended.run_until_cancelled_owned(talk).await }));
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        put_upgrade(response.headers_mut(), HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
        Some(response)
    }
}

/// A conversation with a client whose engine is looked for.
struct Talk {
    shared: Arc<Shared>,
    client: TokioIo<Upgraded>,
    opening: Opening,
}

impl Talk {
    fn new(shared: Arc<Shared>, client: Upgraded) -> Self {
        Self { shared, client: TokioIo::new(client), opening: Opening::default() }
    }

    async fn hold(mut self, head: &Parts) {
        let (mut engine, permit, idle) = match self.find(head).await {
            Ok(found) => found,
            Err(Ending::Gone) => return,
            Err(Ending::Told(code, why)) => return self.send_away(code, &why).await,
        };
        let stay = Stay { _permit: permit, _ticket: head.extensions.get().cloned() };
        let (said, tail) = self.opening.into_parts();
        let mut frames = Frames::default();
        frames.walk(&tail);
        let ahead = async {
            engine.write_all(&said).await?;
            engine.write_all(&tail).await?;
            engine.flush().await
        };
        match ahead.await {
            Ok(()) => join_both(self.client, engine, stay, [Some(frames), Some(Frames::default())], idle).await,
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "an engine left at once"),
        }
    }

    /// The engine of the model that the client names first.
    async fn find(&mut self, head: &Parts) -> Result<(TokioIo<Upgraded>, Permit, Option<Duration>), Ending> {
        let model = self.first_words().await?;
        let roster = self.shared.fleet.roster();
        let mut candidates = candidates(head.extensions.get(), &roster, model)?;
        let (mut member, mut permit) = self.acquire(&candidates, party(head)).await?;
        candidates.unclaim();
        let mut others =
            candidates.all().filter(|other| !Arc::ptr_eq(other, &member)).cloned().collect::<Vec<_>>().into_iter();
        let limit = self.shared.settings.answer_timeout;
        loop {
            let idle = member.idle_timeout;
            let fault = match timeout(limit, send(&permit, head, Outgoing::Nothing, idle)).await {
                Ok(Ok(mut response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    let engine = hyper::upgrade::on(&mut response)
                        .await
                        .map_err(|error| Ending::Told(BROKEN, error.to_string()))?;
                    return Ok((TokioIo::new(engine), permit, idle));
                }
                Ok(Ok(response)) => {
                    let status = response.status();
                    let why = format!("the engine answered {}, and opens no WebSocket here", status.as_u16());
                    return Err(Ending::Told(close_code(status), why));
                }
                Ok(Err(Failed { fault, body: Some(_) })) => fault,
                Ok(Err(Failed { fault, body: None })) => return Err(told(&fault)),
                Err(_) => return Err(told(&Fault::NoAnswer { limit })),
            };
            // Nothing of it was sent.
            (member, permit) = loop {
                let next = others.next().ok_or_else(|| told(&fault))?;
                if let Some(permit) = at_once(&next, Hold::Inference).await {
                    break (next, permit);
                }
            };
        }
    }

    /// The model of the first message, if it comes in time and names one.
    async fn first_words(&mut self) -> Result<Option<String>, Ending> {
        let until = Instant::now() + FIRST_WORDS;
        while !self.hear().await? && Instant::now() < until {
            match timeout_at(until, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
        }
        Ok(self.opening.model())
    }

    /// Waits for an engine, and goes on listening meanwhile: who pings wants to hear a pong.
    async fn acquire(&mut self, candidates: &Candidates, party: Party) -> Result<(Arc<Member>, Permit), Ending> {
        if !self.shared.settings.wake_on.inference {
            for member in candidates.all() {
                if let Some(permit) = at_once(member, Hold::Inference).await {
                    return Ok((Arc::clone(member), permit));
                }
            }
            return Err(told(&asleep::not_woken(&candidates.first().handle.snapshot(), false)));
        }
        self.shared.fleet.ask_for(candidates.first());
        let acquired = candidates.acquire(party, Hold::Inference);
        tokio::pin!(acquired);
        loop {
            tokio::select! {
                biased;
                acquired = &mut acquired => return acquired.map_err(|refusal| told(&Fault::Refused(refusal))),
                read = self.read(), if self.opening.has_room() => read?,
            }
            self.hear().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.client.read_buf(&mut self.opening.tail).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Takes in what has come. Whether the first message is whole, or too long.
    async fn hear(&mut self) -> Result<bool, Ending> {
        loop {
            match self.opening.step()? {
                Step::Message | Step::Full => return Ok(true),
                Step::More => return Ok(false),
                Step::Ping(payload) => {
                    let answered = async {
                        self.client.write_all(&pong(&payload)).await?;
                        self.client.flush().await
                    };
                    // Who asks and does not listen is not waited for.
                    timeout(FAREWELL, answered).await.map_err(|_elapsed| Ending::Gone)??;
                }
                Step::Close => return Err(Ending::Told(1000, String::new())),
            }
        }
    }

    /// Says why, and lets the client read it.
    async fn send_away(mut self, code: u16, why: &str) {
        tracing::debug!(code, why, "a WebSocket is ended before it had an engine");
        let farewell = async {
            self.client.write_all(&close(code, why)).await?;
            self.client.shutdown().await?;
            let mut rest = [0; 1024];
            while self.client.read(&mut rest).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // Late or gone, nothing is left to be said.
        drop(timeout(FAREWELL, farewell).await);
    }
}

/// Those of `whole` that may serve `model`, as far as the key reaches.
fn candidates(ticket: Option<&Ticket>, whole: &Roster, model: Option<String>) -> Result<Candidates, Ending> {
    let view = ticket.and_then(|ticket| ticket.view(whole));
    let roster = view.as_ref().unwrap_or(whole);
    let known = roster.model_names().join(", ");
    if let Some(model) = model {
        return roster.candidates(&model, None).ok_or_else(|| {
            let fault = Fault::NoSuchModel { model, known };
            told(&match ticket {
                Some(ticket) => ticket.explain(fault, whole, roster),
                None => fault,
            })
        });
    }
    let what = format!("say first which model, or name it in the query, as in ?model=NAME; known: {known}");
    let default = roster.without_model().ok_or(Ending::Told(WRONG, what))?;
    Ok(roster.replicas(default, None))
}

/// What a server answers to a WebSocket's key.
fn accept(key: &HeaderValue) -> Option<HeaderValue> {
    let hash = Sha1::new().chain_update(key.as_bytes()).chain_update(MAGIC).finalize();
    HeaderValue::from_str(&Base64::encode_string(&hash)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_standard() {
        let accepted = accept(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(accepted, Some(HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    }
}
