//! As somebody would who comes for the first time: from an empty home to a first answer, with nothing but what the doctor
//! says.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::pty::Pty;
use crate::support::scene::{soon, wait_until_nothing_is_left};
use crate::support::{ChildGuard, Cluster, HostName};

const PASSWORD: &str = "cormorant";

/// What a newcomer types first, and again after each change.
const PROMPT: &str = "newcomer% ";

/// A job has to start, and its engine.
const FIRST_ANSWER: Duration = Duration::from_secs(90);

/// More than a newcomer should need.
const MOST_VISITS: usize = 5;

/// Somebody at the laptop of a cluster that knows the password, and no more.
struct Newcomer {
    cluster: Cluster,
    home: TempDir,
}

impl Newcomer {
    fn arrive() -> Self {
        let options = ["PasswordAuthentication yes", "UsePAM yes"];
        let cluster = options.iter().fold(Cluster::builder(), |builder, option| builder.sshd_option(option));
        let cluster = cluster.password(PASSWORD).up();
        // Nobody has been here: neither a key that is let in, nor one of the cluster's own.
        fs::remove_dir_all(cluster.home().join(".ssh")).expect("the user's folder");
        cluster.put(Path::new(env!("CARGO_BIN_EXE_llm-proxy")));
        Self { cluster, home: tempfile::tempdir().expect("an empty home") }
    }

    /// A program on the laptop. OpenSSH asks the system for the home of who runs it, so that is the one that is empty.
    fn command(&self, words: &[&str]) -> Command {
        let root =
            nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("a list of users").expect("us").dir;
        let mut command = self.cluster.laptop_command("/bin/sh");
        let enter =
            "mount --bind \"$1\" \"$2\" && cd \"$2\" && HOME=$2 && shift 2 && exec env -i HOME=\"$HOME\" \"$@\"";
        command.args(["-c", enter, "sh"]).args([self.home.path(), &root]);
        let path = format!("PATH={}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.cluster.share().display());
        command.args([path.as_str(), "LANG=C.UTF-8", "TERM=xterm", "SHELL=/bin/sh"]).args(words);
        command
    }

    /// A line that is pasted at a prompt. What a person would type where `ssh` asks is the password.
    fn paste(&self, line: &str) -> Output {
        let answer = self.home.path().join(".answer");
        fs::write(&answer, format!("#!/bin/sh\necho {PASSWORD}\n")).expect("a script");
        fs::set_permissions(&answer, fs::Permissions::from_mode(0o700)).expect("a script");
        let words = ["SSH_ASKPASS=./.answer", "SSH_ASKPASS_REQUIRE=force", "timeout", "60", "/bin/sh", "-c", line];
        let output = self.command(&words).stdin(std::process::Stdio::null()).output().expect("a shell");
        fs::remove_file(answer).expect("the script");
        output
    }

    /// What a newcomer wants to run.
    fn wish(&self) -> String {
        let (user, engine) = (self.cluster.user(), self.cluster.engine());
        format!("llm-proxy doctor --login {user}@login --use-slurm -- {} --model test-model", engine.display())
    }

    fn nobody_was_here(&self) -> bool {
        fs::read_dir(self.home.path()).expect("a home").next().is_none()
    }
}

/// The lines that stand alone, between empty ones.
fn lines_to_paste(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let alone = |three: &&[&str]| matches!(three, ["", line, ""] if !line.is_empty());
    lines.windows(3).filter(alone).filter_map(|three| three.get(1)).map(|line| (*line).to_owned()).collect()
}

/// What a terminal shows of a text.
fn shown(text: &str) -> String {
    let text = text.replace('\r', "");
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| {
        all + piece.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest)
    })
}

