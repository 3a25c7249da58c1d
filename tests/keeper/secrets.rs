//! Secrets travel on standard input and in environments: in no argument, and in no file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use llm_proxy::keeper::{ControlWord, Report};

use super::runner::{home, launched};
use super::support::{LISTEN, PYTHON, each_shell, plan};

fn secrets_in_command_lines(secret: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(secret)).collect()
}

fn secrets_in_files(folder: &Path, secret: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let holding = files.filter(|file| {
        if file.is_dir() {
            return !secrets_in_files(file, secret).is_empty();
        }
        String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(secret)
    });
    holding.map(|file| file.display().to_string()).collect()
}

#[test]
fn are_in_no_command_line_and_in_no_file() {
    each_shell(|shell| {
        let home = home();
        // Spelt in two parts, or this test's own command line could be found where a harness gives it the test's text.
        let secret = format!("hf_{}", llm_proxy::id::LifeId::random().unwrap());
        let mut plan = plan(&[PYTHON, "-c", LISTEN]);
        plan.env = vec![("HF_TOKEN".to_owned(), secret.clone().into())];
        plan.prelude = Some(format!("sleep 0.3; OTHER={secret}; sleep 0.3; export OTHER"));
        let mut runner = launched(shell, &plan, home.path());
        let mut engine = None;
        loop {
            let report = runner.next_within(std::time::Duration::from_millis(1));
            assert_eq!(secrets_in_command_lines(&secret), Vec::<String>::new());
            assert_eq!(secrets_in_files(home.path(), &secret), Vec::<String>::new());
            match report {
                Some(Report::Engine { pid }) => engine = Some(pid),
                Some(Report::Listening(_)) => break,
                Some(_) | None => {}
            }
        }
        let environ = std::fs::read(format!("/proc/{}/environ", engine.unwrap())).unwrap();
        let environ = String::from_utf8(environ).unwrap();
        assert!(environ.split('\0').any(|line| line == format!("HF_TOKEN={secret}")), "{environ}");
        assert!(environ.split('\0').any(|line| line == format!("OTHER={secret}")), "{environ}");
        runner.say(ControlWord::Stop);
        runner.until_gone();
    });
}

#[test]
fn the_folder_is_for_its_owner_alone() {
    each_shell(|shell| {
        let home = home();
        let plan = plan(&["true"]);
        let runner = launched(shell, &plan, home.path());
        runner.until(|report| matches!(report, Report::Ended(_)));
        let lives = home.path().join(".local/state/llm-proxy/lives");
        let mut folders = std::fs::read_dir(lives).unwrap();
        let folder = folders.next().unwrap().unwrap().path();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    });
}
