//! What goes wrong, and how it is made to.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::stage::{LEASE, Stage};
use crate::support::{ChildGuard, Deadline, HostName, eventually};

/// One of the things that go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    ProxyKilled,
    LinkCutShort,
    LinkCutLong,
    SshdKilled,
    ControllerStopped,
    ControllerHung,
    SlurmdKilled,
    NodeDown,
    Scancel,
    EngineKilled,
    EngineHung,
    EngineSlow,
    DiskFull,
    ClockJumps,
    LaptopSleeps,
}

pub(crate) const ALL: [Fault; 15] = [
    Fault::ProxyKilled,
    Fault::LinkCutShort,
    Fault::LinkCutLong,
    Fault::SshdKilled,
    Fault::ControllerStopped,
    Fault::ControllerHung,
    Fault::SlurmdKilled,
    Fault::NodeDown,
    Fault::Scancel,
    Fault::EngineKilled,
    Fault::EngineHung,
    Fault::EngineSlow,
    Fault::DiskFull,
    Fault::ClockJumps,
    Fault::LaptopSleeps,
];

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ProxyKilled => "proxy killed, started again",
            Self::LinkCutShort => "link cut, short",
            Self::LinkCutLong => "link cut, longer than the lease",
            Self::SshdKilled => "sshd killed, restarted",
            Self::ControllerStopped => "slurmctld stopped, restarted",
            Self::ControllerHung => "slurmctld hangs",
            Self::SlurmdKilled => "slurmd killed, restarted",
            Self::NodeDown => "node down, resumed",
            Self::Scancel => "scancel by an administrator",
            Self::EngineKilled => "engine killed",
            Self::EngineHung => "engine hangs",
            Self::EngineSlow => "engine slow",
            Self::DiskFull => "disk full at the state file",
            Self::ClockJumps => "clock jumps",
            Self::LaptopSleeps => "laptop sleeps",
        }
    }

    /// The shortest and the longest time from its beginning to its end.
    pub(crate) fn lengths(self) -> (Duration, Duration) {
        let (from, to) = match self {
            Self::ProxyKilled => (0, 9000),
            Self::LinkCutShort | Self::SshdKilled => (200, 4000),
            Self::LinkCutLong => (LEASE.as_secs() * 1000 + 2000, LEASE.as_secs() * 1000 + 5000),
            Self::ControllerStopped | Self::ControllerHung | Self::SlurmdKilled => (500, 6000),
            Self::NodeDown => (500, 4000),
            Self::Scancel | Self::EngineKilled => (0, 0),
            Self::EngineHung => (1000, 9000),
            Self::EngineSlow | Self::DiskFull => (1000, 5000),
            Self::ClockJumps => (500, 3000),
            Self::LaptopSleeps => (500, 11000),
        };
        (Duration::from_millis(from), Duration::from_millis(to))
    }

    /// Whether the proxy can be killed in its midst, too, and whether another can begin there.
    pub(crate) fn midst(self) -> (bool, bool) {
        match self {
            Self::ProxyKilled | Self::LaptopSleeps => (false, false),
            // It says that it cannot write, and ends.
            Self::DiskFull => (true, false),
            Self::LinkCutShort
            | Self::LinkCutLong
            | Self::SshdKilled
            | Self::ControllerStopped
            | Self::ControllerHung
            | Self::SlurmdKilled
            | Self::NodeDown
            | Self::Scancel
            | Self::EngineKilled
            | Self::EngineHung
            | Self::EngineSlow
            | Self::ClockJumps => (true, true),
        }
    }

    /// Begins it, waits, and ends it.
    pub(crate) async fn happen(self, stage: &mut Stage, length: Duration) {
        match self {
            Self::ProxyKilled => {
                stage.kill_proxy().await;
                sleep(length).await;
                stage.start_proxy().await;
            }
            Self::LinkCutShort | Self::LinkCutLong => {
                stage.cluster.cut();
                stage.pass(length).await;
                stage.cluster.mend();
            }
            Self::SshdKilled => kill_sshd(stage, length).await,
            Self::ControllerStopped => stop_controller(stage, length).await,
            Self::ControllerHung => {
                let pid = stage.pid_in("login/slurmctld.pid");
                signalled_for(stage, &[pid], length).await;
            }
            Self::SlurmdKilled => kill_slurmd(stage, length).await,
            Self::NodeDown => take_node_down(stage, length).await,
            Self::Scancel => {
                let done = stage.cluster.on(HostName::Login, &["scancel", "-u", stage.cluster.user()]);
                stage.history.note("fault", &format!("scancel: {:?}", done.status));
                stage.pass(length).await;
            }
            Self::EngineKilled => {
                let engines = engines(stage).await;
                send(stage, "KILL", &engines);
                stage.pass(length).await;
            }
            Self::EngineHung => {
                let engines = engines(stage).await;
                signalled_for(stage, &engines, length).await;
            }
            Self::EngineSlow => slow_engine(stage, length).await,
            Self::DiskFull => fill_disk(stage, length).await,
            Self::ClockJumps => {
                // Forwards, and back to before.
                for jump in ["+7200", "-86400", "+0"] {
                    stage.set_clock(jump);
                    stage.pass(length).await;
                }
            }
            Self::LaptopSleeps => {
                let pid = stage.proxy_pid();
                signalled_for(stage, &[pid], length).await;
            }
        }
    }
}

