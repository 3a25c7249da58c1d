//! A port that another process took between the keeper's choice and the engine's start.

use std::path::Path;
use std::process::Command;

use llm_proxy::host::Bind;
use llm_proxy::keeper::{ControlWord, KeeperPlan, Report};

use super::support::{LISTEN, PYTHON, Running, each_shell, eventually, plan};

/// Lets a stranger (no marker, no session of ours) take the port first, as often as the first word says.
const LOSE: &str = r"
import os, socket, subprocess, sys, time
folder, times, listen = sys.argv[1:]
tries = len(os.listdir(folder))
if tries < int(times):
    env = {name: value for name, value in os.environ.items() if name != 'LLM_PROXY_LIFE'}
    out = subprocess.PIPE
    stranger = subprocess.Popen([sys.executable, '-c', listen], env=env, start_new_session=True, stdout=out)
    open(os.path.join(folder, str(stranger.pid)), 'w').close()
    stranger.stdout.readline()
exec(listen)
";

struct Strangers(tempfile::TempDir);

impl Strangers {
    fn plan(times: &str) -> (Self, KeeperPlan) {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&[PYTHON, "-c", LOSE, folder.path().to_str().unwrap(), times, LISTEN]);
        (Self(folder), plan)
    }

    fn pids(folder: &Path) -> Vec<i64> {
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|file| file.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        for pid in Self::pids(self.0.path()) {
            // On a busy machine the keeper may have seen it as the engine's child, and ended it with the rest.
            let _ = Command::new("kill").args(["-s", "KILL", "--", &pid.to_string()]).status();
        }
    }
}

fn ports(reports: &[Report]) -> Vec<u16> {
    let port = |report: &Report| match report {
        Report::Port(port) => Some(*port),
        _ => None,
    };
    reports.iter().filter_map(port).collect()
}

#[test]
fn is_retried_with_another_port() {
    each_shell(|shell| {
        let (_strangers, plan) = Strangers::plan("2");
        let mut keeper = Running::keeper(shell, &plan);
        let reports = keeper.until(|report| matches!(report, Report::Listening(_)));
        let ports = ports(&reports);
        assert_eq!(ports.len(), 3, "{reports:?}");
        assert_eq!(reports.last(), ports.last().map(|port| Report::Listening(*port)).as_ref());
        assert!(!reports.iter().any(|report| matches!(report, Report::Exited(_))), "{reports:?}");
        // The engine of a later try hears a TERM like that of the first.
        keeper.say(ControlWord::Stop);
        assert_eq!(keeper.until_gone(), [Report::Stopping, Report::Exited(143), Report::Gone(143)]);
    });
}

#[test]
fn is_retried_three_times_at_most() {
    each_shell(|shell| {
        let (strangers, plan) = Strangers::plan("9");
        let reports = Running::keeper(shell, &plan).until_gone();
        assert_eq!(ports(&reports).len(), 4, "{reports:?}");
        assert!(reports.ends_with(&[Report::Exited(1), Report::Gone(1)]), "{reports:?}");
        eventually("all strangers are known", || Strangers::pids(strangers.0.path()).len() == 4);
    });
}

#[test]
fn a_port_that_was_asked_for_is_not_replaced() {
    each_shell(|shell| {
        let (_strangers, mut plan) = Strangers::plan("9");
        // Taken and given back: free, but for those who start at this very moment.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        plan.bind = Bind::Port { host: "127.0.0.1".to_owned(), port: Some(free) };
        let reports = Running::keeper(shell, &plan).until_gone();
        assert_eq!(ports(&reports), [free]);
        assert!(reports.ends_with(&[Report::Exited(1), Report::Gone(1)]), "{reports:?}");
    });
}
