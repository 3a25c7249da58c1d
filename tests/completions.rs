//! `llm-proxy completions` and `llm-proxy man`: shells and man themselves read what we print.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::Proxy;
use tempfile::TempDir;

/// What people type; the engine of the demonstration is no verb of theirs.
const VERBS: [&str; 12] =
    ["serve", "doctor", "login", "status", "start", "stop", "logs", "profile", "config", "demo", "completions", "man"];

fn printed(arguments: &[&str]) -> String {
    text(&Proxy::builder().run(arguments.iter().copied()))
}

fn text(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100").output();
    text(&output.unwrap_or_else(|error| missing(program, &error)))
}

#[expect(clippy::panic, reason = "a test that cannot run says how it can")]
fn missing(program: &str, error: &std::io::Error) -> ! {
    panic!("{program} cannot be run ({error}): scripts/test installs it")
}

/// The script of a shell, in a file.
fn script(shell: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("llm-proxy");
    std::fs::write(&path, printed(&["completions", shell])).expect("the script is written");
    (folder, path.display().to_string())
}

/// What bash offers for the last of these words, by the function that the script registered.
fn bash_offers(words: &[&str]) -> Vec<String> {
    let (_folder, path) = script("bash");
    let ask = r#"set -u; source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        registered=$(complete -p llm-proxy); [[ $registered =~ -F\ ([^ ]+) ]]
        "${BASH_REMATCH[1]}" llm-proxy "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let line = [&["--noprofile", "--norc", "-c", ask, "bash", path.as_str()], words].concat();
    run("bash", &line).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_and_their_values() {
    assert_eq!(bash_offers(&["llm-proxy", "compl"]), ["completions"]);
    assert_eq!(bash_offers(&["llm-proxy", "serve", "--srun-args"]), ["--srun-args"]);
    assert_eq!(bash_offers(&["llm-proxy", "serve", "--route", "rel"]), ["relay"]);
    let all = bash_offers(&["llm-proxy", ""]);
    assert!(VERBS.iter().all(|verb| all.iter().any(|offered| offered == verb)), "{all:?}");
    assert!(!all.iter().any(|offered| offered == "demo-engine"), "{all:?}");
}

#[test]
fn fish_completes_verbs_options_and_their_values() {
    let (_folder, path) = script("fish");
    let offered = |line: &str| {
        let ask = "source $argv[1]; complete --do-complete $argv[2]";
        let said = run("fish", &["--no-config", "-c", ask, &path, line]);
        said.lines().filter_map(|line| line.split('\t').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(offered("llm-proxy compl"), ["completions"]);
    assert_eq!(offered("llm-proxy serve --srun-args"), ["--srun-args"]);
    assert_eq!(offered("llm-proxy serve --route rel"), ["relay"]);
    assert!(offered("llm-proxy demo-e").is_empty());
}

#[test]
fn every_other_shell_has_its_script() {
    for (shell, beginning) in
        [("zsh", "#compdef llm-proxy\n"), ("elvish", "\nuse builtin;"), ("powershell", "\nusing ")]
    {
        let script = printed(&["completions", shell]);
        assert!(script.starts_with(beginning), "{shell}: {}", script.chars().take(80).collect::<String>());
        assert!(VERBS.iter().all(|verb| script.contains(verb)), "{shell}");
        assert!(!script.contains("demo-engine"), "{shell}");
    }
}

#[test]
fn an_unknown_shell_is_refused_with_the_known_ones() {
    let output = Proxy::builder().run(["completions", "tcsh"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("tcsh") && said.contains("bash, elvish, fish"), "{said}");
}

/// What man shows of a page; a fault in the page is an error.
fn shown(page: &Path) -> String {
    let page = page.display().to_string();
    run("man", &["--warnings=all", "--encoding=UTF-8", "--pager=cat", "--local-file", &page])
}

#[test]
fn man_shows_a_page_for_each_verb() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pages = folder.path().join("man1");
    assert_eq!(printed(&["man", "--dir", &pages.display().to_string()]), "");
    let mut found: Vec<_> = std::fs::read_dir(&pages)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    found.sort();
    let of_config = ["check", "env", "schema", "show"].map(|verb| format!("llm-proxy-config-{verb}.1"));
    let mut expected: Vec<_> = VERBS.iter().map(|verb| format!("llm-proxy-{verb}.1")).chain(of_config).collect();
    expected.push("llm-proxy.1".to_owned());
    expected.sort();
    assert_eq!(found, expected);
    for name in found {
        let path = pages.join(&name);
        let text = shown(&path);
        let page = name.trim_end_matches(".1");
        assert!(text.starts_with(&format!("{page}(1)")) && text.contains("SYNOPSIS"), "{text}");
        // What is printed is the same page.
        let verb = page.strip_prefix("llm-proxy-");
        if verb.is_some_and(|verb| !VERBS.contains(&verb)) {
            continue; // Of a verb of `config`.
        }
        let alone = printed(&["man"].into_iter().chain(verb).collect::<Vec<_>>());
        assert_eq!(alone, std::fs::read_to_string(&path).expect("the page"), "{name}");
    }
    let serve = shown(&pages.join("llm-proxy-serve.1"));
    assert!(serve.contains("--srun-args <STRING>") && serve.contains("Start COMMAND by srun"), "{serve}");
    let whole = shown(&pages.join("llm-proxy.1"));
    assert!(VERBS.iter().all(|verb| whole.contains(&format!("llm-proxy-{verb}(1)"))), "{whole}");
}

#[test]
fn the_page_of_no_verb_is_refused() {
    for verb in ["vllm", "demo-engine"] {
        let output = Proxy::builder().run(["man", verb]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(verb) && said.contains("take one of serve, doctor"), "{said}");
    }
}
