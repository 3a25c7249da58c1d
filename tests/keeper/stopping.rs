//! However an engine ends or is ended, nothing of it is left, and its exit code is known.

use std::time::{Duration, Instant};

use llm_proxy::keeper::{ControlWord, Report};

use super::support::{LISTEN, PYTHON, Running, each_shell, pid_in, plan, runs, signal};

#[test]
fn the_exit_code_is_kept() {
    each_shell(|shell| {
        for code in [0, 7] {
            let plan = plan(&["sh", "-c", &format!("exit {code}")]);
            let mut keeper = Running::keeper(shell, &plan);
            let reports = keeper.until_gone();
            assert!(reports.ends_with(&[Report::Exited(code), Report::Gone(code)]), "{reports:?}");
            assert_eq!(keeper.exit_code(), i32::from(code));
        }
        let reports = Running::keeper(shell, &plan(&["/no/such/engine"])).until_gone();
        assert!(reports.ends_with(&[Report::Exited(127), Report::Gone(127)]), "{reports:?}");
        let reports = Running::keeper(shell, &plan(&["sh", "-c", "kill -s SEGV $$"])).until_gone();
        assert!(reports.ends_with(&[Report::Exited(139), Report::Gone(139)]), "{reports:?}");
    });
}

#[test]
fn a_missing_folder_is_an_exit_with_its_reason() {
    each_shell(|shell| {
        let mut plan = plan(&["true"]);
        plan.chdir = llm_proxy::keeper::Chdir::Folder("/no/such/folder".to_owned());
        let keeper = Running::keeper(shell, &plan);
        let reports = keeper.until_gone();
        assert!(matches!(reports.last(), Some(Report::Gone(1..))), "{reports:?}");
        keeper.until_log("/no/such/folder");
    });
}

