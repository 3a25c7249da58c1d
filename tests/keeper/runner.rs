//! The runner: a life outlives every connection to it, and a later one sees all of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use llm_proxy::id::InstanceName;
use llm_proxy::keeper::{ControlWord, Folder, KeeperPlan, Report, Runner, RunnerFault, Script};

use super::support::{
    PYTHON, Running, Shell, each_shell, eventually, leads_a_group, output, plan, runs, shell_command, signal,
};

/// Counts aloud, fast enough that something is always on its way.
const COUNT: &str = "
import os, socket, time
s = socket.socket()
s.bind((os.environ['HOST'], int(os.environ['PORT'])))
s.listen()
n = 0
while True:
    print('line', n, flush=True)
    n += 1
    time.sleep(0.002)
";

/// A launcher that never starts the keeper, as an `srun` whose job waits.
const WAITS: [&str; 4] = ["sh", "-c", "sleep 600", "srun"];

pub(crate) fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn runner_of(plan: &KeeperPlan) -> Runner {
    let name = InstanceName::from_text("qwen").unwrap();
    Runner { nonce: plan.nonce.clone(), folder: Folder::new(&name, &plan.marker).unwrap(), far: false }
}

pub(crate) fn on_host(shell: Shell, home: &Path) -> Command {
    let mut command = shell_command(shell);
    command.env("HOME", home).env_remove("XDG_STATE_HOME");
    command
}

/// As if the host's `/bin/sh` were this shell, all the way down.
pub(crate) fn in_shell(shell: Shell, script: &Script) -> String {
    script.expose().replace("/bin/sh", shell)
}

fn launch(shell: Shell, plan: &KeeperPlan, home: &Path) -> Running {
    launch_by(shell, plan, home, &[])
}

/// The same with words of a launcher, such as `srun`.
fn launch_by(shell: Shell, plan: &KeeperPlan, home: &Path, launcher: &[&str]) -> Running {
    let script = runner_of(plan).launch(launcher, &plan.marker, &plan.script().unwrap()).unwrap();
    told_to_go(&mut on_host(shell, home), plan, &in_shell(shell, &script))
}

/// It says where it is, and waits for the word.
pub(crate) fn told_to_go(command: &mut Command, plan: &KeeperPlan, text: &str) -> Running {
    let mut runner = Running::text(command, plan, text);
    let report = runner.next();
    assert!(matches!(&report, Report::At { here, .. } if *here == this_machine()), "{report:?}");
    runner.say(ControlWord::Go);
    runner
}

/// A life whose launcher was killed before it started anything, and so could not say that it ended; its process.
fn killed_launcher(shell: Shell, plan: &KeeperPlan, home: &Path) -> u32 {
    let first = launch_by(shell, plan, home, &WAITS);
    let Report::Launched { pid } = first.next() else { panic!("not launched") };
    drop_connection_only(first);
    eventually("the launcher has a group of its own", || leads_a_group(pid));
    signal("KILL", -i64::from(pid));
    eventually("the launcher is dead", || !runs(pid));
    pid
}

pub(crate) fn folder_of(plan: &KeeperPlan, home: &Path) -> PathBuf {
    home.join(".local/state/llm-proxy/lives").join(runner_of(plan).folder.as_str())
}

pub(crate) fn launched(shell: Shell, plan: &KeeperPlan, home: &Path) -> Running {
    let runner = launch(shell, plan, home);
    let report = runner.next();
    assert!(matches!(report, Report::Launched { .. }), "{report:?}");
    assert_eq!(runner.next(), Report::At { here: this_machine(), life: Some(this_machine()) });
    runner
}

fn attached(shell: Shell, plan: &KeeperPlan, home: &Path, offset: u64) -> Running {
    let script = runner_of(plan).attach(offset).unwrap();
    let runner = Running::text(&mut on_host(shell, home), plan, &in_shell(shell, &script));
    assert_eq!(runner.next(), Report::Attached);
    assert_eq!(runner.next(), Report::At { here: this_machine(), life: Some(this_machine()) });
    runner
}

fn this_machine() -> String {
    output(Command::new("uname").arg("-n"), "").trim().to_owned()
}

/// Where the log begins, and the log.
fn log_of(runner: &Running, plan: &KeeperPlan) -> (u64, String) {
    split_log(&runner.log(), plan)
}

fn split_log(log: &str, plan: &KeeperPlan) -> (u64, String) {
    let (first, rest) = log.split_once('\n').unwrap();
    let Some(Report::Log { offset }) = Report::parse(&plan.nonce, first) else { panic!("{first:?}") };
    (offset, rest.to_owned())
}

