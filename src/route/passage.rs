//! The way that leads to an engine now. It may be another tomorrow: whoever finds it blocked says so, and waits for the next
//! one with nothing of a request sent.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::link_wait::{self, BoxError, LinkDown};
use super::{PassedOver, Way};
use crate::host::{Endpoint, HostStream};

/// How long a request waits while another way is looked for: a relay and a tunnel are steps of a job that have to start.
const PATIENCE: Duration = Duration::from_mins(2);

/// No way leads to an engine that lives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no route leads to the engine any more ({}); it goes on there, and a way to it is looked for again and again", words(.tried))]
pub struct NoRoute {
    /// What was tried in vain.
    pub tried: Vec<PassedOver>,
}

/// The way, as those see it who dial.
#[derive(Clone, Debug)]
pub(super) struct Passage {
    current: watch::Receiver<Current>,
    blocked: Arc<watch::Sender<Option<Blocked>>>,
}

/// Who says which way it is, as long as somebody does.
#[derive(Debug)]
pub struct Guide {
    current: watch::Sender<Current>,
    blocked: watch::Receiver<Option<Blocked>>,
}

#[derive(Debug)]
struct Current {
    /// Grows with each way.
    number: u64,
    way: Way,
    host_header: HeaderValue,
    /// Where even this one is known to lead nowhere.
    astray: Option<NoRoute>,
}

#[derive(Clone, Debug)]
struct Blocked {
    number: u64,
    why: String,
}

impl NoRoute {
    /// What an error comes from, where it is this.
    pub(super) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }
}

impl Passage {
    pub(super) fn new(way: Way) -> (Self, Guide) {
        let host_header = host_header(&way);
        let (guide, current) = watch::channel(Current { number: 0, way, host_header, astray: None });
        let (blocked, seen) = watch::channel(None);
        (Self { current, blocked: Arc::new(blocked) }, Guide { current: guide, blocked: seen })
    }

    pub(super) fn way(&self) -> Way {
        self.current.borrow().way.clone()
    }

    pub(super) fn host_header(&self) -> HeaderValue {
        self.current.borrow().host_header.clone()
    }

    /// Opens a stream; again wherever the way was blocked, and another was found.
    pub(super) async fn dial(&self) -> Result<HostStream, BoxError> {
        let until = Instant::now() + PATIENCE;
        let mut current = self.current.clone();
        loop {
            let (number, way, astray) = {
                let now = current.borrow_and_update();
                (now.number, now.way.clone(), now.astray.clone())
            };
            if let Some(astray) = astray {
                return Err(Box::new(astray));
            }
            let error = match link_wait::dial(&way).await {
                Ok(stream) => return Ok(stream),
                // That way is as good as any, and is waited for already.
                Err(error) if LinkDown::find(error.as_ref()).is_some() => return Err(error),
                Err(error) => error,
            };
            self.is_blocked(number, error.to_string());
            let moved = current.wait_for(|now| now.number != number || now.astray.is_some());
            // Nobody looks for another way any more, or never did; or it takes too long.
            let Ok(Ok(_)) = timeout_at(until, moved).await else { return Err(error) };
        }
    }

    fn is_blocked(&self, number: u64, why: String) {
        self.blocked.send_if_modified(|last| {
            // One that was dialled long ago may be late to fail.
            let news = last.as_ref().is_none_or(|last| last.number <= number);
            if news {
                *last = Some(Blocked { number, why });
            }
            news
        });
    }
}

impl Guide {
    /// Returns once somebody found the way of now blocked, and says how.
    pub async fn blocked(&mut self) -> String {
        loop {
            if self.blocked.changed().await.is_err() {
                return std::future::pending().await; // Nobody dials any more.
            }
            let number = self.current.borrow().number;
            if let Some(Blocked { why, .. }) = self.blocked.borrow_and_update().clone().filter(|it| it.number == number)
            {
                return why;
            }
        }
    }

    /// This is the way from now on.
    pub fn leads(&self, way: Way) {
        let host_header = host_header(&way);
        self.current.send_modify(|now| {
            *now = Current { number: now.number + 1, way, host_header, astray: None };
        });
    }

    /// There is none for now: whoever waits for one is told.
    pub fn astray(&self, why: NoRoute) {
        self.current.send_modify(|now| now.astray = Some(why));
    }
}

fn host_header(way: &Way) -> HeaderValue {
    let named = match way.endpoint() {
        Endpoint::Tcp(address) => HeaderValue::from_str(&address.to_string()).ok(),
        Endpoint::Unix(_) => None,
    };
    named.unwrap_or_else(|| HeaderValue::from_static("localhost"))
}

fn words(tried: &[PassedOver]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use tokio::net::TcpListener;

    use super::*;
    use crate::host::{Address, Host, LocalHost};
    use crate::route::Route;

    fn to(port: u16) -> Way {
        let endpoint = Address { host: "127.0.0.1".to_owned(), port }.into();
        Way::Dial { host: Host::Local(LocalHost), endpoint }
    }

    async fn nobodys_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn who_finds_it_blocked_is_led_another_way() {
        let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = engine.local_addr().unwrap().port();
        let (passage, mut guide) = Passage::new(to(nobodys_port().await));
        let (dialled, ()) = tokio::join!(passage.dial(), async {
            let why = guide.blocked().await;
            assert!(why.contains("refused"), "{why}");
            guide.leads(to(there));
        });
        dialled.unwrap();
        assert_eq!(passage.host_header(), format!("127.0.0.1:{there}"));
    }

    #[tokio::test]
    async fn who_waits_is_told_that_there_is_none_and_later_asks_in_vain_no_more() {
        let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = engine.local_addr().unwrap().port();
        let (passage, mut guide) = Passage::new(to(nobodys_port().await));
        let none = NoRoute { tried: vec![PassedOver { route: Route::Direct, why: "no".to_owned() }] };
        let (dialled, ()) = tokio::join!(passage.dial(), async {
            guide.blocked().await;
            guide.astray(none.clone());
        });
        assert_eq!(NoRoute::find(dialled.unwrap_err().as_ref()), Some(&none));
        assert_eq!(NoRoute::find(passage.dial().await.unwrap_err().as_ref()), Some(&none), "at once");
        guide.leads(to(there));
        passage.dial().await.unwrap();
    }

    #[tokio::test]
    async fn where_nobody_leads_the_dial_fails_as_it_did() {
        let (passage, guide) = Passage::new(to(nobodys_port().await));
        let (dialled, ()) = tokio::join!(passage.dial(), async {
            // The engine ended.
            drop(guide);
        });
        assert!(dialled.unwrap_err().to_string().contains("refused"));
        assert!(passage.dial().await.unwrap_err().to_string().contains("refused"));
    }

    /// What failed on a way that is no more says nothing of the one of now, also where it comes last.
    #[tokio::test(start_paused = true)]
    async fn a_late_failure_says_nothing_of_another_way() {
        let (passage, mut guide) = Passage::new(to(1));
        guide.leads(to(2));
        passage.is_blocked(0, "the old way".to_owned());
        assert!(tokio::time::timeout(PATIENCE, guide.blocked()).await.is_err());
        passage.is_blocked(1, "the new way".to_owned());
        passage.is_blocked(0, "the old way".to_owned());
        assert_eq!(guide.blocked().await, "the new way");
    }
}
