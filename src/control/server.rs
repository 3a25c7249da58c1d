//! Answers those who come to the socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::desk::Desk;
use super::socket::ControlSocket;
use super::talk::{Talk, TalkError};
use super::{login, moves, peer, profile, status};
use crate::api::{Ask, Done, Failure, FailureKind, LogLine, Reply, Request, VERSION};
use crate::launch::LogReader;

/// Conversations at once: one person's terminals are fewer.
const CONVERSATIONS: usize = 32;

/// Those that may go on for long at once. The rest of the places are left to what is over soon: nobody who follows a log, or
/// waits, keeps anybody from `stop`.
const LONG_CONVERSATIONS: usize = 24;

/// How long a reader of the log may take for a line: whoever reads it in a pager reads a page first.
const PAGE_WITHIN: Duration = Duration::from_hours(1);

/// How long a client may take to say what it wants.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// How long one conversation goes on. A log that is followed all week is asked for again.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// Between two tries where no connection can be taken, as where all descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers everybody of the same user until `no_more`; conversations that go on then are cut at `end`.
pub async fn serve(
    socket: ControlSocket,
    desk: Arc<Desk>,
    tasks: TaskTracker,
    no_more: CancellationToken,
    end: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONVERSATIONS));
    let long = Arc::new(Semaphore::new(LONG_CONVERSATIONS));
    let accepting = async {
        loop {
            let stream = match socket.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!(%error, "no connection can be taken at the control socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Err(error) = peer::check(&stream) {
                warn!(%error, "turned away from the control socket");
                continue;
            }
            // Whoever comes when all places are taken is hung up on.
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
            let (desk, long, end) = (Arc::clone(&desk), Arc::clone(&long), end.clone());
            tasks.spawn(async move {
                let _place = place;
                let talking = timeout(LONGEST, converse(stream, &desk, &long));
                if let Some(Ok(Err(error))) = end.run_until_cancelled(talking).await {
                    debug!(%error, "a conversation at the control socket broke off");
                }
            });
        }
    };
    no_more.run_until_cancelled(accepting).await;
}

async fn converse(stream: UnixStream, desk: &Desk, long: &Semaphore) -> Result<(), TalkError> {
    let mut talk = Talk::new(stream);
    let request = match timeout(ASK_WITHIN, talk.hear::<serde_json::Value>()).await {
        Ok(Ok(Some(request))) => request,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return refuse(&mut talk, &error.to_string()).await,
        Err(_) => return refuse(&mut talk, "nothing was asked").await,
    };
    let spoken = request.get("version").and_then(serde_json::Value::as_u64);
    if spoken != Some(u64::from(VERSION)) {
        let what =
            format!("this proxy speaks version {VERSION} of its protocol; use the llm-proxy that it was started with");
        return refuse(&mut talk, &what).await;
    }
    let ask = match serde_json::from_value::<Request>(request) {
        Ok(request) => request.ask,
        Err(error) => return refuse(&mut talk, &TalkError::Garbled(error.to_string()).to_string()).await,
    };
    debug!(?ask, "asked at the control socket");
    let _long = match long.try_acquire() {
        Ok(place) if is_long(&ask) => Some(place),
        Err(_) if is_long(&ask) => return turn_away(&mut talk).await,
        Ok(_) | Err(_) => None,
    };
    let last = match ask {
        Ask::Status => Some(Reply::Status(Box::new(status::status(desk, &desk.handle.snapshot())))),
        Ask::Start { wait } => Some(moves::start(&mut talk, desk, wait).await?),
        Ask::Stop { hurry, serve } => Some(moves::stop(&mut talk, desk, hurry, serve).await?),
        Ask::Logs { follow, tail, stream } => {
            let reader = LogReader::of(&desk.log).only(stream);
            logs(&mut talk, desk, reader, follow, tail).await?
        }
        Ask::Profile { length_ms, into } => {
            profile::profile(&mut talk, desk, Duration::from_millis(length_ms), &into).await?
        }
        Ask::Login { remember } => login::login(&mut talk, desk, remember).await?,
    };
    match last {
        Some(reply) => Ok(talk.say(&reply).await?),
        None => Ok(()),
    }
}

/// Whether it goes on for as long as its client likes. A stop may take long as well, but nothing is to keep anybody from it.
fn is_long(ask: &Ask) -> bool {
    match ask {
        Ask::Logs { .. } | Ask::Profile { .. } | Ask::Login { .. } => true,
        Ask::Start { wait } => *wait,
        Ask::Status | Ask::Stop { .. } => false,
    }
}

async fn turn_away(talk: &mut Talk) -> Result<(), TalkError> {
    let what = format!("{LONG_CONVERSATIONS} programs follow this proxy already");
    let hint = Some("end one of them, such as `llm-proxy logs -f` at another terminal".to_owned());
    Ok(talk.say(&Reply::Failed(Failure { kind: FailureKind::Failure, what, hint })).await?)
}

async fn refuse(talk: &mut Talk, what: &str) -> Result<(), TalkError> {
    let failure = Failure { kind: FailureKind::Usage, what: what.to_owned(), hint: None };
    Ok(talk.say(&Reply::Failed(failure)).await?)
}

async fn logs(
    talk: &mut Talk,
    desk: &Desk,
    mut reader: LogReader,
    follow: bool,
    tail: Option<usize>,
) -> Result<Option<Reply>, TalkError> {
    let mut snapshots = desk.handle.watch();
    let mut more = follow;
    if let Some(lines) = tail {
        reader.skip_to_last(lines)?;
    }
    loop {
        while let Some(line) = reader.next_line()? {
            talk.say_within(PAGE_WITHIN, &Reply::Log(LogLine::of_kept(&line))).await?;
        }
        if !more {
            return Ok(Some(Reply::Done(Done { words: String::new() })));
        }
        tokio::select! {
            () = reader.grown() => {}
            () = async { while snapshots.changed().await.is_ok() {} } => more = false,
            left = talk.hear::<serde_json::Value>() => {
                return left.map(|_| None);
            }
        }
    }
}

impl From<TalkError> for io::Error {
    fn from(error: TalkError) -> Self {
        match error {
            TalkError::Io(error) => error,
            TalkError::TooLong | TalkError::Garbled(_) => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}
