//! The smaller scripts, and what a script that was cut short does.

use std::process::Command;

use llm_proxy::id::InstanceName;
use llm_proxy::keeper::{Folder, Nonce, Report, Runner, Sweep, command, framed, sweep};

use super::runner::home;
use super::support::{Shell, each_shell, eventually, output, plan, runs, shell_command};

/// Each cut on its own would take minutes: every 53rd byte, and each of the last.
fn run_cut(shell: Shell, text: &str, whole: impl Fn(&mut Command) -> &mut Command) {
    let end = text.trim_end().len();
    for cut in (0..end - 40).step_by(53).chain(end - 40..end) {
        let Some(part) = text.get(..cut) else { continue };
        let mut command = shell_command(shell);
        command.stderr(std::process::Stdio::null());
        assert_eq!(output(whole(&mut command), part), "", "cut at {cut} of {}", text.len());
    }
}

#[test]
fn a_script_cut_short_runs_nothing() {
    each_shell(|shell| {
        let home = home();
        let trace = home.path().join("trace");
        let plan = plan(&["touch", trace.to_str().unwrap()]);
        let keeper = plan.script().unwrap();
        run_cut(shell, keeper.expose(), |command| command);
        let name = InstanceName::from_text("qwen").unwrap();
        let runner =
            Runner { nonce: plan.nonce.clone(), folder: Folder::new(&name, &plan.marker).unwrap(), far: false };
        let launch = runner.launch(&["env"], &plan.marker, &keeper).unwrap();
        run_cut(shell, launch.expose(), |command| command.env("HOME", home.path()));
        let asking = command(&plan.nonce, &["touch", trace.to_str().unwrap()]).unwrap();
        run_cut(shell, asking.expose(), |command| command);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_command_is_framed_with_its_code() {
    each_shell(|shell| {
        let nonce = Nonce::random().unwrap();
        let run = |words: &[&str]| {
            let script = command(&nonce, words).unwrap();
            framed(&nonce, &output(shell_command(shell).env("SLURM_CONF", "/x"), script.expose())).unwrap()
        };
        let said = run(&["printf", "%s|", "a b", "it's", "$HOME", ""]);
        assert_eq!((said.output.as_str(), said.code), ("a b|it's|$HOME||", 0));
        assert_eq!(run(&["sh", "-c", "echo out; exit 3"]).code, 3);
        assert_eq!(run(&["cat"]).output, "", "it must not read our script");
        assert_eq!(run(&["sh", "-c", "echo $SLURM_CONF"]).output, "/x\n");
    });
}

#[test]
fn a_sweep_counts_and_ends_what_carries_the_marker() {
    each_shell(|shell| {
        let plan = plan(&[]);
        let life = |marker: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", "trap '' TERM; sleep 600 & wait"]).env("LLM_PROXY_LIFE", marker);
            command.spawn().unwrap()
        };
        let (mut ours, mut other) = (life(plan.marker.as_str()), life("0000000000000000"));
        let swept = |what| {
            let script = sweep(&plan.nonce, &plan.marker, what).unwrap();
            let printed = output(&mut shell_command(shell), script.expose());
            let mut reports = printed.lines().filter_map(|line| Report::parse(&plan.nonce, line));
            reports.find(|report| matches!(report, Report::Left(_)))
        };
        eventually("both processes of the life", || swept(Sweep::Count) == Some(Report::Left(2)));
        assert_eq!(swept(Sweep::Kill), Some(Report::Left(0)));
        assert_eq!(swept(Sweep::Count), Some(Report::Left(0)));
        assert!(runs(other.id()), "another life's engine was ended");
        ours.wait().unwrap();
        let script = format!("kill -KILL $(cat /proc/{0}/task/{0}/children) {0}", other.id());
        output(&mut shell_command(shell), &script);
        other.wait().unwrap();
    });
}
