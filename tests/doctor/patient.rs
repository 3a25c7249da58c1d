//! Where the doctor is called, and what it finds there.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Cluster;

/// A user's place: this machine, or the laptop of a cluster.
pub(crate) struct Patient<'a> {
    cluster: Option<&'a Cluster>,
    home: TempDir,
}

/// What the doctor found.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    code: Option<i32>,
    findings: Vec<Value>,
    words: String,
}

impl<'a> Patient<'a> {
    /// On this machine.
    pub(crate) fn here() -> Self {
        Self { cluster: None, home: tempfile::tempdir().expect("a temporary folder") }
    }

    /// On the laptop of a cluster.
    pub(crate) fn on_laptop(cluster: &'a Cluster) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(home.path().join(".ssh")).expect("a folder in it");
        Self { cluster: Some(cluster), home }
    }

    /// The user's home.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command of the user's.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match self.cluster {
            None => Command::new(program),
            Some(cluster) => cluster.laptop_command(program),
        };
        let binary = Path::new(env!("CARGO_BIN_EXE_llm-proxy")).parent().expect("a folder");
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
        command.env_clear().env("PATH", path).env("HOME", self.home()).env("LANG", "C.UTF-8");
        command.current_dir(self.home()).stdin(Stdio::null());
        command
    }

    /// Has the doctor look with these arguments.
    pub(crate) fn examine(&self, words: &[&str]) -> Diagnosis {
        let binary = env!("CARGO_BIN_EXE_llm-proxy");
        Diagnosis::read(&self.command(binary).args(["doctor", "--json"]).args(words).output().expect("llm-proxy runs"))
    }

    /// Applies a remedy as it was printed.
    pub(crate) fn apply(&self, line: &str) -> String {
        self.apply_with(line, &[])
    }

    /// The same with more in the environment.
    pub(crate) fn apply_with(&self, line: &str, environment: &[(&str, &str)]) -> String {
        let mut command = self.command("/bin/sh");
        let output = command.args(["-c", line]).envs(environment.iter().copied()).output().expect("/bin/sh runs");
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Applies a remedy that is the doctor's own line with better arguments: all must be well with those.
    pub(crate) fn call_again(&self, line: &str) {
        assert!(line.starts_with("llm-proxy doctor "), "{line}");
        let output = self.command("/bin/sh").args(["-c", line]).output().expect("/bin/sh runs");
        Diagnosis::read(&output).is_well();
    }
}

impl Diagnosis {
    /// Reads what the doctor printed for programs.
    pub(crate) fn read(output: &Output) -> Self {
        let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let findings = serde_json::from_slice(&output.stdout);
        let findings = findings.unwrap_or_else(|error| panic!("{error}: {words}"));
        Self { code: output.status.code(), findings, words }
    }

    /// The checks of this name that came out so.
    pub(crate) fn found(&self, check: &str, level: &str) -> Option<&Value> {
        let is = |finding: &&Value| part(finding, "check") == check && part(finding, "level") == level;
        self.findings.iter().find(is)
    }

    /// Nothing must be mended.
    pub(crate) fn is_well(&self) {
        assert_eq!(self.code, Some(0), "{}", self.words);
    }

    /// This check is well, whatever else is not.
    pub(crate) fn is_ok(&self, check: &str) -> String {
        let found = self.found(check, "ok").unwrap_or_else(|| panic!("{check} is not ok: {}", self.words));
        part(found, "seen").to_owned()
    }

    /// This check must be mended, what was seen has these words in it, and nothing else is at fault. Returns what to paste.
    pub(crate) fn fault(&self, check: &str, words: &str) -> String {
        self.faults_are(&[check]);
        self.one_fault(check, words)
    }

    /// These checks must be mended, and no others.
    pub(crate) fn faults_are(&self, checks: &[&str]) {
        assert_eq!(self.code, Some(3), "{}", self.words);
        let faults = self.findings.iter().filter(|finding| part(finding, "level") == "fail");
        let faults: Vec<&str> = faults.map(|finding| part(finding, "check")).collect();
        assert_eq!(faults, checks, "{}", self.words);
    }

    /// This check must be mended, and what was seen has these words in it. Returns what to paste.
    pub(crate) fn one_fault(&self, check: &str, words: &str) -> String {
        let found = self.found(check, "fail").unwrap_or_else(|| panic!("{check} is no fault: {}", self.words));
        assert!(part(found, "seen").contains(words), "{words:?} is not in {found}");
        part(found, "remedy").to_owned()
    }

    /// A warning of this check has these words. Returns what to paste.
    pub(crate) fn warning(&self, check: &str, words: &str) -> String {
        let is = |finding: &&Value| part(finding, "check") == check && part(finding, "level") == "warn";
        let found = self.findings.iter().filter(is).find(|finding| part(finding, "seen").contains(words));
        let found = found.unwrap_or_else(|| panic!("no warning of {check} says {words:?}: {}", self.words));
        part(found, "remedy").to_owned()
    }

    /// This check was not looked at, and it is said why.
    pub(crate) fn skipped(&self, check: &str) {
        let found = self.found(check, "skipped").unwrap_or_else(|| panic!("{check} was not skipped: {}", self.words));
        assert!(!part(found, "seen").is_empty());
    }

    /// What is advised about the first fault.
    pub(crate) fn advice(&self) -> &str {
        let fault = self.findings.iter().find(|finding| part(finding, "level") == "fail").expect("a fault");
        part(fault, "advice")
    }
}

fn part<'v>(finding: &'v Value, name: &str) -> &'v str {
    finding.get(name).and_then(Value::as_str).unwrap_or_default()
}