fn a_first_answer(newcomer: &Newcomer, said: &str) {
    let curl = said.lines().find_map(|line| line.split_once("llm-proxy: try: ")).expect("a line to try").1;
    let answer = newcomer.paste(curl);
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.contains("\"content\"") && answer.ends_with("data: [DONE]\n\n"), "{curl}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_the_printed_lines_lead_to_a_first_answer() {
    let newcomer = Newcomer::arrive();
    assert!(newcomer.nobody_was_here());
    let (mut visits, mut told) = (0, String::new());
    let serve = loop {
        visits += 1;
        assert!(visits <= MOST_VISITS, "no way in after so many visits: {told}");
        let visit = newcomer.paste(&newcomer.wish());
        told = String::from_utf8_lossy(&visit.stdout).into_owned();
        let lines = lines_to_paste(&told);
        if visit.status.success() {
            assert!(told.ends_with("all is well\n"), "{told}");
            break lines.last().expect("what to do next").clone();
        }
        assert_eq!(visit.status.code(), Some(3), "{told}{}", String::from_utf8_lossy(&visit.stderr));
        assert!(!lines.is_empty() && told.contains("look once more with the same line"), "{told}");
        for line in lines {
            let pasted = newcomer.paste(&line);
            assert!(pasted.status.success(), "{line}: {pasted:?}");
        }
    };
    assert!(visits <= 3, "a key and the server's; to be let in; and all is well: {visits}");
    assert!(serve.starts_with("llm-proxy serve --login "), "{serve}");

    let mut proxy = ChildGuard::start("llm-proxy", &mut newcomer.command(&["/bin/sh", "-c", &format!("exec {serve}")]));
    proxy.stderr().wait_for("try: curl", soon()).await;
    a_first_answer(&newcomer, &proxy.stderr().so_far().join("\n"));
    proxy.signal("INT");
    assert!(proxy.wait(FIRST_ANSWER).await.success());
    wait_until_nothing_is_left(&newcomer.cluster, 30).await;
}

