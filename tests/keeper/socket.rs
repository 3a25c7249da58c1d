//! An engine that listens on a Unix socket in a folder of the keeper's.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use llm_proxy::host::Bind;
use llm_proxy::keeper::{ControlWord, KeeperPlan, Report};

use super::support::{PATIENCE, PYTHON, Running, each_shell, plan, shell_command};

/// Listens on `$SOCKET` for ever.
const LISTEN: &str = "
import os, socket, sys, time
print('names', [name for name in ('HOST', 'PORT', 'LLM_PROXY_PORT') if name in os.environ], sys.argv[1:], flush=True)
s = socket.socket(socket.AF_UNIX)
s.bind(os.environ['SOCKET'])
print('bound', flush=True)
time.sleep(0.3)
s.listen()
if sys.argv[1] == 'once':
    s.accept()
else:
    time.sleep(600)
";

fn socket_plan(argv: &[&str]) -> KeeperPlan {
    KeeperPlan { bind: Bind::Socket, ..plan(argv) }
}

fn path_of(keeper: &Running) -> PathBuf {
    let reports = keeper.until(|report| matches!(report, Report::ListeningOn(_)));
    assert!(!reports.iter().any(|report| matches!(report, Report::Port(_) | Report::Listening(_))), "{reports:?}");
    let Some(Report::ListeningOn(path)) = reports.last() else { panic!("{reports:?}") };
    PathBuf::from(path)
}

/// Nobody but the user can enter it.
fn is_private(folder: &Path) -> bool {
    std::fs::metadata(folder).unwrap().permissions().mode() & 0o7777 == 0o700
}

#[test]
fn it_is_reported_where_only_the_user_can_go_and_gone_at_the_end() {
    each_shell(|shell| {
        for login_shell in [false, true] {
            let mut plan = socket_plan(&[PYTHON, "-c", LISTEN, "always"]);
            plan.login_shell = login_shell;
            // A profile's or a prelude's own ideas.
            plan.prelude = Some("export HOST=h PORT=1 SOCKET=2; umask 0".to_owned());
            let mut keeper = Running::keeper(shell, &plan);
            let path = path_of(&keeper);
            // It takes connections already when it is reported, and fits into an address.
            UnixStream::connect(&path).unwrap();
            assert!(path.as_os_str().len() < 104, "{path:?}");
            let folder = path.parent().unwrap();
            assert!(is_private(folder), "{folder:?}");
            keeper.until_log("names [] ['always']\n");
            keeper.say(ControlWord::Stop);
            assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(143)));
            assert!(!folder.exists(), "{folder:?} is left");
        }
    });
}

#[test]
fn it_is_gone_with_an_engine_that_ends_by_itself() {
    each_shell(|shell| {
        let keeper = Running::keeper(shell, &socket_plan(&[PYTHON, "-c", LISTEN, "once"]));
        let path = path_of(&keeper);
        UnixStream::connect(&path).unwrap();
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(0)));
        assert!(!path.parent().unwrap().exists(), "{path:?} is left");
    });
}

#[test]
fn another_process_there_is_not_the_engine() {
    each_shell(|shell| {
        let mut keeper = Running::keeper(shell, &socket_plan(&["sh", "-c", "echo \"at $SOCKET.\"; exec sleep 600"]));
        keeper.until_log(".\n");
        let log = keeper.log();
        let (_, path) = log.split_once("at ").unwrap();
        let _other = UnixListener::bind(path.trim_end().trim_end_matches('.')).unwrap();
        while let Some(report) = keeper.next_within(Duration::from_secs(1)) {
            assert!(!matches!(report, Report::ListeningOn(_)), "{report:?}");
        }
        keeper.say(ControlWord::Stop);
        keeper.until_gone();
    });
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    each_shell(|shell| {
        let bin = tempfile::tempdir().unwrap();
        let mktemp = bin.path().join("mktemp");
        std::fs::write(&mktemp, "#!/bin/sh\necho 'mktemp: No space left on device' >&2\nexit 1\n").unwrap();
        std::fs::set_permissions(&mktemp, PermissionsExt::from_mode(0o755)).unwrap();
        let plan = socket_plan(&["true"]);
        let mut command = shell_command(shell);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", bin.path().display()));
        let keeper = Running::script(command, &plan, &plan.script().unwrap());
        let reports = keeper.until_gone();
        assert!(reports.ends_with(&[Report::Exited(1), Report::Gone(1)]), "{reports:?}");
        keeper.until_log("No space left on device\nkeeper: the folder of the engine's socket cannot be made");
    });
}

/// As by a node that is out of memory.
#[test]
fn it_is_gone_after_a_keeper_that_was_killed() {
    each_shell(|shell| {
        let mut keeper = Running::keeper(shell, &socket_plan(&[PYTHON, "-c", LISTEN, "always"]));
        let folder = path_of(&keeper).parent().unwrap().to_owned();
        keeper.child.kill().unwrap();
        let until = Instant::now() + PATIENCE;
        while folder.exists() {
            assert!(Instant::now() < until, "{folder:?} is left");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

/// What was left by a keeper that was killed with all that it started.
#[test]
fn what_an_earlier_one_left_is_swept_and_nothing_else() {
    each_shell(|shell| {
        let running = Running::keeper(shell, &socket_plan(&[PYTHON, "-c", LISTEN, "always"]));
        let theirs = path_of(&running).parent().unwrap().to_owned();
        let mark = std::fs::read_to_string(theirs.join("keeper")).unwrap();
        let [pid, start, space] = mark.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{mark:?}") };
        let folder = |name: &str, mark: &str| {
            let folder = tempfile::Builder::new().prefix("llm-proxy-").rand_bytes(6).tempdir_in("/tmp").unwrap();
            std::fs::write(folder.path().join("keeper"), mark).unwrap_or_else(|error| panic!("{name}: {error}"));
            folder
        };
        // The number was given to another process meanwhile.
        let left = folder("left", &format!("{pid} 1{start} {space}\n"));
        let listened = folder("listened", &format!("{pid} 1{start} {space}\n"));
        let _ear = UnixListener::bind(listened.path().join("engine.sock")).unwrap();
        let elsewhere = folder("elsewhere", &format!("{pid} 1{start} pid:[1]\n"));
        let unmarked = folder("unmarked", "");
        let mut next = Running::keeper(shell, &socket_plan(&[PYTHON, "-c", LISTEN, "always"]));
        path_of(&next);
        assert!(!left.path().exists());
        for kept in [theirs.as_path(), listened.path(), elsewhere.path(), unmarked.path()] {
            assert!(kept.exists(), "{kept:?}");
        }
        next.say(ControlWord::Stop);
        next.until_gone();
    });
}
