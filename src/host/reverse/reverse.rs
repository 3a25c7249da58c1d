//! Connections to one port, through a tunnel that is made from there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::ReverseFault;
use super::fault::Paste;
use super::tunnel::Tunnel;
use crate::host::{Endpoint, Host, HostError, HostStream, Shell};
use crate::ssh::SshOptions;

/// The longest pause before a tunnel that failed again is made anew.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A pause as long as this is waited for; through a longer one, the last failure is told.
const WAITED_FOR: Duration = Duration::from_secs(5);

/// A tunnel that stood for so long ended for a new reason.
const STEADY: Duration = Duration::from_secs(30);

/// How a tunnel is made.
#[derive(Debug)]
pub struct ReversePlan {
    /// Which shell reads the script.
    pub shell: Shell,
    /// What that shell is given: in the end it becomes [`super::to_sshd`] or [`super::own_server`], or what starts it, such as
    /// `srun`.
    pub script: String,
    /// What frames the answers of our scripts.
    pub nonce: String,
    /// The one place that it leads to, as those see it who are beside it.
    pub endpoint: Endpoint,
    /// Where it ends.
    pub far: FarSide,
}

/// Where a tunnel ends.
#[derive(Debug)]
pub enum FarSide {
    /// At a port of a host with an sshd, which chooses it.
    Sshd {
        /// Who logs in where, for remedies.
        paste: Paste,
        /// Whether the user named the host: then it may be another than the one through which the tunnel is started.
        named: bool,
        /// How this user reaches hosts.
        login: Option<Box<SshOptions>>,
    },
    /// In this process, which listens for it on this address of this machine.
    Own {
        /// The address.
        address: IpAddr,
    },
}

/// Connections to one port through a tunnel that is made from beside it. It is made when one is needed and none stands.
#[derive(Debug)]
pub struct Reverse {
    host: Host,
    plan: Arc<ReversePlan>,
    tasks: TaskTracker,
    /// Held only by those who need one, and by one that is made.
    state: Arc<Mutex<State>>,
    /// Ends a start that nobody can want any more.
    gone: CancellationToken,
    _end: DropGuard,
}

#[derive(Debug, Default)]
struct State {
    tunnel: Option<(Arc<Tunnel>, Instant)>,
    /// How many in a row were made in vain, or did not stand for long.
    in_vain: u32,
    /// Before this, no other is made.
    not_before: Option<Instant>,
    last: Option<ReverseFault>,
}

impl Reverse {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(host: Host, plan: ReversePlan, tasks: TaskTracker) -> Self {
        let gone = CancellationToken::new();
        let (plan, state) = (Arc::new(plan), Arc::default());
        Self { host, plan, tasks, state, gone: gone.clone(), _end: gone.drop_guard() }
    }

    /// The host that tunnels are started through.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where they lead.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.plan.endpoint
    }

    /// Opens a connection there.
    ///
    /// # Errors
    /// No tunnel can be had, or nothing gets through.
    pub async fn dial(&self) -> Result<HostStream, HostError> {
        let tunnel = self.tunnel().await?;
        match tunnel.dial().await {
            Err(error) if tunnel.is_broken_by(&error) => {
                tracing::debug!(%error, "the tunnel from the job leads nowhere any more");
                self.retire(&tunnel).await;
                self.tunnel().await?.dial().await
            }
            dialled => dialled,
        }
    }

    /// Whether a dial that failed like this failed with the link to the host.
    pub async fn lost_its_link(&self, error: &HostError) -> bool {
        // It may be the way to where the tunnel ends that failed.
        lost_its_link(&self.host, error).await
    }

    /// The tunnel that stands, or a new one: whoever asks meanwhile waits for the same. Its start goes on when the one who asked
    /// first is gone: a step of a job may take longer to start than a probe may take, and what it fails at is to be known.
    async fn tunnel(&self) -> Result<Arc<Tunnel>, HostError> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        if let Some((tunnel, _)) = state.tunnel.as_ref().filter(|(tunnel, _)| !tunnel.is_over()) {
            return Ok(Arc::clone(tunnel));
        }
        state.bury();
        state.pause().await?;
        let (host, plan, tasks, gone) =
            (self.host.clone(), Arc::clone(&self.plan), self.tasks.clone(), self.gone.clone());
        let start = self.tasks.spawn(async move {
            let started = gone.run_until_cancelled(started(&host, &plan, &tasks, &mut state)).await;
            started.unwrap_or_else(|| Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()))
        });
        start.await.map_err(std::io::Error::other)?
    }

    /// This one leads nowhere any more.
    async fn retire(&self, tunnel: &Arc<Tunnel>) {
        let mut state = self.state.lock().await;
        if state.tunnel.as_ref().is_some_and(|(current, _)| Arc::ptr_eq(current, tunnel)) {
            state.bury();
        }
    }
}

