//! Finding the way to an engine that listens: the first of the routes that leads there.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use super::direct::Direct;
use super::life::Life;
use super::nested::Nested;
use super::reverse::Tunnelled;
use super::{EngineKey, News, Starter, Trial, causes};
use crate::host::relay::far_end;
use crate::host::{Address, Bind, Endpoint, Host, HostError, HostStream, Relay, RelayPlan};
use crate::keeper;
use crate::route::{EngineAuth, PassedOver, Route, Taken, Upstream, Way, Wish};
use crate::slurm;

/// How long one route may take to lead to an engine that is known to listen: also a firewall that drops what it does not
/// like takes no longer.
const TRY_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to have a way to try: some words with the host.
const MAKE_LIMIT: Duration = Duration::from_secs(50);

/// A relay is a step of the job that has to be started, and so is a tunnel.
const STEP_TRY_LIMIT: Duration = Duration::from_secs(40);

/// How long all of them are tried again: the engine's first moments, or a network's hiccup.
const TRIED_FOR: Duration = Duration::from_secs(30);

/// Why a host that is not the engine's machine cannot dial its socket.
const ON_ITS_NODE_ALONE: &str = "the engine listens on a Unix socket, which only its own node can reach";

/// Between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// What is tried.
#[derive(Debug)]
pub(super) struct Candidate {
    route: Route,
    way: Prospect,
}

/// A way, or what it takes to have one.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are a handful, for as long as a way is looked for")]
enum Prospect {
    Way(Way),
    Direct(Direct),
    Nested(Nested),
    Reverse(Tunnelled),
    /// There is none, and why.
    No(&'static str),
}

/// Where a life's search for a way is answered.
pub(super) type Search = oneshot::Receiver<Found>;

/// What came of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) way: Option<(Route, Way)>,
    pub(super) passed_over: Vec<PassedOver>,
    /// What to do, where there is something to say.
    pub(super) remedy: Option<String>,
}

/// What came of trying each route once.
pub(super) struct Round {
    found: Found,
    /// Whether another cannot do better.
    hopeless: bool,
}

impl Life {
    /// The engine listens there, as those see it who are beside it: looks for a way to it.
    pub(super) fn listening(&mut self, endpoint: Endpoint) {
        if self.endpoint.as_ref() == Some(&endpoint) {
            return; // Said again, to a new connection.
        }
        let candidates = self.candidates(&endpoint);
        self.endpoint = Some(endpoint);
        if let Some(mut trials) = self.trials.take() {
            self.tasks.spawn(async move {
                let tried = tokio::select! {
                    tried = join_all(candidates.into_iter().map(Candidate::tried)) => tried,
                    () = trials.closed() => return,
                };
                drop(trials.send(tried));
            });
            return;
        }
        let candidates: Arc<[Candidate]> = candidates.into();
        self.candidates = Some(Arc::clone(&candidates));
        let (mut found, search) = oneshot::channel();
        self.search = Some(search);
        self.tasks.spawn(async move {
            let first = tokio::select! {
                first = first_that_works(&candidates) => first,
                // The life ended meanwhile.
                () = found.closed() => return,
            };
            let _ = found.send(first);
        });
    }

    /// A way was found, or none.
    pub(super) async fn found(&mut self, found: Found) {
        self.search = None;
        if self.guide.is_some() {
            return self.found_again(found).await;
        }
        let Found { way, passed_over, remedy } = found;
        let Some((route, way)) = way else {
            return self.ended(causes::no_route(&passed_over, remedy)).await;
        };
        for passed in &passed_over {
            info!("route {passed}; {route} is taken");
        }
        let auth = match (&self.plan.engine_key, &self.record.engine_key) {
            (EngineKey::PerLife { .. }, Some(key)) | (EngineKey::OfCommand(key), _) => EngineAuth::Key(key.clone()),
            (EngineKey::PerLife { .. } | EngineKey::OfClient, _) => EngineAuth::Client,
        };
        self.remember(route);
        let (upstream, guide) = Upstream::guided(way, auth);
        self.guide = Some(guide);
        self.news.send(News::Listening(upstream, Taken { route, passed_over })).await;
    }

