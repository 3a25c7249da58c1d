//! Dialling through a host whose link may be down: a request of which nothing was sent yet waits until it is back.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Way;
use crate::host::{Host, HostError, HostStream};
use crate::ssh::{Link, SshError, StreamError};

/// The longest dial over a link that lives. An engine that is ready answers a SYN in one round trip; a channel through a
/// busy login host may take some seconds, and half a minute says that nobody is there.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// How long a request waits for a link that is known to be down: a walk from one network to the next. Whoever sent it may
/// well be gone after longer, or has sent it again.
const LINK_PATIENCE: Duration = Duration::from_mins(2);

/// Before a dial that failed with its link is tried again: a link that comes and goes is not asked all the time.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The host cannot be talked to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkDown {
    /// The link did not come back in time.
    #[error(
        "the connection to the host was lost {} s ago and is not back yet ({cause}); what was started there goes on, try \
         again soon",
        since.elapsed().as_secs()
    )]
    Away {
        /// Since when it is down.
        since: Instant,
        /// What was seen last.
        cause: String,
    },
    /// Only a person can bring it back.
    #[error("{what}; what was started there goes on: run `llm-proxy login` in a terminal, and ask again")]
    NeedsLogin {
        /// What is asked for.
        what: String,
        /// What to do, where a login is not all.
        remedy: Option<String>,
    },
}

impl LinkDown {
    fn needs_login(cause: &SshError) -> Self {
        Self::NeedsLogin { what: cause.to_string(), remedy: cause.remedy() }
    }

    /// What an error comes from, where it is this.
    pub(super) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }
}

/// Whether an answer broke off because the link to the host did.
#[must_use]
pub fn link_was_lost(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        matches!(inner.and_then(|inner| inner.downcast_ref()), Some(StreamError::Lost(_)))
    })
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens a stream; again wherever the link went down before it stood, for nothing was sent through it. Somebody else
/// brings the link back: the life whose engine it is.
pub(super) async fn dial(way: &Way) -> Result<HostStream, BoxError> {
    let mut patience = Patience::default();
    loop {
        patience.until_up(way.host()).await?;
        match dial_once(way).await {
            Dialled::Stream(stream) => return Ok(*stream),
            Dialled::Lost(cause) => patience.lost(cause),
            Dialled::Failed(error) => return Err(error),
        }
        sleep(AGAIN_AFTER).await;
    }
}

enum Dialled {
    Stream(Box<HostStream>),
    /// The link went down, or was about to be made.
    Lost(String),
    Failed(BoxError),
}

async fn dial_once(way: &Way) -> Dialled {
    let mut dial = pin!(way.dial());
    let dialled = tokio::select! {
        biased;
        dialled = &mut dial => dialled,
        () = sleep(DIAL_LIMIT) => tokio::select! {
            biased;
            // What was asked of a dead link is answered when the link is found dead.
            dialled = &mut dial => dialled,
            alive = way.host().ping() => {
                let late = format!("no connection within {} s", DIAL_LIMIT.as_secs());
                return if alive {
                    Dialled::Failed(Box::new(io::Error::new(io::ErrorKind::TimedOut, late)))
                } else {
                    Dialled::Lost(late)
                };
            }
        },
    };
    match dialled {
        Ok(stream) => Dialled::Stream(Box::new(stream)),
        Err(error) if way.lost_its_link(&error).await => Dialled::Lost(error.to_string()),
        // A machine behind the host, which asks for a login of its own, is of one route only.
        Err(HostError::Ssh(error)) if error.needs_person() && !way.goes_on() => {
            Dialled::Failed(Box::new(LinkDown::needs_login(&error)))
        }
        Err(error) => Dialled::Failed(Box::new(error)),
    }
}

/// How long one request has waited.
#[derive(Debug, Default)]
struct Patience {
    /// Since when the link is down, and until when it is waited for.
    down: Option<(Instant, Instant)>,
    cause: String,
}

impl Patience {
    fn lost(&mut self, cause: String) {
        self.note(Instant::now());
        self.cause = cause;
    }

    fn note(&mut self, since: Instant) -> Instant {
        self.down.get_or_insert_with(|| (since, Instant::now() + LINK_PATIENCE)).1
    }

    async fn until_up(&mut self, host: &Host) -> Result<(), LinkDown> {
        let Some(mut link) = host.link() else { return Ok(()) };
        let loss = link.borrow().loss().map(|(since, cause)| (since, cause.clone()));
        if let Some((since, cause)) = loss {
            let until = self.note(since);
            self.cause = cause.to_string();
            let settled = |link: &Link| link.loss().is_none_or(|(_, cause)| cause.needs_person());
            // Nobody tells any more where the client is gone, and then the dial says so.
            if let Ok(Ok(link)) = timeout_at(until, link.wait_for(settled)).await
                && let Some((_, cause)) = link.loss()
            {
                return Err(LinkDown::needs_login(cause));
            }
            if let Some((_, cause)) = link.borrow().loss() {
                self.cause = cause.to_string();
            }
        }
        match self.down {
            Some((since, until)) if Instant::now() >= until => Err(LinkDown::Away { since, cause: self.cause.clone() }),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use std::sync::Arc;

    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::host::{Address, SshHost};
    use crate::ssh::{SshClient, SshHome, SshOptions};

    #[tokio::test(start_paused = true)]
    async fn a_link_that_stays_down_is_waited_for_and_then_told() {
        let home = tempfile::tempdir().unwrap();
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut options = SshOptions::new(format!("127.0.0.1:{port}"));
        options.home = SshHome::below(home.path(), "nobody");
        let client = SshClient::new(&options, TaskTracker::new()).unwrap();
        let host = Host::Ssh(Arc::new(SshHost::new(client)));
        let way = Way::Dial { host, endpoint: Address { host: "node1".to_owned(), port: 8000 }.into() };

        let asked = Instant::now();
        let error = dial(&way).await.unwrap_err();
        let waited = asked.elapsed();
        assert!(waited >= LINK_PATIENCE && waited < LINK_PATIENCE * 2, "{waited:?}");
        let Some(LinkDown::Away { since, cause }) = LinkDown::find(error.as_ref()).cloned() else {
            unreachable!("{error}")
        };
        assert!(since >= asked && cause.contains("refused the connection"), "{cause}");
        // It is known to be down by now, and waited for all the same.
        let asked = Instant::now();
        dial(&way).await.unwrap_err();
        assert_eq!(asked.elapsed().as_secs(), LINK_PATIENCE.as_secs());
    }

    #[test]
    fn a_lost_link_is_found_behind_what_the_http_library_makes_of_it() {
        let lost = StreamError::Lost(SshError::Closed { host: "h".to_owned() });
        assert!(link_was_lost(&SendFailed(lost.into())));
        assert!(!link_was_lost(&SendFailed(io::Error::from(StreamError::Reset))));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("sending failed")]
    struct SendFailed(#[source] io::Error);
}
