//! The parts of `scripts/bench` that need nothing to run: its ratios, its judgement, its report. The bench itself is no test.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

fn python(words: &[&str]) -> Output {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    // Without -B it would leave its own files in the project.
    Command::new("python3").arg("-B").args(words).current_dir(scripts).output().expect("python3")
}

#[test]
fn its_judgement_is_right() {
    let output =
        python(&["-m", "unittest", "discover", "--start-directory", "benchmarks/tests", "--top-level-directory", "."]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // Where none is found, older ones of Python are content.
    assert!(!said.contains("Ran 0 tests"), "{said}");
}

#[test]
fn it_finds_its_parts() {
    let output = python(&["bench", "--help"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["requests", "rate", "tokens", "memory", "first-byte", "routes", "vllm"] {
        assert!(said.contains(&format!("\n  {part} ")), "{part} is not in:\n{said}");
    }
}
