//! "Listening" is said of the engine's own socket, and of no other.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use llm_proxy::host::Bind;
use llm_proxy::host::quote::Word;
use llm_proxy::keeper::{ControlWord, Report};

use super::support::{LISTEN, PYTHON, Running, each_shell, plan, runs};

#[test]
fn the_engine_is_reported_from_start_to_listening() {
    each_shell(|shell| {
        let plan = plan(&[PYTHON, "-c", LISTEN]);
        let mut keeper = Running::keeper(shell, &plan);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let hello = Report::Hello { node: host.trim().to_owned(), pid: keeper.child.id(), job: None };
        assert_eq!(keeper.next(), hello);
        let Report::Port(port) = keeper.next() else { panic!("no port") };
        assert!((20_000..30_000).contains(&port), "{port}");
        let Report::Engine { pid } = keeper.next() else { panic!("no engine") };
        assert_eq!(keeper.next(), Report::Listening(port));
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        keeper.until_log("engine up\n");
        keeper.say(ControlWord::Stop);
        keeper.until_gone();
        assert!(!runs(pid));
    });
}

#[test]
fn the_node_and_the_job_are_slurms_where_slurm_started_it() {
    each_shell(|shell| {
        let plan = plan(&["true"]);
        let mut command = super::support::shell_command(shell);
        command.env("SLURMD_NODENAME", "gpu-7").env("SLURM_JOB_ID", "4711");
        let keeper = Running::script(command, &plan, &plan.script().unwrap());
        let Report::Hello { node, job, .. } = keeper.next() else { panic!("no hello") };
        assert_eq!((node.as_str(), job.map(|job| job.0)), ("gpu-7", Some(4711)));
    });
}

#[test]
fn the_engine_has_its_surroundings() {
    const LOOK: &str = "
import os, signal, sys
fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))
print('session', os.getsid(0) == os.getpid())
print('stdin', os.readlink('/proc/self/fd/0'))
print('open', [fd for fd in fds if 3 <= fd <= 9 and os.path.exists('/proc/self/fd/%d' % fd)])
print('TERM', signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
print('env', *(os.environ[n] for n in ('HOST', 'PORT', 'LLM_PROXY_LIFE', 'FROM_PRELUDE', 'ODD')))
print('hidden', [n for n in os.environ if n in ('LLM_PROXY_ENGINE', 'LLM_PROXY_PORT', 'ENGINE', 'NONCE')])
print('argv', sys.argv[1:], os.getcwd())
";
    each_shell(|shell| {
        for login_shell in [false, true] {
            let mut plan = plan(&[PYTHON, "-c", LOOK, "--port={port}", "it's", ""]);
            plan.login_shell = login_shell;
            plan.bind = Bind::Port { host: "0.0.0.0".to_owned(), port: None };
            plan.chdir = llm_proxy::keeper::Chdir::Folder("/usr/lib".to_owned());
            plan.env = vec![("ODD".to_owned(), "a 'b' \"$c\"".to_owned().into())];
            // Its last line has no end, and a comment would swallow what follows.
            plan.prelude = Some("set -- x; export FROM_PRELUDE=\"p$# $ODD\" PORT=1 # done".to_owned());
            let keeper = Running::keeper(shell, &plan);
            let reports = keeper.until_gone();
            let port = reports.iter().find_map(|report| match report {
                Report::Port(port) => Some(*port),
                _ => None,
            });
            let port = port.unwrap();
            assert_eq!(reports.last(), Some(&Report::Gone(0)), "{}", keeper.log());
            let expected = format!(
                "session True\nstdin /dev/null\nopen []\nTERM True\nenv 0.0.0.0 {port} {} p1 a 'b' \"$c\" a 'b' \
                 \"$c\"\nhidden []\nargv ['--port={port}', \"it's\", ''] /usr/lib\n",
                plan.marker
            );
            keeper.until_log(&expected);
        }
    });
}

