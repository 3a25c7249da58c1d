//! Connections to one port or socket, wherever a program can be run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::carrier::Carrier;
use crate::host::{Endpoint, Host, HostError, HostStream, Shell};

/// The far end, for any Python that a site still has.
const FAR_END: &str = include_str!("far_end.py");

/// Finds a Python: `python3` may be a module away, and a RHEL without any has one for itself.
const FIND_PYTHON: &str = r#"for python in python3 python /usr/libexec/platform-python; do
command -v "$python" >/dev/null 2>&1 && exec "$python" -c "$@"
done; echo 'relay: no python3, python or /usr/libexec/platform-python' >&2; exit 127"#;

/// How a relay's far end is started.
#[derive(Clone, Debug)]
pub struct RelayPlan {
    /// Which shell reads the script.
    pub shell: Shell,
    /// What that shell is given: in the end it becomes the [`far_end`], or what starts it, such as `srun`.
    pub script: String,
    /// The one place that it leads to, as the far end sees it.
    pub endpoint: Endpoint,
    /// What frames the far end's greeting.
    pub nonce: String,
}

/// Connections to one port or socket through the standard streams of one program. It is started when one is needed and none runs.
#[derive(Debug)]
pub struct Relay {
    host: Host,
    plan: RelayPlan,
    tasks: TaskTracker,
    /// Held only by those who dial, and by a far end that starts.
    carrier: Arc<Mutex<Option<Carrier>>>,
    /// Ends a start that nobody can want any more.
    gone: CancellationToken,
    _end: DropGuard,
}

/// A relay's far end could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RelayFault {
    /// It ended before it greeted.
    #[error("the relay's far end could not be started: {0}")]
    NotStarted(String),
    /// It said nothing for so long.
    #[error("the relay's far end did not answer within {} s", .0.as_secs())]
    Silent(Duration),
}

/// The far end's command: it greets with the nonce once a connection was taken there.
#[must_use]
pub fn far_end(endpoint: &Endpoint, nonce: &str) -> Vec<String> {
    let place = match endpoint {
        Endpoint::Tcp(address) => vec![address.host.clone(), address.port.to_string()],
        Endpoint::Unix(path) => vec![path.clone()],
    };
    let start = ["/bin/sh", "-c", FIND_PYTHON, "relay", FAR_END, nonce].map(str::to_owned);
    start.into_iter().chain(place).collect()
}

impl Relay {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(host: Host, plan: RelayPlan, tasks: TaskTracker) -> Self {
        let gone = CancellationToken::new();
        Self { host, plan, tasks, carrier: Arc::default(), gone: gone.clone(), _end: gone.drop_guard() }
    }

    /// The host that the far end is started through.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where it leads.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.plan.endpoint
    }

    /// Opens a connection there. Nobody has taken it yet: one that is refused breaks off.
    ///
    /// # Errors
    /// The far end cannot be started.
    pub async fn dial(&self) -> Result<HostStream, HostError> {
        Ok(HostStream::Relayed(self.carrier().await?.open().await?))
    }

    /// Returns once the far end that runs has said anything, which it does every some seconds; or says that none runs.
    pub async fn ping(&self) -> bool {
        let running = self.carrier.lock().await.clone().filter(|carrier| !carrier.is_closed());
        match running {
            Some(carrier) => {
                carrier.heard().await;
                true
            }
            None => false,
        }
    }

    /// The far end that runs, or a new one: whoever asks meanwhile waits for the same. Its start goes on when the one who asked
    /// first is gone: a step of a job may take longer to start than a probe may take.
    async fn carrier(&self) -> Result<Carrier, HostError> {
        let mut current = Arc::clone(&self.carrier).lock_owned().await;
        if let Some(carrier) = current.as_ref().filter(|carrier| !carrier.is_closed()) {
            return Ok(carrier.clone());
        }
        let (host, plan, tasks, gone) = (self.host.clone(), self.plan.clone(), self.tasks.clone(), self.gone.clone());
        let start = self.tasks.spawn(async move {
            let carrier =
                gone.run_until_cancelled(Carrier::start(&host, &plan, &tasks)).await.ok_or_else(given_up)??;
            Ok(current.insert(carrier).clone())
        });
        start.await.map_err(std::io::Error::other)?
    }
}

fn given_up() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::Interrupted, "nobody needs the relay any more")
}
