//! A site's packet filter, inside the cluster's own network namespaces.

use crate::support::{Cluster, HostName};

/// Both nodes take new connections on these ports alone; whoever tries another is refused.
pub(crate) fn nodes_take_only(cluster: &Cluster, ports: &[u16]) {
    for node in [HostName::Node1, HostName::Node2] {
        rule(cluster, node, "input", &format!("iifname != lo tcp dport != {}", set(ports)));
    }
}

/// No node opens connections to these ports of another machine.
pub(crate) fn nodes_reach_no(cluster: &Cluster, ports: &[u16]) {
    for node in [HostName::Node1, HostName::Node2] {
        rule(cluster, node, "output", &format!("oifname != lo tcp dport {}", set(ports)));
    }
}

fn set(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("{{ {} }}", ports.join(", "))
}

fn rule(cluster: &Cluster, host: HostName, hook: &str, what: &str) {
    let rules = format!(
        "table inet fence {{ chain {hook} {{ type filter hook {hook} priority 0; \
         tcp flags & (syn | ack) == syn {what} reject with tcp reset; }}; }}"
    );
    let done = cluster.on(host, &["nft", &rules]);
    assert!(done.status.success(), "{rules}: {}", String::from_utf8_lossy(&done.stderr));
}
