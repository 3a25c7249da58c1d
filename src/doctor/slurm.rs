//! Whether Slurm's commands are where our shell finds them.

use super::ask::{Said, ask};
use super::{Finding, Subject};
use crate::host::{Host, Shell};

const CHECK: &str = "slurm commands";

const SCRIPT: &str = r#"
for name in srun sbatch squeue scancel; do
  echo "$name=$(command -v $name)"
done
echo "version=$(srun --version 2>/dev/null)"
command -v srun >/dev/null || for folder in /opt/slurm/bin /opt/slurm/current/bin /usr/local/slurm/bin \
  /cm/shared/apps/slurm/current/bin /usr/local/bin /usr/bin; do
  [ ! -x "$folder/srun" ] || echo "at=$folder"
done
"#;

/// Looks for them.
pub(super) async fn check(subject: &Subject, host: &Host) -> Finding {
    let said = match ask(host, subject.shell, SCRIPT).await {
        Ok(said) => said,
        Err(error) => return Finding::fail(CHECK, error.to_string()),
    };
    let batch = subject.plan.starter.is_batch();
    let missing = missing(&said, batch);
    if missing.is_empty() {
        let place = said.fact("srun").unwrap_or_default();
        let version = said.fact("version").unwrap_or("of a version that it does not tell");
        return Finding::ok(CHECK, format!("{version}, {place}; squeue and scancel beside it"));
    }
    let finding =
        Finding::fail(CHECK, format!("not on the PATH of `{}`: {}", subject.shell.command(), missing.join(", ")));
    if subject.shell == Shell::Posix
        && let Ok(at_login) = ask(host, Shell::Login, SCRIPT).await
        && self::missing(&at_login, batch).is_empty()
    {
        return finding
            .advice("a login shell there has them: give --login-shell")
            .again(&subject.typed.with_switch("--login-shell"));
    }
    match said.fact("at") {
        Some(folder) => finding.advice(format!(
            "they are in {folder}: put `PATH={folder}:$PATH` at the beginning of what your shell there reads for commands \
             (~/.bashrc for bash)"
        )),
        None => finding.advice("is this the right host? Without --use-slurm the engine is started on it directly"),
    }
}

/// `srun` is needed with `--batch`, too: some routes start a step of the job.
fn missing(said: &Said, batch: bool) -> Vec<&'static str> {
    let sbatch = batch.then_some("sbatch");
    ["srun", "squeue", "scancel"].into_iter().chain(sbatch).filter(|name| said.fact(name).is_none()).collect()
}