#[test]
fn a_life_runs_from_launch_to_end() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["sh", "-c", "echo hello; exit 7"]);
        let mut runner = launched(shell, &plan, home.path());
        let reports = runner.until(|report| matches!(report, Report::Ended(_)));
        assert!(matches!(reports.first(), Some(Report::Hello { .. })), "{reports:?}");
        assert!(reports.ends_with(&[Report::Exited(7), Report::Gone(7), Report::Ended(7)]), "{reports:?}");
        runner.until_log("hello\n");
        assert_eq!(log_of(&runner, &plan), (0, "hello\n".to_owned()));
        runner.stdin = None;
        assert_eq!(runner.exit_code(), 0);
    });
}

#[test]
fn a_killed_connection_loses_nothing() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&[PYTHON, "-c", COUNT]);
        let first = launched(shell, &plan, home.path());
        let Report::Hello { pid: keeper, .. } = first.next() else { panic!("no hello") };
        let (engine, port) = first.until_listening();
        first.until_log("line 50\n");
        signal("KILL", i64::from(first.child.id()));
        let marked = first.marked_log();
        let (begin, seen) = split_log(&marked.replace('\u{1}', ""), &plan);
        let marked = split_log(&marked, &plan).1.len();
        assert_eq!(begin, 0);
        drop_connection_only(first);
        assert!(runs(engine) && runs(keeper));

        let offset = u64::try_from(marked).unwrap();
        let mut second = attached(shell, &plan, home.path(), offset);
        let reports = second.until(|report| matches!(report, Report::Listening(_)));
        assert!(matches!(reports.first(), Some(Report::Hello { pid, .. }) if *pid == keeper), "{reports:?}");
        assert_eq!(reports.last(), Some(&Report::Listening(port)));
        let further = format!("line {}\n", seen.lines().count() + 100);
        second.until_log(&further);
        let (begin, rest) = log_of(&second, &plan);
        assert_eq!(begin, offset);
        let all = seen + &rest;
        let whole = all.get(..=all.rfind('\n').unwrap()).unwrap();
        assert_eq!(miscounted(whole), None);

        second.say(ControlWord::Stop);
        let reports = second.until(|report| matches!(report, Report::Ended(_)));
        assert_eq!(reports, [Report::Stopping, Report::Exited(143), Report::Gone(143), Report::Ended(143)]);
        eventually("the keeper is gone", || !runs(keeper));
    });
}

/// The first line that is not the one after its predecessor.
fn miscounted(log: &str) -> Option<(usize, &str)> {
    log.lines().enumerate().find(|(n, line)| *line != format!("line {n}"))
}

/// Ends our side of a connection as a KILL does, without the sweep that follows a test.
pub(crate) fn drop_connection_only(mut runner: Running) {
    runner.stdin = None;
    runner.child.wait().unwrap();
    std::mem::forget(runner);
}

#[test]
fn the_runner_leaves_nothing_but_the_life() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&[PYTHON, "-c", COUNT]);
        let mut first = launched(shell, &plan, home.path());
        first.until_listening();
        first.stdin = None;
        assert_eq!(first.exit_code(), 0);
        let group = first.child.id();
        let left = Command::new("kill").args(["-s", "0", "--", &format!("-{group}")]).output().unwrap();
        assert!(!left.status.success(), "a follower of the runner is left");
        drop_connection_only(first);

        let mut second = attached(shell, &plan, home.path(), 0);
        second.until_listening();
        second.say(ControlWord::StopNow);
        let reports = second.until(|report| matches!(report, Report::Ended(_)));
        assert_eq!(reports.last(), Some(&Report::Ended(137)));
        // The feeder, the life's shell and the keeper's sources all hold the folder's name or its files.
        let folder = home.path().to_str().unwrap().to_owned();
        second.stdin = None;
        assert_eq!(second.exit_code(), 0);
        eventually("no process holds the life's files", || processes_with_files_under(&folder).is_empty());
    });
}

fn processes_with_files_under(folder: &str) -> Vec<String> {
    let fds = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|p| std::fs::read_dir(p.path().join("fd")).ok());
    let targets = fds.flatten().flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    targets.map(|target| target.display().to_string()).filter(|target| target.starts_with(folder)).collect()
}

#[test]
fn an_end_of_the_keeper_alone_is_seen_and_can_be_swept() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&[PYTHON, "-c", COUNT]);
        let runner = launched(shell, &plan, home.path());
        let Report::Hello { pid: keeper, .. } = runner.next() else { panic!("no hello") };
        let (engine, _) = runner.until_listening();
        signal("KILL", i64::from(keeper));
        assert_eq!(runner.until(|report| matches!(report, Report::Ended(_))), [Report::Ended(137)]);
        assert!(runs(engine));
        let script = llm_proxy::keeper::sweep(&plan.nonce, &plan.marker, llm_proxy::keeper::Sweep::Kill).unwrap();
        assert!(output(&mut shell_command(shell), script.expose()).ends_with(" left 0\n"));
        assert!(!runs(engine));
    });
}

