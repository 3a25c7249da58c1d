//! What callers of the API want to be served, made into what is run.

use std::collections::BTreeSet;
use std::path::absolute;
use std::time::Duration;

use super::settings::{self, Resolved};
use super::{Report, ServeArgs, configured};
use crate::api::Wanted;
use crate::app::{Callers, InstanceSettings};
use crate::backend::{self, CallerLeave, DescribedCommand};
use crate::config::{self, BackendName, Config, Layers, ProfileBlock, ProfileTool, ServerBlock, Source, Sourced};

/// How long an instance of a caller's may be idle before its engine is ended, where nobody says.
const CALLERS_IDLE: Duration = Duration::from_mins(10);

/// The longest time that an instance may be idle, where it ends for that at all.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// How many instances there may be when a caller wants one more, where nobody says.
const MOST: u32 = 20;

/// What callers may create, where the operator lets them.
pub(super) fn callers(args: &ServeArgs, layers: &Layers, config: &Config) -> Option<Callers> {
    let file = args.config.as_ref().filter(|_| config.callers.create.as_ref().is_some_and(|on| on.value))?;
    let of = absolute(file).unwrap_or_else(|_| file.clone()).display().to_string();
    let most = config.max_instances.as_ref().map_or(MOST, |most| most.value);
    // What is read later and refused is nobody's.
    let (args, layers) = (args.clone(), layers.clone());
    let words = |report: Report| match report.hint {
        Some(hint) => format!("{}; {hint}", report.what),
        None => report.what,
    };
    let describe = Box::new(move |wanted: &Wanted| describe(&args, &layers, wanted).map_err(words));
    Some(Callers { of, most: usize::try_from(most).ok(), describe })
}

/// What is run for a caller; all that the file gives to every model, it is given too.
fn describe(args: &ServeArgs, layers: &Layers, wanted: &Wanted) -> Result<InstanceSettings, Report> {
    let mut args = args.clone();
    let config = layers.resolve();
    let own = own_block(wanted).map_err(Report::usage)?;
    let name = match &wanted.name {
        Some(name) => name.clone(),
        None => backend::short_name(&wanted.model)
            .map(|name| name.to_string())
            .ok_or_else(|| Report::usage(format!("'{}' tells no name; give it one with 'name'", wanted.model)))?,
    };
    let mut instance = layers.of_caller(name, &own);
    if let Some(idle) = instance.server.idle_timeout.as_mut().filter(|idle| idle.source == Source::Default) {
        idle.value = CALLERS_IDLE;
    }
    let said = wanted.args.as_ref().map(|args| config::parse_arguments(&args.to_string()));
    let arguments = said.transpose().map_err(|problem| Report::usage(format!("'args' {}", problem.what)))?;
    let callers = &config.callers;
    let leave = CallerLeave {
        harmless: callers.harmless.as_ref().is_none_or(|on| on.value),
        also: callers.arguments.as_ref().map(|names| names.value.clone()).unwrap_or_default(),
    };
    let command =
        DescribedCommand::of_caller(&instance, &arguments.unwrap_or_default(), &leave).map_err(Report::usage)?;
    configured::put_shared(&mut args, layers, &config);
    configured::put_instance(&mut args, instance, Some(command))?;
    if wanted.gpus.is_some() && (args.use_slurm || args.login.is_some()) {
        return Err(Report::usage("'gpus' names GPUs of this machine, and the engine is to run elsewhere"));
    }
    let Resolved { instance, warnings, .. } = settings::resolve(&args)?;
    for warning in warnings {
        tracing::warn!(name = %instance.name, "{warning}");
    }
    Ok(instance)
}

/// What the caller says, as a file would.
fn own_block(wanted: &Wanted) -> Result<ServerBlock, String> {
    let source = || Source::Flag("the request");
    let backends = BackendName::WORDS.iter().filter(|(_, backend)| *backend != BackendName::Custom);
    let backend = wanted.backend.as_deref().map(|word| meant("backend", word, backends.copied())).transpose()?;
    let tool = |word: &str| meant("profile.tool", word, ProfileTool::WORDS.iter().copied());
    let profile = wanted.profile.as_ref().map(|profile| {
        let tool = profile.tool.as_deref().map(tool).transpose()?.map(|tool| Sourced::new(tool, source()));
        let block =
            ProfileBlock { enabled: Some(Sourced::new(profile.enabled, source())), tool, ..ProfileBlock::default() };
        Ok::<_, String>(Sourced::new(block, source()))
    });
    if wanted.timeout.is_some_and(|seconds| seconds > LONGEST.as_secs()) {
        return Err(format!("'timeout' is longer than {} days", LONGEST.as_secs() / 86_400));
    }
    if wanted.model.trim().is_empty() || wanted.model.starts_with('-') {
        return Err(format!("'{}' is no model's name", wanted.model));
    }
    Ok(ServerBlock {
        backend: backend.map(|backend| Sourced::new(backend, source())),
        model: Some(Sourced::new(wanted.model.clone(), source())),
        idle_timeout: wanted.timeout.map(|seconds| Sourced::new(Duration::from_secs(seconds), source())),
        // In whichever order they are named, they are the same.
        gpus: wanted.gpus.clone().map(|gpus| Sourced::new(BTreeSet::from_iter(gpus).into_iter().collect(), source())),
        profile: profile.transpose()?,
        ..ServerBlock::default()
    })
}

/// What a word of a caller's means.
fn meant<T>(key: &str, word: &str, known: impl Iterator<Item = (&'static str, T)> + Clone) -> Result<T, String> {
    let found = known.clone().find(|(name, _)| *name == word).map(|(_, meant)| meant);
    let names = || known.map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("'{key}' is '{word}'; known: {}", names()))
}