/// Makes a tunnel, and keeps what came of it.
async fn started(
    host: &Host,
    plan: &ReversePlan,
    tasks: &TaskTracker,
    state: &mut State,
) -> Result<Arc<Tunnel>, HostError> {
    match Tunnel::start(host, plan, tasks).await {
        Ok(tunnel) => {
            let tunnel = Arc::new(tunnel);
            state.tunnel = Some((Arc::clone(&tunnel), Instant::now()));
            state.last = None;
            Ok(tunnel)
        }
        Err(error) => {
            // The way to the host has pauses of its own.
            if !lost_its_link(host, &error).await {
                state.failed(Some(told_again(&error)));
            }
            Err(error)
        }
    }
}

async fn lost_its_link(host: &Host, error: &HostError) -> bool {
    error.is_link_loss() && !host.ping().await
}

/// What those are told who ask in the pause after it.
fn told_again(error: &HostError) -> ReverseFault {
    match error {
        HostError::Reverse(fault) => fault.clone(),
        HostError::Io(_) | HostError::Ssh(_) | HostError::Relay(_) => {
            ReverseFault::NotMade { said: error.to_string(), remedy: error.remedy() }
        }
    }
}

impl State {
    /// The tunnel has ended.
    fn bury(&mut self) {
        let Some((_, since)) = self.tunnel.take() else { return };
        if since.elapsed() >= STEADY {
            self.in_vain = 0;
            self.not_before = None;
        } else {
            self.failed(None);
        }
    }

    /// The first one that fails is made anew at once, unless only a person can mend it.
    fn failed(&mut self, fault: Option<ReverseFault>) {
        let pause = match (&fault, self.in_vain) {
            // Somebody has to do something first, and nobody tells us when it is done.
            (Some(fault), _) if fault.is_lasting() => LONGEST_PAUSE,
            (_, 0) => Duration::ZERO,
            (_, more) => Duration::from_secs(1 << more.min(6)).min(LONGEST_PAUSE),
        };
        self.in_vain = self.in_vain.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
        self.last = fault;
    }

