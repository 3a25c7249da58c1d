//! How much room there is where models are kept, and whether this one fits.

use super::ask::{Said, ask};
use super::programs::surroundings;
use super::{Finding, Subject};
use crate::backend::{HubModel, ModelSize, Space};
use crate::host::Host;
use crate::keeper::MODEL_FUNCTIONS;
use crate::launch::Starter;

const CHECK: &str = "space";

/// Less than this holds no model, in bytes.
const LITTLE: u64 = 2 << 30;

/// Looks, as the keeper does while the engine downloads.
const LOOK: &str = "
hub_folder
[ -z \"$MODEL\" ] || [ ! -d \"$MODEL\" ] || { echo folder=yes; MODEL= ASK_HUB=; }
[ ! -d \"$HUB\" ] || echo made=yes
hub_arrived
hub_free
echo \"place=$HUB\"
echo \"free=$FREE\"
echo \"arrived=$ARRIVED\"
[ -z \"$ASK_HUB\" ] || echo \"index=$(hub_index)\"
";

const ROOMIER: &str = "name a roomier place for them: --env HF_HOME=/scratch/…";

/// Asks.
pub(super) async fn check(subject: &Subject, host: &Host) -> Finding {
    let model = subject.plan.model.as_ref();
    let said = match ask(host, subject.shell, &script(subject, model)).await {
        Ok(said) => said,
        Err(error) => return Finding::warn(CHECK, error.to_string()),
    };
    let place = said.fact("place").unwrap_or("the models' folder");
    let Some(free) = number(&said, "free") else {
        return Finding::warn(CHECK, format!("how much is free in {place} cannot be told"));
    };
    let words = |bytes| ModelSize::of_bytes(bytes).words();
    let size = if free < LITTLE { format!("{} MiB", free >> 20) } else { words(free) };
    let room = format!("{size} are free in {place}, where models are kept");
    let told = |model: &HubModel| model.size.or_else(|| said.fact("index").and_then(ModelSize::from_hub_index));
    // In the folder that the engine runs in; nothing is downloaded.
    let model = model.filter(|_| said.fact("folder").is_none());
    let Some((model, size)) = model.and_then(|model| Some((model, told(model)?))) else {
        return if free < LITTLE {
            Finding::warn(CHECK, format!("only {room}")).advice(ROOMIER)
        } else {
            of(model, room)
        };
    };
    let arrived = number(&said, "arrived").unwrap_or_default();
    let here = if arrived > 0 { format!(" ({} of it here)", words(arrived.min(size.bytes()))) } else { String::new() };
    match size.fits(arrived, free) {
        Space::Enough => Finding::ok(CHECK, format!("{} is {}{here}; {room}", model.name, size.words())),
        Space::Missing(missing) => {
            let seen =
                format!("{} is {}{here}, and only {room}: {} too little", model.name, size.words(), words(missing));
            if matches!(subject.plan.starter, Starter::Slurm { .. }) {
                return Finding::warn(CHECK, format!("{seen}, as seen from the login host"))
                    .advice(format!("where the job's node has another disk there, nothing is wrong; else {ROOMIER}"));
            }
            if said.fact("made").is_none() {
                return Finding::warn(CHECK, format!("{seen}, as far as can be told: that folder is not there yet"))
                    .advice(format!("where another disk will be there, nothing is wrong; else {ROOMIER}"));
            }
            Finding::fail(CHECK, seen).advice(ROOMIER)
        }
    }
}

/// How large a model is that nobody told, is not known.
fn of(model: Option<&HubModel>, room: String) -> Finding {
    let finding = Finding::ok(CHECK, room);
    match model {
        Some(model) => {
            finding.advice(format!("how large {} is was not learnt: the hub did not tell this machine", model.name))
        }
        None => finding,
    }
}

fn script(subject: &Subject, model: Option<&HubModel>) -> String {
    let around = surroundings(subject).unwrap_or_default();
    // Of letters, digits, dots and dashes alone, and one slash.
    let name = model.map_or("", |model| model.name.as_str());
    let asks = if model.is_some_and(|model| model.size.is_none()) { "1" } else { "" };
    // Behind the user's prelude, whose names they may be, too.
    format!("{around}MODEL='{name}' ASK_HUB='{asks}'\n{MODEL_FUNCTIONS}{LOOK}")
}

fn number(said: &Said, name: &str) -> Option<u64> {
    said.fact(name)?.parse().ok()
}