/// A shell at a terminal, as the newcomer sees it.
fn terminal(newcomer: &Newcomer) -> Pty {
    let (prompt, command) = (format!("PS1={PROMPT}"), newcomer.command(&[]));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(OsString::from);
    let words = words.chain([prompt, "/bin/sh".to_owned(), "-i".to_owned()].map(OsString::from));
    let words: Vec<String> = words.map(|word| word.into_string().expect("plain words")).collect();
    let line = shlex::try_join(words.iter().map(String::as_str)).expect("a line");
    Pty::start(&format!("exec {line}"), newcomer.home.path(), &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_saying_yes_leads_to_a_first_answer() {
    let newcomer = Newcomer::arrive();
    let mut terminal = terminal(&newcomer);
    terminal.wait_for(PROMPT, soon()).await;
    assert!(newcomer.nobody_was_here());
    terminal.type_keys(&format!("{}\n", newcomer.wish()));

    // What is asked, in this order, and what somebody answers who compares and then agrees.
    let consent = "? (yes/no) ";
    let asked = ["ssh-keygen -t ed25519", "SHA256:", "authorized_keys on the host"];
    let mut questions = 0;
    for (at, words) in asked.iter().enumerate() {
        questions += 1;
        let text = shown(&terminal.wait_for_times(consent, questions, soon()).await);
        let last = text.rsplit(consent).nth(1).expect("a question");
        assert!(last.contains(words), "question {questions} is not about {words:?}: {last}");
        terminal.type_keys("yes\n");
        if at == 1 {
            terminal.wait_for("assword: ", soon()).await;
            terminal.type_keys(&format!("{PASSWORD}\n"));
        }
    }
    let text = terminal.wait_for("own key: a new connection was let in by", soon()).await;
    assert!(!text.contains(PASSWORD), "{text}");
    // A short name for the host is a convenience.
    let text = shown(&terminal.wait_for_times(consent, questions + 1, soon()).await);
    assert!(text.rsplit(consent).nth(1).is_some_and(|last| last.contains("Host ")), "{text}");
    terminal.type_keys("yes\n");
    let text = shown(&terminal.wait_for_times(consent, questions + 2, soon()).await);
    let serve = lines_to_paste(&text).into_iter().next_back().expect("what to do next");
    assert!(serve.starts_with("llm-proxy serve --login "), "{serve}");
    assert!(text.rsplit(consent).nth(1).is_some_and(|last| last.contains("can write llm-proxy.yaml")), "{text}");
    terminal.type_keys("yes\n");
    let text = shown(&terminal.wait_for_times(PROMPT, 2, soon()).await);
    assert!(text.contains("all is well"), "{text}");

    let serve = lines_to_paste(&text).into_iter().next_back().expect("what to do next");
    assert_eq!(serve, "llm-proxy serve --config llm-proxy.yaml --name test-model");
    terminal.type_keys(&format!("{serve}\n"));
    let text = shown(&terminal.wait_for("try: curl", soon()).await);
    a_first_answer(&newcomer, &text);
    terminal.type_keys("\u{3}");
    terminal.wait_for_times(PROMPT, 3, FIRST_ANSWER).await;
    wait_until_nothing_is_left(&newcomer.cluster, 30).await;
    let entry = fs::read_to_string(newcomer.home.path().join(".ssh/config")).expect("an entry");
    assert!(entry.contains(&format!("User {}", newcomer.cluster.user())), "{entry}");
    let keys = newcomer
        .cluster
        .on(HostName::Login, &["cat", &newcomer.cluster.home().join(".ssh/authorized_keys").display().to_string()]);
    assert_eq!(String::from_utf8_lossy(&keys.stdout).lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_no_is_given_the_line() {
    let newcomer = Newcomer::arrive();
    let mut terminal = terminal(&newcomer);
    terminal.wait_for(PROMPT, soon()).await;
    terminal.type_keys(&format!("{}\n", newcomer.wish()));
    for question in 1..=2 {
        terminal.wait_for_times("? (yes/no) ", question, soon()).await;
        terminal.type_keys("yes\n");
    }
    terminal.wait_for("assword: ", soon()).await;
    terminal.type_keys(&format!("{PASSWORD}\n"));
    for question in 3..=5 {
        terminal.wait_for_times("? (yes/no) ", question, soon()).await;
        terminal.type_keys("no\n");
    }
    let text = shown(&terminal.wait_for_times(PROMPT, 2, soon()).await);
    assert!(text.contains("nothing must be mended; "), "{text}");
    let line = lines_to_paste(&text).into_iter().find(|line| line.starts_with("ssh-copy-id ")).expect("a line");
    let pasted = newcomer.paste(&line);
    assert!(pasted.status.success(), "{line}: {pasted:?}");
    let again = newcomer.paste(&newcomer.wish());
    assert!(String::from_utf8_lossy(&again.stdout).ends_with("all is well\n"), "{again:?}");
}

/// A key is needed by nobody who has a password and stays with it.
#[tokio::test(flavor = "multi_thread")]
async fn who_stays_with_the_password_is_told_what_to_do_next() {
    let newcomer = Newcomer::arrive();
    let mut terminal = terminal(&newcomer);
    terminal.wait_for(PROMPT, soon()).await;
    terminal.type_keys(&format!("{}\n", newcomer.wish()));
    for (question, answer) in [(1, "no\n"), (2, "yes\n")] {
        terminal.wait_for_times("? (yes/no) ", question, soon()).await;
        terminal.type_keys(answer);
    }
    terminal.wait_for("assword: ", soon()).await;
    terminal.type_keys(&format!("{PASSWORD}\n"));
    // A name for the host is offered, and a configuration file.
    for question in 3..=4 {
        terminal.wait_for_times("? (yes/no) ", question, soon()).await;
        terminal.type_keys("no\n");
    }
    let text = shown(&terminal.wait_for_times(PROMPT, 2, soon()).await);
    assert!(text.contains("there is no key") && text.contains("nothing must be mended; "), "{text}");
    let next = lines_to_paste(&text).into_iter().next_back().expect("what to do next");
    assert!(next.starts_with("llm-proxy serve --login "), "{next}");
}
