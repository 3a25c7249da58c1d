//! Which port of a range an engine of this machine gets: never one that is in use, by us or by anybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::Diagnosis;
use crate::id::InstanceName;
use crate::launch::Ports;

/// As many owners of ports are named.
const NAMED: usize = 20;

/// What the kernel calls a socket that listens.
const LISTENS: &str = "0A";

/// One of the range that nobody has.
pub(super) fn choose(
    ports: Ports,
    ours: &BTreeMap<u16, InstanceName>,
    in_use: &BTreeSet<u16>,
) -> Result<u16, Diagnosis> {
    let is_free = |port: &u16| !ours.contains_key(port) && !in_use.contains(port);
    let range = ports.first..=ports.last;
    let rather = ports.rather.into_iter().filter(|port| range.contains(port));
    rather.chain(range.clone()).find(is_free).ok_or_else(|| {
        let of_range: Vec<_> = ours.iter().filter(|(port, _)| range.contains(port)).collect();
        let others = range.clone().filter(|port| !ours.contains_key(port)).count();
        let mut owners: Vec<String> =
            of_range.iter().take(NAMED).map(|(port, owner)| format!("{port} by {owner}")).collect();
        if of_range.len() > NAMED {
            owners.push(format!("{} more by engines of this proxy", of_range.len() - NAMED));
        }
        if others > 0 {
            owners.push(format!("{others} by other programs"));
        }
        Diagnosis {
            code: "no_free_port",
            summary: format!("every port from {} to {} is in use: {}", ports.first, ports.last, owners.join(", ")),
            remedy: "widen the range (VLLM_BASE_PORT or VLLM_LAUNCH_PORT_START, VLLM_LAUNCH_PORT_END), or stop one of \
                     them"
                .to_owned(),
        }
    })
}

/// The ports of this machine on which somebody listens, on whichever address.
pub(super) fn in_use() -> BTreeSet<u16> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().flat_map(|path| listening(&read(path))).collect()
}

/// `0: 0100007F:1F90 00000000:0000 0A …`, a line each, below a head.
fn listening(table: &str) -> Vec<u16> {
    let port = |line: &str| {
        let mut fields = line.split_whitespace();
        let (address, state) = (fields.nth(1)?, fields.nth(1)?);
        let (_, port) = address.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok().filter(|_| state == LISTENS)
    };
    table.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::TcpListener;

    use super::*;

    fn ports(first: u16, last: u16, rather: Option<u16>) -> Ports {
        Ports { first, last, rather }
    }

    #[test]
    fn a_port_that_somebody_has_is_not_given() {
        let ours = BTreeMap::from([(9000, InstanceName::from_text("big").unwrap())]);
        let in_use = BTreeSet::from([9001]);
        assert_eq!(choose(ports(9000, 9004, None), &ours, &in_use), Ok(9002));
        assert_eq!(choose(ports(9000, 9004, Some(9004)), &ours, &in_use), Ok(9004));
        assert_eq!(choose(ports(9000, 9004, Some(9001)), &ours, &in_use), Ok(9002), "the next one that is free");
        assert_eq!(choose(ports(9003, 9004, Some(7)), &ours, &in_use), Ok(9003), "one of the range");
        let full = choose(ports(9000, 9001, None), &ours, &in_use).unwrap_err();
        assert_eq!(full.summary, "every port from 9000 to 9001 is in use: 9000 by big, 1 by other programs");
        assert_eq!(full.code, "no_free_port");
    }

    #[test]
    fn who_listens_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(in_use().contains(&port));
        drop(listener);
        assert!(!in_use().contains(&port));
    }
}
