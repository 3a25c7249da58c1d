//! What the keeper looks at once the engine is ended, and what it names.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use llm_proxy::host::Bind;
use llm_proxy::keeper::{ControlWord, Gpu, KeeperPlan, PortState, Report, Seen};

use super::support::{LISTEN, PYTHON, Running, Shell, each_shell, eventually, pid_in, plan, runs, shell_command};

/// A `nvidia-smi` that runs these lines.
fn nvidia_smi(folder: &Path, lines: &str) {
    let file = folder.join("nvidia-smi");
    std::fs::write(&file, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A keeper whose PATH begins with this folder.
fn keeper_with(shell: Shell, plan: &KeeperPlan, text: &str, folder: &Path) -> Running {
    let mut command: Command = shell_command(shell);
    command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()));
    Running::text(&mut command, plan, text)
}

/// The keeper's text, with less patience: its ticks are long ones on a busy machine.
fn impatient(plan: &KeeperPlan) -> String {
    let text = plan.script().unwrap().expose().to_owned();
    assert!(text.contains("KILL_PATIENCE=100") && text.contains("GPU_PATIENCE=100"), "{text}");
    text.replace("_PATIENCE=100", "_PATIENCE=10")
}

fn gpu(account: &[Seen]) -> Vec<&Gpu> {
    account.iter().filter_map(|seen| if let Seen::Gpu(gpu) = seen { Some(gpu) } else { None }).collect()
}

#[test]
fn an_engine_that_ended_is_accounted_for() {
    each_shell(|shell| {
        let mut keeper = Running::keeper(shell, &plan(&[PYTHON, "-c", LISTEN]));
        let (engine, port) = keeper.until_listening();
        keeper.say(ControlWord::Stop);
        keeper.until_gone();
        let [Seen::Looked { engine: looked, tracked: 1.. }, free, _] = &keeper.account()[..] else {
            panic!("{:?}", keeper.account())
        };
        assert_eq!(*looked, engine);
        assert_eq!(*free, Seen::Port { port, state: PortState::Free, holder: None });
    });
}

#[test]
fn a_card_that_is_released_late_is_waited_for() {
    each_shell(|shell| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asked");
        nvidia_smi(
            folder.path(),
            &format!("echo >>{0}; [ $(wc -l <{0}) -gt 3 ] || echo \"$(cat {0}.engine), 512, python3\"", file.display()),
        );
        let engine = format!("echo $$ >{}.engine; exec sleep 600", file.display());
        let plan = plan(&["sh", "-c", &engine]);
        let mut keeper = keeper_with(shell, &plan, plan.script().unwrap().expose(), folder.path());
        pid_in(&folder.path().join("asked.engine"));
        keeper.say(ControlWord::Stop);
        keeper.until_gone();
        assert_eq!(gpu(&keeper.account()), [&Gpu::Clear]);
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 4);
    });
}

#[test]
fn a_card_that_is_not_released_is_named_with_ours_alone() {
    each_shell(|shell| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("engine");
        let rows = format!("echo '1, 99, init'; echo \"$(cat {}), 512, /opt/my python\"", file.display());
        nvidia_smi(folder.path(), &rows);
        let engine = format!("echo $$ >{}; exec sleep 600", file.display());
        let plan = plan(&["sh", "-c", &engine]);
        let mut keeper = keeper_with(shell, &plan, &impatient(&plan), folder.path());
        let pid = pid_in(&file);
        keeper.say(ControlWord::Stop);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(143)));
        let held = Gpu::Held { pid, mib: Some(512), name: "/opt/my python".to_owned() };
        assert_eq!(gpu(&keeper.account()), [&held]);
    });
}

#[test]
fn a_driver_that_fails_or_hangs_is_not_waited_for_long() {
    each_shell(|shell| {
        for lines in ["echo 'NVIDIA-SMI has failed'; exit 9", "exec sleep 600"] {
            let folder = tempfile::tempdir().unwrap();
            nvidia_smi(folder.path(), lines);
            let plan = plan(&["true"]);
            let keeper = keeper_with(shell, &plan, &impatient(&plan), folder.path());
            assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(0)));
            assert_eq!(gpu(&keeper.account()), [&Gpu::Unknown], "{lines}");
        }
    });
}

/// Leaves the session, drops the marker, and outlives its parent.
const ESCAPE: &str = "
import os, signal, subprocess, sys, time
child = subprocess.Popen(['sleep', '600'], env={}, start_new_session=True)
with open(sys.argv[1], 'w') as file: print(child.pid, file=file)
time.sleep(600)
";

#[test]
fn a_child_that_left_the_session_and_the_marker_is_ended() {
    each_shell(|shell| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let mut keeper = Running::keeper(shell, &plan(&[PYTHON, "-c", ESCAPE, file.to_str().unwrap()]));
        let child = pid_in(&file);
        keeper.say(ControlWord::Stop);
        let reports = keeper.until_gone();
        assert!(!runs(child), "{reports:?}");
        assert!(!keeper.account().iter().any(Seen::is_left), "{:?}", keeper.account());
    });
}

#[test]
fn an_engine_does_not_outlive_a_keeper_that_is_killed() {
    each_shell(|shell| {
        let mut keeper = Running::keeper(shell, &plan(&[PYTHON, "-c", LISTEN]));
        let (engine, _) = keeper.until_listening();
        keeper.child.kill().unwrap();
        keeper.child.wait().unwrap();
        eventually("the engine is ended", || !runs(engine));
    });
}

#[test]
fn what_cannot_be_ended_is_named() {
    // For whatever KILL does not end.
    const STUBBORN: &str =
        "kill() { case $1 in -KILL | -TERM) [ \"$2\" != \"$(cat FILE)\" ] || return 0 ;; esac; command kill \"$@\"; }";
    each_shell(|shell| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let engine = format!("sleep 600 & echo $! >{}; wait", file.display());
        let plan = plan(&["sh", "-c", &engine]);
        let text = STUBBORN.replace("FILE", file.to_str().unwrap()) + "\n" + &impatient(&plan);
        let mut keeper = Running::text(&mut shell_command(shell), &plan, &text);
        let child = pid_in(&file);
        keeper.say(ControlWord::StopNow);
        let reports = keeper.until_gone();
        assert!(matches!(reports.as_slice(), [.., Report::Leftover(2), Report::Gone(137)]), "{reports:?}");
        let named = Seen::Process { pid: child, state: 'S', name: "sleep".to_owned() };
        assert!(keeper.account().contains(&named), "{:?}", keeper.account());
    });
}

#[test]
fn a_port_that_another_server_took_is_no_fault_of_ours() {
    each_shell(|shell| {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut plan = plan(&[PYTHON, "-c", LISTEN]);
        let port = other.local_addr().unwrap().port();
        plan.bind = Bind::Port { host: "127.0.0.1".to_owned(), port: Some(port) };
        let keeper = Running::keeper(shell, &plan);
        keeper.until_gone();
        let account = keeper.account();
        let pid = std::process::id();
        let taken = account.iter().find(|seen| matches!(seen, Seen::Port { .. })).unwrap();
        let Seen::Port { state: PortState::Taken, holder: Some((holder, _)), .. } = taken else {
            panic!("{account:?}")
        };
        assert_eq!((*holder, taken.is_left()), (pid, false));
    });
}