    pub(super) fn remember(&self, route: Route) {
        if let (Wish::Auto, Some(host)) = (self.plan.route, &self.place.host_name) {
            self.place.routes.remember(host, route);
        }
    }

    /// Where the engine's machine itself reaches what the engine binds.
    pub(super) fn bound(&self) -> String {
        match &self.plan.bind {
            Bind::Port { host, .. } if host == "::" => "::1".to_owned(),
            Bind::Port { host, .. } if host != "0.0.0.0" => host.clone(),
            Bind::Port { .. } | Bind::Socket => "127.0.0.1".to_owned(),
        }
    }

    /// The routes that there are, in the order in which they are tried.
    fn candidates(&self, endpoint: &Endpoint) -> Vec<Candidate> {
        let wish = self.plan.route;
        let all = [
            (Route::Direct, Some(self.direct(endpoint))),
            (Route::Nested, self.nested(endpoint).map(Prospect::Nested)),
            (Route::Reverse, self.tunnelled(endpoint).map(Prospect::Reverse)),
            (Route::Relay, self.relay(endpoint).map(Prospect::Way)),
        ];
        let wished = all.into_iter().filter(|(route, _)| wish.allows(*route));
        let mut candidates: Vec<_> = wished.filter_map(|(route, way)| Some(Candidate { route, way: way? })).collect();
        // The sort is stable: the others keep their order.
        let first = self.place.host_name.as_deref().and_then(|host| self.place.routes.of(host));
        candidates.sort_by_key(|candidate| Some(candidate.route) != first);
        candidates
    }

    fn direct(&self, endpoint: &Endpoint) -> Prospect {
        match (&self.plan.starter, endpoint, &self.record.node) {
            (Starter::Slurm { .. }, Endpoint::Unix(_), _) => Prospect::No(ON_ITS_NODE_ALONE),
            (Starter::Slurm { .. }, Endpoint::Tcp(Address { host: beside, port }), Some(node)) => {
                let bound = match &self.plan.bind {
                    Bind::Port { host, .. } => host.clone(),
                    Bind::Socket => beside.clone(),
                };
                let (host, shell, node, port) = (self.place.host.clone(), self.place.shell, node.clone(), *port);
                Prospect::Direct(Direct { host, shell, node, bound, port, made: OnceCell::new() })
            }
            (Starter::Slurm { .. } | Starter::Process, beside, _) => {
                Prospect::Way(Way::Dial { host: self.place.host.clone(), endpoint: beside.clone() })
            }
        }
    }

    /// Only a node that is not the host itself, and only from a host that is not this machine.
    fn nested(&self, endpoint: &Endpoint) -> Option<Nested> {
        let (Starter::Slurm { .. }, Some(node)) = (&self.plan.starter, &self.record.node) else { return None };
        Some(Nested {
            host: self.place.host.clone(),
            login: self.place.login.clone()?,
            shell: self.place.shell,
            node: node.clone(),
            node_keys: self.node_keys.clone(),
            endpoint: endpoint.clone(),
            made: OnceCell::new(),
        })
    }

    /// Only from a job: an engine on the host itself needs no tunnel to it.
    fn tunnelled(&self, endpoint: &Endpoint) -> Option<Tunnelled> {
        let (Starter::Slurm { args, .. }, Some(job)) = (&self.plan.starter, self.record.job) else { return None };
        Some(Tunnelled {
            place: Arc::clone(&self.place),
            args: args.clone(),
            job,
            node: self.record.node.clone(),
            loopback: self.plan.loopback.clone(),
            nonce: self.record.nonce.clone(),
            endpoint: endpoint.clone(),
            wish: self.plan.route,
            tasks: self.tasks.clone(),
            made: OnceCell::new(),
        })
    }