/// The engine's own process, wherever it runs; one that is about to start is waited for.
async fn engines(stage: &Stage) -> Vec<u32> {
    let deadline = Deadline::in_seconds(3);
    loop {
        let found = engines_now(stage);
        if !found.is_empty() || deadline.is_over() {
            return found;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn engines_now(stage: &Stage) -> Vec<u32> {
    let said = stage.cluster.on(HostName::Login, &["ps", "-u", stage.cluster.user(), "-o", "pid=,stat=,args="]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let engine = stage.cluster.engine().display().to_string();
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let (pid, _, program) = (words.next()?, words.next()?, words.next()?);
        (program == engine).then(|| pid.parse().ok())?
    };
    said.lines().filter_map(of_line).collect()
}

/// Sends a signal to what may have ended since it was looked for.
fn send(stage: &Stage, signal: &str, pids: &[u32]) {
    for pid in pids {
        let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).output();
        let sent = sent.is_ok_and(|output| output.status.success());
        stage.history.note("fault", &format!("{signal} to {pid}{}", if sent { "" } else { ", which is gone" }));
    }
    if pids.is_empty() {
        stage.history.note("fault", &format!("nobody to send {signal} to"));
    }
}

async fn signalled_for(stage: &mut Stage, pids: &[u32], length: Duration) {
    send(stage, "STOP", pids);
    stage.pass(length).await;
    send(stage, "CONT", pids);
}

async fn slow_engine(stage: &mut Stage, length: Duration) {
    let engines = engines(stage).await;
    let end = Instant::now() + length;
    while Instant::now() < end {
        signalled_for(stage, &engines, Duration::from_millis(400)).await;
        sleep(Duration::from_millis(60)).await;
    }
}

async fn kill_sshd(stage: &mut Stage, length: Duration) {
    let settings = stage.folder().join("login/sshd_config");
    let pid = listener(&stage.cluster.on(HostName::Login, &["pgrep", "-x", "sshd"]).stdout, &settings);
    send(stage, "KILL", &pid.into_iter().collect::<Vec<_>>());
    drop(stage.cluster.on(HostName::Login, &["pkill", "-KILL", "-u", stage.cluster.user(), "sshd"]));
    stage.pass(length).await;
    let mut sshd = stage.cluster.command(HostName::Login, "/usr/sbin/sshd");
    stage.keep("sshd", ChildGuard::start("sshd", sshd.args(["-D", "-e", "-f"]).arg(settings)));
}

/// The pid of the listening server, which names itself with its settings.
fn listener(pids: &[u8], settings: &std::path::Path) -> Option<u32> {
    let settings = settings.display().to_string();
    let pids = String::from_utf8_lossy(pids).into_owned();
    let ours = |pid: &&str| {
        let said = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&said).contains(&settings)
    };
    pids.lines().find(ours).and_then(|pid| pid.parse().ok())
}

async fn stop_controller(stage: &mut Stage, length: Duration) {
    let pid = stage.pid_in("login/slurmctld.pid");
    send(stage, "TERM", &[pid]);
    until_ended(pid).await;
    stage.pass(length).await;
    let mut controller = stage.cluster.command(HostName::Login, "slurmctld");
    stage.keep("slurmctld", ChildGuard::start("slurmctld", controller.arg("-D")));
}

async fn kill_slurmd(stage: &mut Stage, length: Duration) {
    let mut pids = Vec::new();
    for node in ["node1", "node2"] {
        pids.push(stage.pid_in(&format!("{node}/slurmd.pid")));
    }
    send(stage, "KILL", &pids);
    for pid in pids {
        until_ended(pid).await;
    }
    stage.pass(length).await;
    for (node, name) in [(HostName::Node1, "node1"), (HostName::Node2, "node2")] {
        let mut slurmd = stage.cluster.command(node, "slurmd");
        stage.keep(name, ChildGuard::start("slurmd", slurmd.args(["-D", "-N", name])));
    }
}

async fn until_ended(pid: u32) {
    let ended = async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    eventually(Duration::from_secs(20), "what was killed has ended", ended).await;
}

async fn take_node_down(stage: &mut Stage, length: Duration) {
    let said = stage.cluster.on(HostName::Login, &["squeue", "-h", "-o", "%N"]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let node = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("node1");
    let name = format!("NodeName={node}");
    let update = |stage: &Stage, words: &[&str]| {
        let done = stage.cluster.on(HostName::Login, &[&["scontrol", "update", &name], words].concat());
        stage.history.note("fault", &format!("{name} {words:?}: {:?}", done.status));
    };
    update(stage, &["State=DOWN", "Reason=chaos"]);
    stage.pass(length).await;
    update(stage, &["State=RESUME"]);
}

async fn fill_disk(stage: &mut Stage, length: Duration) {
    let filler: PathBuf = stage.state_home().join("filler");
    let mut file = std::fs::File::create(&filler).expect("a file on an empty disk");
    let mut written = 0;
    // In steps that come to the last byte.
    for step in [4096, 1] {
        let bytes = vec![0_u8; step];
        while file.write_all(&bytes).is_ok() {
            written += step;
        }
    }
    stage.history.note("fault", &format!("the disk is full after {written} bytes"));
    stage.pass(length).await;
    std::fs::remove_file(&filler).expect("the file that fills the disk");
}
