//! A life that is a job by itself: `sbatch` takes it, and its host keeps nothing but its files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use llm_proxy::id::JobId;
use llm_proxy::keeper::{ControlWord, KeeperPlan, Report, Runner};

use super::runner::{drop_connection_only, folder_of, home, in_shell, on_host, runner_of, told_to_go};
use super::support::{LISTEN, PYTHON, Running, Shell, each_shell, eventually, plan, runs, signal};

/// Takes a job and says so in a site's own words, too. The test starts it when it likes.
const TAKES: &str = "echo 'Welcome to the 1st cluster'; cat >\"$HOME/job\"; printf '%s\\n' \"$@\" >\"$HOME/asked\"; \
                     echo '42;far'";

/// What a job has of Slurm.
const SURROUNDINGS: [(&str, &str); 2] = [("SLURM_JOB_ID", "42"), ("SLURMD_NODENAME", "node7")];

fn far(plan: &KeeperPlan) -> Runner {
    Runner { far: true, ..runner_of(plan) }
}

/// A life that was asked for by this `sbatch`, and what it said up to and with the first that fits.
fn submitted(shell: Shell, plan: &KeeperPlan, home: &Path, sbatch: &str) -> (Running, Vec<Report>) {
    let words = ["sh", "-c", sbatch, "sbatch", "--parsable"];
    let script = far(plan).submit(&words, &plan.marker, &plan.script().unwrap()).unwrap();
    let runner = told_to_go(&mut on_host(shell, home), plan, &in_shell(shell, &script));
    let reports = runner.until(|report| matches!(report, Report::Submitted { .. } | Report::Ended(_)));
    assert!(matches!(reports.first(), Some(Report::Launched { .. })), "{reports:?}");
    (runner, reports)
}

/// Runs what Slurm was given, as Slurm does: in a session of its own, with the job's variables.
fn start_job(shell: Shell, home: &Path) -> std::process::Child {
    let mut words = shell.split(' ').chain(["job"]);
    let mut command = std::process::Command::new("setsid");
    command.arg(words.next().unwrap()).args(words).current_dir(home).envs(SURROUNDINGS);
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

fn attached(shell: Shell, plan: &KeeperPlan, home: &Path, over: bool) -> Running {
    let script = if over { far(plan).attach_to_ended(0) } else { far(plan).attach(0) };
    let runner = Running::text(&mut on_host(shell, home), plan, &in_shell(shell, &script.unwrap()));
    assert_eq!(runner.next(), Report::Attached);
    assert!(matches!(runner.next(), Report::At { life: None, .. }), "it is no machine's");
    assert_eq!(runner.next(), Report::Submitted { job: Some(JobId(42)) });
    runner
}

#[test]
fn runs_from_submission_to_end_and_hears_words() {
    each_shell(|shell| {
        let home = home();
        let secret = format!("hf_{}", llm_proxy::id::LifeId::random().unwrap());
        let mut plan = plan(&[PYTHON, "-c", LISTEN]);
        plan.env = vec![("HF_TOKEN".to_owned(), secret.clone().into())];
        let (mut runner, reports) = submitted(shell, &plan, home.path(), TAKES);
        assert_eq!(reports.last(), Some(&Report::Submitted { job: Some(JobId(42)) }));
        let folder = folder_of(&plan, home.path());
        let given = std::fs::read_to_string(home.path().join("job")).unwrap();
        assert!(given.starts_with("#!") && !given.contains(&secret), "Slurm shows it: {given}");
        let asked = std::fs::read_to_string(home.path().join("asked")).unwrap();
        assert_eq!(asked, format!("--parsable\n--output={}/log\n", folder.display()));
        let script = folder.join("script");
        assert_eq!(std::fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o600);

        let mut job = start_job(shell, home.path());
        let Report::Hello { node, job: number, .. } = runner.next() else { panic!("no hello") };
        assert_eq!((node.as_str(), number), ("node7", Some(JobId(42))), "the job's variables are kept");
        assert!(!script.exists(), "it holds secrets, and was read");
        runner.until_listening();
        runner.until_log("engine up");
        runner.say(ControlWord::Stop);
        let reports = runner.until(|report| matches!(report, Report::Ended(_)));
        assert_eq!(reports, [Report::Stopping, Report::Exited(143), Report::Gone(143), Report::Ended(143)]);
        assert!(job.wait().unwrap().success());
        runner.stdin = None;
        assert_eq!(runner.exit_code(), 0);
    });
}

#[test]
fn leaves_nothing_on_the_host_and_is_found_again() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&[PYTHON, "-c", LISTEN]);
        let (first, reports) = submitted(shell, &plan, home.path(), TAKES);
        let Some(Report::Launched { pid }) = reports.first() else { panic!("{reports:?}") };
        drop_connection_only(first);
        eventually("who asked for it has ended", || !runs(*pid));

        // It waits; and that nobody here waits for it does not mean that it is dead.
        let waiting = attached(shell, &plan, home.path(), false);
        assert_eq!(waiting.next_within(Duration::from_millis(300)), None);
        drop_connection_only(waiting);
        let mut job = start_job(shell, home.path());
        let mut second = attached(shell, &plan, home.path(), false);
        second.until_listening();
        second.say(ControlWord::StopNow);
        let reports = second.until(|report| matches!(report, Report::Ended(_)));
        assert_eq!(reports.last(), Some(&Report::Ended(137)));
        job.wait().unwrap();
    });
}