#[test]
fn an_engine_ends_in_its_own_way_when_asked() {
    each_shell(|shell| {
        let plan = plan(&["sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_log("up");
        keeper.say(ControlWord::Stop);
        let reports = keeper.until_gone();
        assert!(reports.ends_with(&[Report::Stopping, Report::Exited(3), Report::Gone(3)]), "{reports:?}");
        assert_eq!(keeper.exit_code(), 3);
    });
}

#[test]
fn a_second_term_follows_the_first() {
    const SECOND: &str = "
import signal, sys, time
heard = []
def term(*_):
    heard.append(1)
    if len(heard) == 2: sys.exit(5)
signal.signal(signal.SIGTERM, term)
print('up', flush=True)
while True: time.sleep(600)
";
    each_shell(|shell| {
        let plan = plan(&[PYTHON, "-c", SECOND]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_log("up");
        let asked = Instant::now();
        keeper.say(ControlWord::Stop);
        let reports = keeper.until_gone();
        assert!(reports.ends_with(&[Report::Stopping, Report::Exited(5), Report::Gone(5)]), "{reports:?}");
        assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
    });
}

#[test]
fn an_engine_that_minds_no_term_is_killed_after_the_timeout() {
    each_shell(|shell| {
        let mut plan = plan(&["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
        plan.stop_timeout = Duration::from_secs(2);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_log("up");
        let asked = Instant::now();
        keeper.say(ControlWord::Stop);
        let reports = keeper.until_gone();
        assert!(asked.elapsed() >= plan.stop_timeout, "{:?}", asked.elapsed());
        assert!(matches!(reports.as_slice(), [.., Report::Leftover(1..), Report::Gone(137)]), "{reports:?}");
        assert_eq!(keeper.exit_code(), 137);
    });
}

#[test]
fn stop_now_does_not_wait() {
    each_shell(|shell| {
        let plan = plan(&["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_log("up");
        let asked = Instant::now();
        keeper.say(ControlWord::StopNow);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(137)));
        assert!(asked.elapsed() < plan.stop_timeout, "{:?}", asked.elapsed());
    });
}

#[test]
fn a_stop_can_be_hurried() {
    each_shell(|shell| {
        let plan = plan(&["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_log("up");
        let asked = Instant::now();
        keeper.say(ControlWord::Stop);
        keeper.until(|report| *report == Report::Stopping);
        keeper.say(ControlWord::StopNow);
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(137)));
        assert!(asked.elapsed() < plan.stop_timeout, "{:?}", asked.elapsed());
    });
}

#[test]
fn an_engine_that_has_hardly_begun_can_be_stopped() {
    each_shell(|shell| {
        let mut keeper = Running::keeper(shell, &plan(&["sleep", "600"]));
        assert!(matches!(keeper.next(), Report::Hello { .. }));
        keeper.say(ControlWord::Stop);
        let reports = keeper.until_gone();
        assert!(reports.contains(&Report::Stopping), "{reports:?}");
        assert_eq!(reports.last(), Some(&Report::Gone(143)));
    });
}

#[test]
fn what_outlives_the_main_process_is_ended() {
    // One in the session that minds no TERM, one that left the session, and one that did both and forks.
    const LEAVE: &str = "
        (trap '' TERM; exec sleep 600) & echo $! >\"$1/a\"
        setsid sh -c 'echo $$ >\"$1/b\"; exec sleep 600' sh \"$1\" &
        setsid sh -c 'trap \"\" TERM; echo $$ >\"$1/c\"; while :; do sleep 0.1; done' sh \"$1\" &
        while ! [ -s \"$1/a\" ] || ! [ -s \"$1/b\" ] || ! [ -s \"$1/c\" ]; do sleep 0.05; done
        exit 4";
    each_shell(|shell| {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&["sh", "-c", LEAVE, "sh", folder.path().to_str().unwrap()]);
        let mut keeper = Running::keeper(shell, &plan);
        let reports = keeper.until_gone();
        let left = ["a", "b", "c"].map(|name| pid_in(&folder.path().join(name)));
        assert!(
            matches!(reports.as_slice(), [.., Report::Exited(4), Report::Leftover(2..), Report::Gone(4)]),
            "{reports:?}"
        );
        assert_eq!(left.map(runs), [false; 3]);
        assert_eq!(keeper.exit_code(), 4);
    });
}

#[test]
fn a_wrapper_that_passes_no_signal_on_is_seen_through() {
    const ASKED: &str = "
import signal, sys
def term(*_):
    print('asked', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, term)
";
    each_shell(|shell| {
        let server = format!("{ASKED}{LISTEN}");
        let plan = plan(&["bash", "-c", "sleep 0.1; \"$@\"; echo after", "bash", PYTHON, "-c", &server]);
        let mut keeper = Running::keeper(shell, &plan);
        keeper.until_listening();
        keeper.say(ControlWord::Stop);
        let reports = keeper.until_gone();
        assert!(
            matches!(reports.as_slice(), [Report::Stopping, Report::Exited(143), Report::Gone(143)]),
            "{reports:?}"
        );
        keeper.until_log("asked");
    });
}

#[test]
fn a_term_to_every_process_of_the_step_ends_it_in_order() {
    each_shell(|shell| {
        let plan = plan(&[PYTHON, "-c", LISTEN]);
        let keeper = Running::keeper(shell, &plan);
        let (engine, _) = keeper.until_listening();
        signal("TERM", -i64::from(keeper.child.id()));
        signal("TERM", -i64::from(engine));
        let reports = keeper.until_gone();
        // The engine may have ended before the keeper's shell came to hear its own signal.
        let reports = reports.strip_prefix(&[Report::Stopping]).unwrap_or(&reports);
        assert_eq!(reports, [Report::Exited(143), Report::Gone(143)]);
    });
}

#[test]
fn a_rain_of_terms_does_not_hurt_the_keeper() {
    each_shell(|shell| {
        let mut plan = plan(&["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
        plan.stop_timeout = Duration::from_secs(2);
        let keeper = Running::keeper(shell, &plan);
        keeper.until_log("up");
        let mut reports = Vec::new();
        while !matches!(reports.last(), Some(Report::Gone(_))) {
            // Between the report and the keeper's end it may be there no more.
            drop(std::process::Command::new("kill").args(["--", &format!("-{}", keeper.child.id())]).output());
            reports.extend(keeper.next_within(Duration::from_millis(20)));
        }
        assert!(matches!(reports.as_slice(), [.., Report::Leftover(1..), Report::Gone(137)]), "{reports:?}");
    });
}

#[test]
fn words_that_are_none_are_not_obeyed() {
    each_shell(|shell| {
        let mut keeper = Running::keeper(shell, &plan(&[PYTHON, "-c", LISTEN]));
        keeper.until_listening();
        let long = "x".repeat(9000);
        keeper
            .write(&format!("dance\n\n$(stop)\n*\nalive\nalive x\nalive 99999999999999999999\n{long}\nexited 3\nstop"));
        assert_eq!(keeper.next_within(Duration::from_millis(1500)), None);
        // The link is cut: what came of its last line is no word.
        keeper.stdin = None;
        assert_eq!(keeper.next_within(Duration::from_millis(1500)), None);
        signal("TERM", i64::from(keeper.child.id()));
        assert_eq!(keeper.until_gone().last(), Some(&Report::Gone(143)));
    });
}