#[test]
fn every_address_counts() {
    each_shell(|shell| {
        for host in ["0.0.0.0", "::1", "::", "127.0.0.3"] {
            let mut plan = plan(&[PYTHON, "-c", LISTEN]);
            plan.bind = Bind::Port { host: host.to_owned(), port: None };
            let mut keeper = Running::keeper(shell, &plan);
            keeper.until_listening();
            keeper.say(ControlWord::StopNow);
            keeper.until_gone();
        }
    });
}

#[test]
fn a_stranger_on_the_wanted_port_is_not_the_engine() {
    each_shell(|shell| {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut plan = plan(&[PYTHON, "-c", LISTEN]);
        let port = Some(stranger.local_addr().unwrap().port());
        plan.bind = Bind::Port { host: "127.0.0.1".to_owned(), port };
        let keeper = Running::keeper(shell, &plan);
        let reports = keeper.until_gone();
        assert!(
            matches!(
                reports.as_slice(),
                [_, Report::Port(_), Report::Engine { .. }, Report::Exited(1), Report::Gone(1)]
            ),
            "{reports:?}"
        );
        keeper.until_log("Address already in use");
    });
}

#[test]
fn a_stranger_is_not_reported_for_an_engine_that_still_starts() {
    each_shell(|shell| {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut plan = plan(&["sleep", "600"]);
        let port = Some(stranger.local_addr().unwrap().port());
        plan.bind = Bind::Port { host: "127.0.0.1".to_owned(), port };
        plan.lease = Duration::from_secs(2);
        let reports = Running::keeper(shell, &plan).until_gone();
        assert!(!reports.iter().any(|report| matches!(report, Report::Listening(_))), "{reports:?}");
    });
}

#[test]
fn a_stranger_on_another_address_of_the_port_spoils_it() {
    each_shell(|shell| {
        // Above what the kernel gives to those who want any port: the other tests' would be in the engine's way.
        let stranger = (61_000..=65_535).find_map(|port| TcpListener::bind(("127.0.0.2", port)).ok()).unwrap();
        let mut plan = plan(&[PYTHON, "-c", LISTEN]);
        let port = Some(stranger.local_addr().unwrap().port());
        plan.bind = Bind::Port { host: "127.0.0.1".to_owned(), port };
        // Counted in ticks, each of which takes longer on a busy machine.
        plan.lease = Duration::from_secs(5);
        let keeper = Running::keeper(shell, &plan);
        let reports = keeper.until_gone();
        assert!(!reports.iter().any(|report| matches!(report, Report::Listening(_))), "{reports:?}");
        keeper.until_log("engine up");
    });
}

#[test]
fn a_server_that_left_the_session_is_known_by_its_marker() {
    each_shell(|shell| {
        let plan = plan(&["sh", "-c", "setsid \"$@\" & wait", "sh", PYTHON, "-c", LISTEN]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_listening();
        keeper.say(ControlWord::Stop);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(143)));
    });
}

#[test]
fn a_server_that_lost_its_environment_is_known_by_its_session() {
    each_shell(|shell| {
        let script = "env -i HOST=\"$HOST\" PORT=\"$PORT\" \"$@\" & wait";
        let plan = plan(&["sh", "-c", script, "sh", PYTHON, "-c", LISTEN]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_listening();
        keeper.say(ControlWord::Stop);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(143)));
    });
}

#[test]
fn a_name_full_of_parentheses_confuses_nobody() {
    each_shell(|shell| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("e) Z 1 (1 \n) S");
        std::fs::write(&file, format!("#!{PYTHON}\n{LISTEN}")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        let mut plan = plan(&[]);
        plan.argv = vec![Word::literal(file.to_str().unwrap())];
        let mut keeper = Running::keeper(shell, &plan);
        let (engine, _) = keeper.until_listening();
        keeper.say(ControlWord::Stop);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(143)));
        assert!(!runs(engine));
    });
}
