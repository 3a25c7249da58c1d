//! What comes after a visit at which nothing was at fault: the line that was looked at, ready to paste.

use super::{Finding, Subject};
use crate::launch::Starter;

const CHECK: &str = "next";

/// What engines are usually started by, as an example.
const EXAMPLE: [&str; 7] = ["uv", "run", "--with", "vllm", "vllm", "serve", "MODEL"];

/// What to do next.
pub(super) fn step(subject: &Subject) -> Finding {
    let by_slurm = matches!(subject.plan.starter, Starter::Slurm { .. });
    if !subject.has_command {
        let line = subject.typed.with_command(&EXAMPLE).line();
        let such_as = line.map(|line| format!(", such as `{line}`")).unwrap_or_default();
        return Finding::ok(CHECK, "put the engine's command behind it, and look once more")
            .advice(format!("what it starts is looked at, too{such_as}"));
    }
    let deeper = match (by_slurm, &subject.deep) {
        (true, None) => " (what a node is like was not looked at: --deep does, by a job of a minute)",
        (true, Some(_)) | (false, _) => "",
    };
    let finding = Finding::ok(CHECK, format!("this is ready to be started{deeper}")).again(&subject.typed.serve());
    if finding.remedy.is_some() {
        return finding;
    }
    finding.advice("with `serve` in the place of `doctor`; the line is not repeated here, for a secret is in it")
}