#[test]
fn a_life_whose_engine_wipes_its_environment_is_still_seen() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["env", "-i", "sleep", "600"]);
        let mut runner = launched(shell, &plan, home.path());
        let count = || {
            let script = llm_proxy::keeper::sweep(&plan.nonce, &plan.marker, llm_proxy::keeper::Sweep::Count).unwrap();
            output(&mut shell_command(shell), script.expose())
        };
        runner.until(|report| matches!(report, Report::Engine { .. }));
        assert!(!count().ends_with(" left 0\n"), "its launcher and its keeper run");
        runner.say(ControlWord::StopNow);
        runner.until(|report| matches!(report, Report::Ended(_)));
        runner.stdin = None;
        runner.exit_code();
    });
}

#[test]
fn a_launcher_that_was_killed_is_spoken_for_at_the_next_attachment() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        killed_launcher(shell, &plan, home.path());
        let second = attached(shell, &plan, home.path(), 0);
        second.until(|report| *report == Report::Ended(255));
    });
}

/// As the host sees it, nothing happened to the first connection.
#[test]
fn a_runner_of_a_connection_that_was_lost_makes_way_for_the_next() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&[PYTHON, "-c", COUNT]);
        let mut first = launched(shell, &plan, home.path());
        let (engine, _) = first.until_listening();
        let mut second = attached(shell, &plan, home.path(), 0);
        assert_eq!(first.exit_code(), 0);
        second.until(|report| matches!(report, Report::Listening(_)));
        assert!(runs(engine), "the life goes on");
        second.say(ControlWord::StopNow);
        second.until(|report| matches!(report, Report::Ended(_)));
        second.stdin = None;
        second.exit_code();
        assert_eq!(processes_with_files_under(&home.path().display().to_string()).len(), 0);
    });
}

#[test]
fn a_launcher_on_another_machine_is_not_taken_for_dead() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        // Here nothing of it runs; it was started elsewhere.
        let pid = killed_launcher(shell, &plan, home.path());
        let folder = folder_of(&plan, home.path());
        std::fs::write(folder.join("life"), format!("{pid} login-of-old\n")).unwrap();
        let script = runner_of(&plan).attach(0).unwrap();
        let second = Running::text(&mut on_host(shell, home.path()), &plan, &in_shell(shell, &script));
        assert_eq!(second.next(), Report::Attached);
        assert_eq!(second.next(), Report::At { here: this_machine(), life: Some("login-of-old".to_owned()) });
        assert_eq!(second.next_within(Duration::from_millis(300)), None);
        // What it writes there is seen here.
        let ended = format!("{} ended 3\n", plan.nonce.as_str());
        std::fs::write(folder.join("reports"), ended).unwrap();
        second.until(|report| *report == Report::Ended(3));
    });
}

#[test]
fn a_launcher_that_waits_is_ended_from_outside() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        let runner = launch_by(shell, &plan, home.path(), &WAITS);
        assert!(matches!(runner.next(), Report::Launched { .. }));
        let end = runner_of(&plan).end_launcher().unwrap();
        eventually("the launcher is ended", || {
            output(&mut on_host(shell, home.path()), end.expose());
            std::fs::read_to_string(folder_of(&plan, home.path()).join("reports"))
                .is_ok_and(|text| text.contains(" ended "))
        });
    });
}

#[test]
fn the_launcher_gets_its_words_and_no_job_of_somebody_else() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["sh", "-c", "echo \"<$SLURM_JOB_ID|$SRUN_X|$SBATCH_X|$SALLOC_X|$SLURM_CONF|$ODD>\""]);
        let words = ["env", "ODD=it's a \"$HOME\""];
        let script = runner_of(&plan).launch(&words, &plan.marker, &plan.script().unwrap()).unwrap();
        let mut command = on_host(shell, home.path());
        for name in ["SLURM_JOB_ID", "SRUN_X", "SBATCH_X", "SALLOC_X"] {
            command.env(name, "5");
        }
        command.env("SLURM_CONF", "/etc/x.conf");
        let runner = told_to_go(&mut command, &plan, &in_shell(shell, &script));
        runner.until(|report| matches!(report, Report::Ended(0)));
        runner.until_log("<||||/etc/x.conf|it's a \"$HOME\">\n");
    });
}

#[test]
fn a_launcher_that_is_not_there_is_an_end_with_its_reason() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        let runner = launch_by(shell, &plan, home.path(), &["no-such-srun"]);
        runner.until(|report| *report == Report::Ended(127));
        runner.until_log("no-such-srun");
    });
}

