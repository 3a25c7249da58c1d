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

/// What it takes to dial a node.
pub(super) struct Direct {
    pub(super) host: Host,
    pub(super) shell: Shell,
    pub(super) node: String,
    /// What the engine binds.
    pub(super) bound: String,
    pub(super) port: u16,
    /// The address, once it is known.
    pub(super) made: OnceCell<IpAddr>,
}

impl Direct {
    /// A way to an address that the bind covers.
    pub(super) async fn way(&self) -> Result<Way, HostError> {
        let bound = self.bound.parse::<IpAddr>().ok();
        if bound.is_some_and(|bound| bound.is_loopback()) {
            // A host that forwards nothing is the better reason. Nothing is sent, whoever may answer.
            let at = Address { host: self.node.clone(), port: self.port };
            drop(self.host.dial(&at.into()).await?);
            return Err(std::io::Error::other(ON_ITS_LOOPBACK).into());
        }
        let address = self.made.get_or_try_init(|| self.address(bound)).await?;
        let at = Address { host: address.to_string(), port: self.port };
        Ok(Way::Dial { host: self.host.clone(), endpoint: at.into() })
    }

    async fn address(&self, bound: Option<IpAddr>) -> Result<IpAddr, HostError> {
        match bound {
            Some(bound) if !bound.is_unspecified() => Ok(bound),
            Some(any) => self.resolved(&self.node, any.is_ipv6()).await,
            // Engines take a name's first IPv4 address.
            None => match self.resolved(&self.bound, false).await? {
                loopback if loopback.is_loopback() => Err(std::io::Error::other(ON_ITS_LOOPBACK).into()),
                address => Ok(address),
            },
        }
    }

    /// The host's own idea of the name: ours may be another, or none.
    async fn resolved(&self, name: &str, v6: bool) -> Result<IpAddr, HostError> {
        let database = if v6 { "ahostsv6" } else { "ahostsv4" };
        let argv = ["getent", database, name].map(str::to_owned);
        let answer = ask::command(&self.host, self.shell, &argv).await.map_err(ask::AskError::into_host_error)?;
        first_address(&answer.stdout, v6).ok_or_else(|| {
            let kind = if v6 { "IPv6" } else { "IPv4" };
            std::io::Error::other(format!("the host knows no {kind} address of {name}, and the engine binds no other"))
                .into()
        })
    }
}

/// The first address of the family in what `getent` printed; of a name without IPv6 addresses, it makes some up.
fn first_address(printed: &str, v6: bool) -> Option<IpAddr> {
    let mut addresses = printed.lines().filter_map(|line| line.split_whitespace().next()?.parse::<IpAddr>().ok());
    addresses.find(|address| match address {
        IpAddr::V4(_) => !v6,
        IpAddr::V6(address) => v6 && address.to_ipv4_mapped().is_none(),
    })
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("10.0.0.2 STREAM node1\n10.0.0.2 DGRAM\n", false, Some("10.0.0.2"))]
    #[test_case("fd77::2 STREAM node1\n", true, Some("fd77::2"))]
    #[test_case("::ffff:10.0.0.2 STREAM node1\n", true, None; "made up")]
    #[test_case("fd77::2 STREAM node1\n", false, None; "of the other family")]
    #[test_case("", false, None; "unknown")]
    #[test_case("node1 10.0.0.2\n", false, None; "of another order")]
    fn an_address_is_read(printed: &str, v6: bool, address: Option<&str>) {
        assert_eq!(first_address(printed, v6).map(|address| address.to_string()).as_deref(), address);
    }
}
