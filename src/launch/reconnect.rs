//! Getting back to the host of a life: by itself where that may work, and with a person where one is needed.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::life::Life;
use super::{LinkState, Order, login_required};
use crate::host::{Host, HostError};
use crate::ssh::{Link, NetworkWatch, SshError};

/// Between two tries to get back to the host, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Between two tries at most: what is lost where this machine cannot tell by itself that the network is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What one loss of the link has come to so far.
#[derive(Debug)]
pub(super) struct Reconnect {
    pause: Duration,
    /// Only while the link is down.
    network: Option<NetworkWatch>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { pause: FIRST_PAUSE, network: None }
    }
}

impl Reconnect {
    /// The host was heard.
    pub(super) fn done(&mut self) {
        *self = Self::default();
    }

    /// The next pause. Not for all programs the same: a login host that comes back is not to be stormed.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        jittered(pause, getrandom::u32().unwrap_or_default())
    }

    /// Returns when this machine's way to the host changed, or this machine slept; however often it does, not before the first
    /// pause is over.
    async fn network_changed(&mut self, host: &Host) {
        let least = Instant::now() + FIRST_PAUSE;
        if self.network.is_none() {
            self.network = host.network_watch();
        }
        match &mut self.network {
            Some(network) => network.changed().await,
            None => std::future::pending().await,
        }
        tokio::time::sleep_until(least).await;
    }
}

/// Between half of it and all of it.
fn jittered(pause: Duration, random: u32) -> Duration {
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

impl Life {
    /// Waits until another try makes sense: after a pause, at once when the network changed or somebody else got through.
    /// Where only a person can help, it is never tried again without one.
    pub(super) async fn before_next_try(
        &mut self,
        failed: Option<HostError>,
        reconnect: &mut Reconnect,
        orders: &mut mpsc::Receiver<Order>,
    ) {
        // Where it stands already, it was not the link that failed.
        let down = self.place.host.link().is_some_and(|link| !link.borrow().is_connected());
        if let Some(error) = failed.filter(|error| down && error.needs_person()) {
            self.needs_login(&error, error.remedy()).await;
            tokio::select! {
                // A person came, and was let in or not: the next try is told which, and shows the host nothing by itself.
                () = told_anew(&self.place.host, &error) => {}
                Some(order) = orders.recv() => self.ordered(order),
            }
            return reconnect.done();
        }
        self.link(LinkState::Reconnecting { since: self.lost_since() }).await;
        let pause = reconnect.next_pause();
        let changed = tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = reconnect.network_changed(&self.place.host), if down => true,
            () = connected(&self.place.host), if down => true,
            Some(order) = orders.recv() => {
                self.ordered(order);
                false
            }
        };
        if changed {
            self.place.host.network_is_back();
            reconnect.pause = FIRST_PAUSE;
        }
    }

    /// Waits for a person, where the host was last heard to refuse us: what only looks must not log in for itself.
    pub(super) async fn until_let_in(&mut self) {
        let Some(mut link) = self.place.host.link() else { return };
        let needs_person = |link: &Link| link.loss().map(|(_, cause)| cause.clone()).filter(SshError::needs_person);
        loop {
            let Some(cause) = needs_person(&link.borrow_and_update()) else { return };
            self.needs_login(&cause, cause.remedy()).await;
            if link.changed().await.is_err() {
                return; // Its client is gone, and with it the host.
            }
            if link.borrow().is_connected() {
                self.link(LinkState::Connected).await;
            }
        }
    }

    async fn needs_login(&mut self, what: &(dyn Display + Sync), remedy: Option<String>) {
        let why = login_required(&self.plan.instance, what, remedy.as_deref());
        self.link(LinkState::NeedsLogin { since: Instant::now(), why }).await;
    }

    fn lost_since(&self) -> Instant {
        let link = self.place.host.link();
        let since = link.and_then(|link| link.borrow().loss().map(|(since, _)| since));
        since.unwrap_or_else(Instant::now)
    }
}

/// Returns once a connection to the host stands, whoever made it.
async fn connected(host: &Host) {
    let Some(mut link) = host.link() else { return std::future::pending().await };
    // Its client lives as long as the host does.
    drop(link.wait_for(Link::is_connected).await);
}

/// Returns once something else is said of the host than this, whoever heard it.
async fn told_anew(host: &Host, told: &HostError) {
    let Some(mut link) = host.link() else { return std::future::pending().await };
    let HostError::Ssh(told) = told else { return };
    let told = told.root().to_string();
    // Never in a tight circle.
    tokio::time::sleep(FIRST_PAUSE).await;
    // Its client lives as long as the host does.
    drop(link.wait_for(|link| link.loss().is_none_or(|(_, cause)| cause.root().to_string() != told)).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_no_two_programs_keep_step() {
        let mut reconnect = Reconnect::default();
        let pauses: Vec<Duration> = (0..8).map(|_| reconnect.next_pause()).collect();
        let mut most = FIRST_PAUSE;
        for pause in pauses {
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
            most = (most * 2).min(LONGEST_PAUSE);
        }
        let pause = Duration::from_secs(8);
        assert_eq!(jittered(pause, 0), Duration::from_secs(4));
        assert_eq!(jittered(pause, u32::MAX), pause);
    }
}