#[test]
fn what_cannot_be_done_is_said() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        let attach = runner_of(&plan).attach(0).unwrap();
        let mut runner = Running::script(on_host(shell, home.path()), &plan, &attach);
        assert_eq!(runner.next(), Report::At { here: this_machine(), life: None });
        assert!(matches!(runner.next(), Report::Fault(RunnerFault::Missing(_))));
        assert_eq!(runner.exit_code(), 3);

        launched(shell, &plan, home.path()).until(|report| matches!(report, Report::Ended(_)));
        let mut runner = launch(shell, &plan, home.path());
        assert!(matches!(runner.next(), Report::Fault(RunnerFault::Exists(_))));
        assert_eq!(runner.exit_code(), 3);

        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut runner = launch(shell, &plan, &file);
        let Report::Fault(RunnerFault::Write(text)) = runner.next() else { panic!("no fault") };
        assert!(text.contains("ot a directory"), "{text}");
        assert_eq!(runner.exit_code(), 3);
    });
}

/// The word may be lost with its connection; or come late, when another connection has had its own launch.
#[test]
fn without_the_word_nothing_is_started_and_never_twice() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["sleep", "600"]);
        let script = runner_of(&plan).launch::<&str>(&[], &plan.marker, &plan.script().unwrap()).unwrap();
        let text = in_shell(shell, &script);
        let waits = || {
            let runner = Running::text(&mut on_host(shell, home.path()), &plan, &text);
            assert_eq!(runner.next(), Report::At { here: this_machine(), life: None });
            runner
        };
        for cut in ["", "g", "go", "alive 1\n"] {
            let mut lost = waits();
            lost.write(cut);
            lost.stdin = None;
            assert_eq!(lost.exit_code(), 0);
            assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "after {cut:?}");
        }
        let (mut late, mut first) = (waits(), waits());
        first.say(ControlWord::Go);
        first.until(|report| matches!(report, Report::Engine { .. }));
        late.say(ControlWord::Go);
        assert!(matches!(late.next(), Report::Fault(RunnerFault::Exists(_))));
        assert_eq!(late.exit_code(), 3);
        first.say(ControlWord::StopNow);
        first.until(|report| matches!(report, Report::Ended(_)));
    });
}

#[test]
fn noise_before_the_frames_is_passed_over() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        let script = runner_of(&plan).launch::<&str>(&[], &plan.marker, &plan.script().unwrap()).unwrap();
        let noisy = format!("echo Welcome; printf 'no end of line'; {}", in_shell(shell, &script));
        let runner = told_to_go(&mut on_host(shell, home.path()), &plan, &noisy);
        assert!(matches!(runner.next(), Report::Launched { .. }));
        runner.until(|report| *report == Report::Ended(0));
    });
}

#[test]
fn a_life_is_forgotten() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        launched(shell, &plan, home.path()).until(|report| matches!(report, Report::Ended(_)));
        let forget = runner_of(&plan).forget().unwrap();
        for _ in 0..2 {
            let printed = output(&mut on_host(shell, home.path()), forget.expose());
            assert_eq!(printed, format!("{} forgotten\n", plan.nonce.as_str()));
        }
        let lives = home.path().join(".local/state/llm-proxy/lives");
        assert_eq!(std::fs::read_dir(lives).unwrap().count(), 0);
    });
}

#[test]
fn the_log_is_bounded_and_its_offsets_go_on() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&[PYTHON, "-c", COUNT]);
        let script = runner_of(&plan).launch::<&str>(&[], &plan.marker, &plan.script().unwrap()).unwrap();
        let small = in_shell(shell, &script).replace("LOG_BLOCKS=131072", "LOG_BLOCKS=8");
        let mut runner = told_to_go(&mut on_host(shell, home.path()), &plan, &small);
        let mut number = 0;
        let mut sizes = Vec::new();
        runner.until_listening();
        let log = folder_of(&plan, home.path()).join("log");
        // Until it was emptied once.
        while sizes.last() >= sizes.iter().rev().nth(1) {
            number += 1;
            runner.say(ControlWord::Alive(number));
            assert_eq!(runner.next_within(Duration::from_millis(50)), None);
            sizes.push(std::fs::metadata(&log).unwrap().len());
            assert!(number < 1000, "never emptied: {sizes:?}");
        }
        // The follower goes on at the new top.
        let lines = runner.log().lines().count() + 100;
        eventually("more lines", || runner.log().lines().count() > lines);
        // From here on nobody empties it: the runner did so with the last word that it passed.
        drop_connection_only(runner);
        let base: u64 = std::fs::read_to_string(log.with_file_name("base")).unwrap().trim().parse().unwrap();
        assert!(base > 8 * 512, "{base}");
        let again = attached(shell, &plan, home.path(), 0);
        eventually("its log's begin", || again.log().contains('\n'));
        assert_eq!(log_of(&again, &plan).0, base);
    });
}
