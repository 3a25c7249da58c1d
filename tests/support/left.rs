//! What runs of ours on the cluster's hosts.

use super::{Cluster, Deadline, HostName, eventually};

/// A living process of the user's.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) host: HostName,
    pub(crate) pid: String,
    /// Its command line.
    pub(crate) words: String,
}

/// The user's processes on a host, but for the sshd that carries a laptop's connection and what sees to a login.
pub(crate) fn processes(cluster: &Cluster, host: HostName) -> Vec<Process> {
    let pids = cluster.on(host, &["sh", "-c", "ip netns pids \"$(ip netns identify $$)\""]);
    let pids = String::from_utf8_lossy(&pids.stdout).into_owned();
    let mut found = Vec::new();
    for pid in pids.split_whitespace() {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        // A zombie has no words, and root's are the cluster's own.
        if uid.is_some_and(|uid| uid != "0") && !words.is_empty() {
            found.push(Process { host, pid: pid.to_owned(), words });
        }
    }
    found
}

/// No step, no Python, no SSH of ours, no folder with a key, nor anything else of the user's.
pub(crate) async fn wait_until_nothing_runs(cluster: &Cluster, seconds: u64) {
    let all = || {
        let hosts = [HostName::Login, HostName::Node1, HostName::Node2];
        hosts.into_iter().flat_map(|host| processes(cluster, host)).collect::<Vec<_>>()
    };
    let gone = async || all().is_empty().then_some(());
    let what = format!("nothing of the user's runs; at first: {:#?}", all());
    eventually(Deadline::in_seconds(seconds), &what, gone).await;
    assert_eq!(cluster.say(HostName::Login, &["squeue", "-h", "-s"]), "");
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    let made = cluster.say(HostName::Node1, &["find", "/tmp", "-name", "tmp.*"]);
    assert_eq!(made, "", "a temporary folder was left");
}
