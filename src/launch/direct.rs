//! The engine's port as the host dials it: at an address that the engine itself holds, never at a name.
//!
//! Who holds a port on one address does not hold it on the node's others: any user of the node can take `[::]:PORT` beside an
//! engine on `0.0.0.0:PORT`, and whoever resolves the node's name may try that first.

use std::net::IpAddr;

use tokio::sync::OnceCell;

use super::ask;
use crate::host::{Address, Host, HostError, Shell};
use crate::route::Way;

/// Why a host that is not the engine's machine cannot dial it.
const ON_ITS_LOOPBACK: &str = "the engine binds the loopback, which only its own node can reach";

/// All that the host knows of a name.
const ADDRESSES: &str = "getent ahostsv4 \"$1\"; getent ahostsv6 \"$1\"; true";

/// What it takes to dial a node.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) host: Host,
    pub(super) shell: Shell,
    pub(super) node: String,
    /// What the engine binds.
    pub(super) bound: String,
    pub(super) port: u16,
    /// The address, once it is known.
    pub(super) made: OnceCell<Address>,
}

impl Direct {
    /// A way to an address that the bind covers.
    pub(super) async fn way(&self) -> Result<Way, HostError> {
        let bound = self.bound.parse::<IpAddr>().ok();
        if bound.is_some_and(|bound| bound.is_loopback()) && !self.node_is_host().await? {
            // A host that forwards nothing is the better reason. Nothing is sent, whoever may answer.
            let at = Address { host: self.node.clone(), port: self.port };
            drop(self.host.dial(&at.into()).await?);
            return Err(std::io::Error::other(ON_ITS_LOOPBACK).into());
        }
        let at = self.made.get_or_try_init(|| self.address(bound)).await?.clone();
        Ok(Way::Dial { host: self.host.clone(), endpoint: at.into() })
    }

    async fn node_is_host(&self) -> Result<bool, HostError> {
        let known = self.addresses_of(&self.node).await?;
        Ok(!known.is_empty() && known.iter().all(IpAddr::is_loopback))
    }

    async fn address(&self, bound: Option<IpAddr>) -> Result<Address, HostError> {
        let name = if bound.is_some() { &self.node } else { &self.bound };
        let known = self.addresses_of(name).await?;
        let holds = |address: &IpAddr| match bound {
            Some(bound) if bound.is_unspecified() => address.is_ipv4() == bound.is_ipv4(),
            Some(bound) => *address == bound,
            // Engines take the IPv4 address of a name.
            None => address.is_ipv4() && !address.is_loopback(),
        };
        let held = bound.filter(|bound| !bound.is_unspecified()).or_else(|| known.iter().copied().find(&holds));
        let held = held.ok_or_else(|| {
            std::io::Error::other(format!("the host knows no address of {name} that an engine on {} holds", self.bound))
        })?;
        let at = |host: String| Address { host, port: self.port };
        // A site's list of what may be dialled (`PermitOpen`) may have names. One that leads nowhere else is as good.
        let leads_nowhere_else = !known.is_empty() && known.iter().all(holds);
        if leads_nowhere_else
            && let Err(error) = self.host.dial(&at(held.to_string()).into()).await
            && error.is_prohibited()
        {
            return Ok(at(name.clone()));
        }
        Ok(at(held.to_string()))
    }

    /// The host's own idea of the name: ours may be another, or none.
    async fn addresses_of(&self, name: &str) -> Result<Vec<IpAddr>, HostError> {
        let argv = ["/bin/sh", "-c", ADDRESSES, "sh", name].map(str::to_owned);
        let answer = ask::command(&self.host, self.shell, &argv).await.map_err(ask::AskError::into_host_error)?;
        Ok(addresses(&answer.stdout))
    }
}

/// The addresses in what `getent` printed; of a name without IPv6 addresses, it makes some up.
fn addresses(printed: &str) -> Vec<IpAddr> {
    let first = printed.lines().filter_map(|line| line.split_whitespace().next()?.parse::<IpAddr>().ok());
    let is_made_up = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    first.filter(|address| !is_made_up(address)).collect()
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("10.0.0.2 STREAM node1\n10.0.0.2 DGRAM\n", &["10.0.0.2", "10.0.0.2"])]
    #[test_case("10.0.0.2 STREAM node1\nfd77::2 STREAM node1\n", &["10.0.0.2", "fd77::2"]; "of both families")]
    #[test_case("::ffff:10.0.0.2 STREAM node1\n", &[]; "made up")]
    #[test_case("", &[]; "unknown")]
    #[test_case("node1 10.0.0.2\n", &[]; "of another order")]
    fn addresses_are_read(printed: &str, read: &[&str]) {
        assert_eq!(addresses(printed).iter().map(ToString::to_string).collect::<Vec<_>>(), read);
    }
}
