//! Whether the command, and what engines are run by, is on the PATH that the engine will have.

use std::fmt::Write as _;

use secrecy::ExposeSecret as _;

use super::ask::{AskError, Said, ask};
use super::line::shell_line;
use super::{Finding, Subject};
use crate::host::{Host, Shell};
use crate::keeper::says_places;

const COMMAND: &str = "command";
const PROGRAMS: &str = "programs";

/// What engines are usually run by.
pub(super) const USUAL: [&str; 3] = ["uv", "vllm", "python3"];

/// The lines that make an engine's surroundings: its folder, its variables that say where things are, its prelude.
///
/// # Errors
/// One of them cannot be written.
pub(super) fn surroundings(subject: &Subject) -> Result<String, String> {
    let plan = &subject.plan;
    let mut text = plan.chdir.line().map_err(|error| error.to_string())?;
    for (name, value) in plan.env.iter().filter(|(name, _)| says_places(name)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "export {}", shell_line(&[format!("{name}={}", value.expose_secret())]));
    }
    if let Some(prelude) = &plan.prelude {
        let _ = writeln!(text, "{{ {prelude}\n}} >/dev/null");
    }
    Ok(text)
}

/// Looks for them.
pub(super) async fn check(subject: &Subject, host: &Host) -> Vec<Finding> {
    let check = if subject.has_command { COMMAND } else { PROGRAMS };
    let around = match surroundings(subject) {
        Ok(around) => around,
        Err(problem) => return vec![Finding::fail(check, problem)],
    };
    let program = program(subject);
    let script = format!("{around}\n{}", look_for(program.as_deref()));
    let said = match ask(host, subject.shell, &script).await {
        Ok(said) => said,
        Err(AskError::BrokeOff { words }) => {
            return vec![Finding::fail(check, format!("--chdir or --prelude ended the shell: {words}"))];
        }
        Err(error) => return vec![Finding::fail(check, error.to_string())],
    };
    if said.code != 0 && said.fact("looked").is_none() {
        return vec![
            Finding::fail(check, format!("--chdir or --prelude failed: {}", said.stderr)).advice("correct it"),
        ];
    }
    let mut findings = vec![usual(PROGRAMS, subject.has_command, |name| said.fact(name))];
    if let Some(program) = program {
        findings.push(command(subject, host, &around, &program, &said).await);
    }
    findings
}

/// The command's first word, if there is a command.
pub(super) fn program(subject: &Subject) -> Option<String> {
    subject.plan.argv.first().filter(|_| subject.has_command).map(crate::host::quote::Word::as_written)
}

/// A script that says where each is.
fn look_for(program: Option<&str>) -> String {
    let mut text = String::new();
    for name in USUAL {
        let _ = writeln!(text, "echo \"{name}=$(command -v {name})\"");
    }
    if let Some(program) = program {
        let word = shell_line(&[program]);
        let _ = writeln!(text, "echo \"command=$(command -v {word})\"");
        // Where people put what is on no PATH.
        let _ = writeln!(
            text,
            "for folder in \"$HOME/.local/bin\" \"$HOME/bin\" \"$HOME/.cargo/bin\" .venv/bin \"$HOME/.venv/bin\" \\\n  \
             \"$HOME/miniconda3/bin\" \"$HOME/miniforge3/bin\" /opt/conda/bin /usr/local/bin; do\n  \
             [ ! -x \"$folder/\"{word} ] || echo \"elsewhere=$(cd \"$folder\" && pwd)/\"{word}\ndone"
        );
    }
    text.push_str("echo looked=yes\n");
    text
}

/// What is found of [`USUAL`], by where each is.
pub(super) fn usual<'s>(check: &'static str, has_command: bool, path: impl Fn(&str) -> Option<&'s str>) -> Finding {
    let words = USUAL.map(|name| match path(name) {
        Some(path) => format!("{name} {path}"),
        None => format!("no {name}"),
    });
    let seen = words.join(", ");
    let enough = path("uv").is_some() || path("vllm").is_some();
    // Whoever gave a command knows what it is run by.
    if enough || has_command {
        return Finding::ok(check, seen);
    }
    let finding = Finding::warn(check, format!("{seen}, on the PATH that the engine would have"));
    match path("python3") {
        Some(_) => finding.advice("install uv there, which brings vLLM by itself: python3 -m pip install --user uv"),
        None => finding.advice("ask your site how Python is had: often --prelude 'module load python'"),
    }
}

async fn command(subject: &Subject, host: &Host, around: &str, program: &str, said: &Said) -> Finding {
    if let Some(path) = said.fact("command") {
        return Finding::ok(COMMAND, format!("{program} is {path}"));
    }
    let finding =
        Finding::fail(COMMAND, format!("{program} is not found, in the folder and on the PATH that it would have"));
    if subject.shell == Shell::Posix
        && let Ok(at_login) = ask(host, Shell::Login, &format!("{around}\n{}", look_for(Some(program)))).await
        && at_login.fact("command").is_some()
    {
        return finding
            .advice("a login shell there finds it: give --login-shell")
            .again(&subject.typed.with_switch("--login-shell"));
    }
    if let Some(path) = said.fact("elsewhere") {
        return finding.advice(format!("it is {path}")).again(&subject.typed.with_program(&[path]));
    }
    if program == "vllm" && said.fact("uv").is_some() {
        return finding
            .advice("uv is there, and brings vLLM by itself")
            .again(&subject.typed.with_program(&["uv", "run", "--with", "vllm", "vllm"]));
    }
    finding
        .advice("check the spelling; or let --prelude make it known, such as 'module load …'; or give its whole path")
}