    /// A program beside the engine. On this machine there is nothing that it would be good for.
    fn relay(&self, endpoint: &Endpoint) -> Option<Way> {
        let far_end = far_end(endpoint, &self.record.nonce);
        let launcher = match (&self.plan.starter, self.record.job, &self.place.host) {
            (Starter::Slurm { args, .. }, Some(job), _) => slurm::step_argv(args, job),
            (Starter::Slurm { .. }, None, _) | (Starter::Process, _, Host::Local(_)) => return None,
            (Starter::Process, _, Host::Ssh(_)) => Vec::new(),
        };
        let script = keeper::relay(&[launcher, far_end].concat()).ok()?.expose().to_owned();
        let (endpoint, nonce) = (endpoint.clone(), self.record.nonce.clone());
        let plan = RelayPlan { shell: self.place.shell, script, endpoint, nonce };
        Some(Way::Relay(Arc::new(Relay::new(self.place.host.clone(), plan, self.tasks.clone()))))
    }
}

/// Tries one after the other, in rounds.
async fn first_that_works(candidates: &[Candidate]) -> Found {
    let until = Instant::now() + TRIED_FOR;
    loop {
        let round = one_round(candidates).await;
        if round.found.way.is_some() || round.hopeless || Instant::now() >= until {
            return round.found;
        }
        sleep(ROUND_PAUSE).await;
    }
}

/// Tries one after the other.
pub(super) async fn one_round(candidates: &[Candidate]) -> Round {
    let (mut passed_over, mut remedy, mut hopeless) = (Vec::new(), None, true);
    for Candidate { route, way } in candidates {
        match way.try_out().await {
            Ok(way) => {
                let found = Found { way: Some((*route, way)), passed_over, remedy: None };
                return Round { found, hopeless: false };
            }
            Err(error) => {
                debug!(%route, %error, "this route does not lead to the engine");
                hopeless &= error.is_lasting() || error.is_prohibited();
                remedy = remedy.or_else(|| error.remedy());
                passed_over.push(PassedOver { route: *route, why: error.to_string() });
            }
        }
    }
    Round { found: Found { way: None, passed_over, remedy }, hopeless }
}

impl From<Round> for Found {
    fn from(round: Round) -> Self {
        round.found
    }
}

impl Candidate {
    async fn tried(self) -> Trial {
        Trial { route: self.route, way: self.way.try_out().await }
    }
}

impl Prospect {
    async fn try_out(&self) -> Result<Way, HostError> {
        let way = self.way().await?;
        drop(try_out(&way).await?);
        Ok(way)
    }

    async fn way(&self) -> Result<Way, HostError> {
        match self {
            Self::Way(way) => Ok(way.clone()),
            Self::Direct(direct) => over_its_link(&direct.host, || direct.way()).await,
            Self::Nested(nested) => over_its_link(&nested.host, || nested.way()).await,
            Self::Reverse(tunnelled) => over_its_link(&tunnelled.place.host, || tunnelled.way()).await,
            Self::No(why) => Err(std::io::Error::other(*why).into()),
        }
    }
}

/// What is asked of the host on the way to a way. A link that is down says nothing about the route.
async fn over_its_link<F: Future<Output = Result<Way, HostError>>>(
    host: &Host,
    make: impl Fn() -> F,
) -> Result<Way, HostError> {
    loop {
        until_linked(host).await;
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the host did not answer in time");
        match timeout(MAKE_LIMIT, make()).await.unwrap_or_else(|_| Err(late().into())) {
            Err(_) if !host.ping().await => sleep(ROUND_PAUSE).await,
            done => return done,
        }
    }
}

async fn until_linked(host: &Host) {
    if let Some(mut link) = host.link() {
        // Nobody tells any more where the client is gone, and then the dial says so.
        let _ = link.wait_for(|link| link.loss().is_none()).await;
    }
}

/// Opens a stream that nobody uses. A link that is down is waited for: it says nothing about the route.
async fn try_out(way: &Way) -> Result<HostStream, HostError> {
    let limit = match way {
        Way::Dial { .. } | Way::Nested { .. } => TRY_LIMIT,
        Way::Relay(_) | Way::Reverse(_) => STEP_TRY_LIMIT,
    };
    loop {
        until_linked(way.host()).await;
        let late =
            || std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs()));
        match timeout(limit, way.dial()).await.unwrap_or_else(|_| Err(late().into())) {
            Err(error) if way.lost_its_link(&error).await => sleep(ROUND_PAUSE).await,
            tried => return tried,
        }
    }
}
