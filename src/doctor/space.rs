//! How much room there is where models are kept.

use super::ask::ask;
use super::programs::surroundings;
use super::{Finding, Subject};
use crate::host::Host;

const CHECK: &str = "space";

/// Less than this holds no model, in KiB.
const LITTLE_KIB: u64 = 2 * 1024 * 1024;

/// The place that Hugging Face's library uses, or what of its path is there.
const SCRIPT: &str = r#"
place=${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}}
echo "place=$place"
while [ ! -d "$place" ] && [ "$place" != / ]; do place=$(dirname -- "$place"); done
echo "free=$(df -Pk -- "$place" 2>/dev/null | awk 'END { print $4 }')"
"#;

/// Asks.
pub(super) async fn check(subject: &Subject, host: &Host) -> Finding {
    let script = surroundings(subject).unwrap_or_default() + SCRIPT;
    let said = match ask(host, subject.shell, &script).await {
        Ok(said) => said,
        Err(error) => return Finding::warn(CHECK, error.to_string()),
    };
    let place = said.fact("place").unwrap_or("the models' folder");
    let Some(free) = said.fact("free").and_then(|text| text.parse::<u64>().ok()) else {
        return Finding::warn(CHECK, format!("how much is free in {place} cannot be told"));
    };
    let gib = free / (1024 * 1024);
    if free < LITTLE_KIB {
        return Finding::warn(CHECK, format!("only {} MiB are free in {place}, where models are kept", free / 1024))
            .advice("name a roomier place for them: --env HF_HOME=/scratch/…");
    }
    Finding::ok(CHECK, format!("{gib} GiB are free in {place}, where models are kept"))
}
