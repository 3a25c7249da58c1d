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

/// Nodes take everything again, and reach all.
pub(crate) fn no_fence_any_more(cluster: &Cluster) {
    for node in [HostName::Node1, HostName::Node2] {
        load(cluster, node, "table inet fence; delete table inet fence");
    }
}

/// Whatever comes to this port of the first node from another machine is refused, also on a connection that stands.
pub(crate) fn node_breaks(cluster: &Cluster, port: u16) {
    let what = format!("iifname != lo tcp dport {port} reject with tcp reset");
    load(cluster, HostName::Node1, &chain("input", &what));
}

fn set(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("{{ {} }}", ports.join(", "))
}

fn rule(cluster: &Cluster, host: HostName, hook: &str, what: &str) {
    load(cluster, host, &chain(hook, &format!("tcp flags & (syn | ack) == syn {what} reject with tcp reset")));
}

fn chain(hook: &str, rule: &str) -> String {
    format!("table inet fence {{ chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}; }}")
}

fn load(cluster: &Cluster, host: HostName, rules: &str) {
    let done = cluster.on(host, &["nft", rules]);
    assert!(done.status.success(), "{rules}: {}", String::from_utf8_lossy(&done.stderr));
}