#[test]
fn that_was_killed_is_told_of_once_it_is_seen_to_be_over() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&[PYTHON, "-c", LISTEN]);
        let (first, _) = submitted(shell, &plan, home.path(), TAKES);
        let mut job = start_job(shell, home.path());
        first.until_listening();
        signal("KILL", -i64::from(job.id()));
        job.wait().unwrap();
        drop_connection_only(first);
        for _ in 0..2 {
            let told = attached(shell, &plan, home.path(), true);
            let reports = told.until(|report| matches!(report, Report::Ended(_)));
            assert_eq!(reports.last(), Some(&Report::Ended(255)));
            assert_eq!(told.next_within(Duration::from_millis(100)), None, "once");
        }
    });
}

#[test]
fn that_slurm_does_not_take_is_over_with_its_words_in_the_log() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        let refuses = "echo 'sbatch: error: Invalid account' >&2; cat >/dev/null; exit 3";
        let (runner, reports) = submitted(shell, &plan, home.path(), refuses);
        assert_eq!(reports.last(), Some(&Report::Ended(3)));
        runner.until_log("Invalid account");
        assert!(!folder_of(&plan, home.path()).join("script").exists());
    });
}

#[test]
fn that_slurm_starts_anew_ends_at_once() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        let (runner, _) = submitted(shell, &plan, home.path(), TAKES);
        assert!(start_job(shell, home.path()).wait().unwrap().success());
        runner.until(|report| matches!(report, Report::Ended(0)));
        assert!(!start_job(shell, home.path()).wait().unwrap().success());
        assert_eq!(runner.next_within(Duration::from_millis(100)), None, "another life has begun");
    });
}

/// A folder with every kind of character that means something to a shell, or to Slurm in a file's name.
#[test]
fn finds_its_folder_whatever_it_is_called() {
    each_shell(|shell| {
        let home = home();
        let odd = home.path().join("it's a %j \"$HOME\" \\ & home");
        std::fs::create_dir(&odd).unwrap();
        let plan = plan(&["true"]);
        let (runner, _) = submitted(shell, &plan, &odd, TAKES);
        let asked = std::fs::read_to_string(odd.join("asked")).unwrap();
        assert!(asked.contains("it's a %%j \"$HOME\" \\ & home/"), "{asked}");
        assert!(start_job(shell, &odd).wait().unwrap().success());
        runner.until(|report| matches!(report, Report::Ended(0)));
    });
}