    /// Waits until another may be made.
    async fn pause(&self) -> Result<(), HostError> {
        if let Some(fault) = &self.last
            && self.not_before.is_some_and(|at| at > Instant::now() + WAITED_FOR)
        {
            return Err(fault.clone().into());
        }
        if let Some(at) = self.not_before {
            sleep_until(at).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

    use super::*;
    use crate::host::Address;
    use crate::host::LocalHost;

    fn ended() -> ReverseFault {
        ReverseFault::Ended { host: "far".to_owned(), said: "gone".to_owned() }
    }

    /// How long the next try waits; none: it is not made.
    async fn pause_of(state: &State) -> Option<Duration> {
        let asked = Instant::now();
        state.pause().await.ok().map(|()| asked.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_is_followed_by_a_longer_pause() {
        let mut state = State::default();
        assert_eq!(pause_of(&state).await, Some(Duration::ZERO));
        for wait in [0, 2, 4] {
            state.failed(Some(ended()));
            assert_eq!(pause_of(&state).await.map(|waited| waited.as_secs()), Some(wait));
        }
        state.failed(Some(ended()));
        assert_eq!(pause_of(&state).await, None, "nobody waits so long");
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(pause_of(&state).await.is_some());
        for _ in 0..100 {
            state.failed(Some(ended()));
        }
        tokio::time::advance(LONGEST_PAUSE).await;
        assert!(pause_of(&state).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_a_person_can_mend_is_tried_again_after_the_longest_pause() {
        let mut state = State::default();
        let (launcher, place, user, host) =
            ("srun".to_owned(), "on login".to_owned(), "ada".to_owned(), "far".to_owned());
        let fault = ReverseFault::UnknownHost(Box::new(Paste { launcher, place, user, host, is_place: true }));
        for _ in 0..3 {
            state.failed(Some(fault.clone()));
            for _ in 0..5 {
                assert_eq!(pause_of(&state).await, None);
                tokio::time::advance(LONGEST_PAUSE / 6).await;
            }
            tokio::time::advance(LONGEST_PAUSE / 6).await;
            assert_eq!(pause_of(&state).await, Some(Duration::ZERO));
        }
    }

    /// Whoever asked for it may be gone long before: a probe, or a client that has no time.
    #[tokio::test]
    async fn a_start_goes_on_without_those_who_wait_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let called = folder.path().join("called");
        let plan = ReversePlan {
            shell: Shell::Posix,
            script: format!("{{ echo called >>'{}'; sleep 1; exit 1; }}\n", called.display()),
            nonce: "nonce".to_owned(),
            endpoint: Address { host: "127.0.0.1".to_owned(), port: 1 }.into(),
            far: FarSide::Own { address: [127, 0, 0, 1].into() },
        };
        let reverse = Reverse::new(Host::Local(LocalHost), plan, TaskTracker::new());
        for _ in 0..3 {
            assert!(tokio::time::timeout(Duration::from_millis(200), reverse.dial()).await.is_err());
        }
        // Nobody gets at it before the start has come to its end.
        let failed = tokio::time::timeout(Duration::from_secs(20), reverse.state.lock()).await.unwrap().in_vain;
        assert_eq!((failed, std::fs::read_to_string(called).unwrap().as_str()), (1, "called\n"));
    }

    #[tokio::test]
    async fn a_job_that_does_not_come_to_us_is_told_what_it_takes() {
        let plan = ReversePlan {
            shell: Shell::Posix,
            script: "{ echo 'nonce reverse'; cat >/dev/null & echo 'No route to host' >&2; exit 255; }\n".to_owned(),
            nonce: "nonce".to_owned(),
            endpoint: Address { host: "127.0.0.1".to_owned(), port: 1 }.into(),
            far: FarSide::Own { address: [127, 0, 0, 1].into() },
        };
        let error = Reverse::new(Host::Local(LocalHost), plan, TaskTracker::new()).dial().await.unwrap_err();
        assert_eq!(error.to_string(), "the job's ssh did not come to this program at 127.0.0.1: No route to host");
        let remedy = error.remedy().unwrap();
        assert!(
            remedy.contains("a free port of this machine at 127.0.0.1") && remedy.contains("--route relay"),
            "{remedy}"
        );
    }

    /// Whatever it was: here, an address that is none of this machine's.
    #[tokio::test(start_paused = true)]
    async fn every_failure_counts() {
        let plan = ReversePlan {
            shell: Shell::Posix,
            script: String::new(),
            nonce: "nonce".to_owned(),
            endpoint: Address { host: "127.0.0.1".to_owned(), port: 1 }.into(),
            far: FarSide::Own { address: [192, 0, 2, 1].into() },
        };
        let reverse = Reverse::new(Host::Local(LocalHost), plan, TaskTracker::new());
        let mut said = Vec::new();
        for failed in 1..=4 {
            said.push(reverse.dial().await.unwrap_err().to_string());
            assert_eq!(reverse.state.lock().await.in_vain, failed);
        }
        let told = reverse.dial().await.unwrap_err();
        assert_eq!(told.to_string(), format!("no tunnel from the job could be made: {}", said.swap_remove(0)));
        assert_eq!(reverse.state.lock().await.in_vain, 4, "it was not tried again");
    }
}
