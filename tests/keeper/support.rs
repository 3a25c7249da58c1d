//! A keeper or a runner in a real shell, and what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use llm_proxy::host::Bind;
use llm_proxy::host::quote::Word;
use llm_proxy::id::LifeId;
use llm_proxy::keeper::{Chdir, ControlWord, KeeperPlan, Nonce, Report, Script, Seen, Sweep, sweep};

/// Long enough for a busy machine; nothing waits this long unless it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A shell as the words that start it.
pub(crate) type Shell = &'static str;

/// Debian's own: it starts fast and every user may run it.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Listens on `$HOST:$PORT` for ever.
pub(crate) const LISTEN: &str = "
import os, socket, time
family = socket.AF_INET6 if ':' in os.environ['HOST'] else socket.AF_INET
s = socket.socket(family)
s.bind((os.environ['HOST'], int(os.environ['PORT'])))
s.listen()
print('engine up', flush=True)
time.sleep(600)
";

/// Runs a test in each shell, all at once.
pub(crate) fn each_shell(test: fn(Shell)) {
    std::thread::scope(|scope| {
        let running: Vec<_> = ["dash", "bash", "bash --posix", "busybox sh"]
            .into_iter()
            .map(|shell| {
                scope.spawn(move || {
                    catch_unwind(AssertUnwindSafe(|| test(shell))).inspect_err(|_| {
                        // Read beside the panic's own message.
                        std::io::stderr().write_all(format!("the above was in `{shell}`\n").as_bytes()).unwrap();
                    })
                })
            })
            .collect();
        for thread in running {
            if let Err(panic) = thread.join().unwrap() {
                resume_unwind(panic);
            }
        }
    });
}

pub(crate) fn plan(argv: &[&str]) -> KeeperPlan {
    KeeperPlan {
        profiled: None,
        nonce: Nonce::random().unwrap(),
        marker: LifeId::random().unwrap(),
        bind: Bind::Port { host: "127.0.0.1".to_owned(), port: None },
        lease: PATIENCE,
        stop_timeout: Duration::from_secs(20),
        chdir: Chdir::Folder("/".to_owned()),
        prelude: None,
        login_shell: false,
        env: Vec::new(),
        argv: argv.iter().map(|word| Word::with_port(word)).collect(),
        model: None,
        asks_hub: false,
    }
}

/// A shell that runs one of our scripts.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    nonce: Nonce,
    marker: LifeId,
    lines: Receiver<String>,
    log: Arc<Mutex<Vec<u8>>>,
    account: Mutex<Vec<Seen>>,
}

impl Running {
    /// The keeper itself.
    pub(crate) fn keeper(shell: Shell, plan: &KeeperPlan) -> Self {
        Self::script(shell_command(shell), plan, &plan.script().unwrap())
    }

    /// Another script of the same life.
    pub(crate) fn script(mut command: Command, plan: &KeeperPlan, script: &Script) -> Self {
        Self::text(&mut command, plan, script.expose())
    }

    pub(crate) fn text(command: &mut Command, plan: &KeeperPlan, text: &str) -> Self {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        let (mut stderr, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(buffer.get(..count).unwrap());
            }
        });
        Self {
            child,
            stdin: Some(stdin),
            nonce: plan.nonce.clone(),
            marker: plan.marker.clone(),
            lines,
            log,
            account: Mutex::default(),
        }
    }

    /// The next report; lines that are none are noise.
    pub(crate) fn next(&self) -> Report {
        self.next_within(PATIENCE).unwrap_or_else(|| panic!("no report; the log: {}", self.log()))
    }

    /// Nothing where none came in time.
    pub(crate) fn next_within(&self, time: Duration) -> Option<Report> {
        let deadline = Instant::now() + time;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    match Report::parse(&self.nonce, &line) {
                        // A machine has as many keys as it has, and what is seen on it in the end is kept apart.
                        None | Some(Report::HostKey(_)) => {}
                        Some(Report::Account(seen)) => self.account.lock().unwrap().push(seen),
                        Some(report) => return Some(report),
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("it ended; the log: {}", self.log()),
            }
        }
    }

    /// The reports up to the first that fits, which is the last.
    pub(crate) fn until(&self, fits: fn(&Report) -> bool) -> Vec<Report> {
        let mut reports = Vec::new();
        loop {
            let report = self.next();
            let last = fits(&report);
            reports.push(report);
            if last {
                return reports;
            }
        }
    }

    pub(crate) fn until_gone(&self) -> Vec<Report> {
        self.until(|report| matches!(report, Report::Gone(_)))
    }

    /// The engine's process, once it listens.
    pub(crate) fn until_listening(&self) -> (u32, u16) {
        let reports = self.until(|report| matches!(report, Report::Listening(_)));
        let Some(Report::Listening(port)) = reports.last() else { panic!("{reports:?}") };
        let engine = reports.iter().find_map(|report| match report {
            Report::Engine { pid } => Some(*pid),
            _ => None,
        });
        (engine.unwrap(), *port)
    }

    pub(crate) fn say(&mut self, word: ControlWord) {
        self.write(&word.line());
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// What was seen at the end, as far as it was told by now.
    pub(crate) fn account(&self) -> Vec<Seen> {
        self.account.lock().unwrap().clone()
    }

    /// All of standard error so far, without the marks of what came from the engine's standard output.
    pub(crate) fn log(&self) -> String {
        self.marked_log().replace('\u{1}', "")
    }

    /// All of standard error so far, as it is.
    pub(crate) fn marked_log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// Waits for a text in the log.
    pub(crate) fn until_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    /// The shell's own exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    /// A test that failed leaves nothing behind.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        let script = sweep(&self.nonce, &self.marker, Sweep::Kill).unwrap();
        drop(output(&mut shell_command("dash"), script.expose()));
    }
}

/// `shell -s`.
pub(crate) fn shell_command(shell: Shell) -> Command {
    let mut words = shell.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg("-s");
    command
}

/// What a shell prints for a script that needs no words.
pub(crate) fn output(command: &mut Command, script: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // A script that is cut may end its shell before it is read.
    drop(child.stdin.take().unwrap().write_all(script.as_bytes()));
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// Looks again and again until it is so.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Whether a process is there and is no zombie.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

/// Whether a process leads a group: right after its start it is still in that of its parent.
pub(crate) fn leads_a_group(pid: u32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(2)) == Some(pid.to_string().as_str())
}

/// A signal to one process, or to a group where the number is negative.
pub(crate) fn signal(name: &str, pid: i64) {
    let status = Command::new("kill").args(["-s", name, "--", &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {pid}");
}

/// The number in a file that an engine writes.
pub(crate) fn pid_in(file: &Path) -> u32 {
    let read = || std::fs::read_to_string(file).ok()?.strip_suffix('\n')?.trim().parse().ok();
    eventually("a process id in its file", || read().is_some());
    read().unwrap()
}
