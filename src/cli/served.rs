//! All that one `serve` serves: the one instance of a command, or those of a file.

use std::collections::BTreeMap;

use super::callers::callers;
use super::configured::Chosen;
use super::settings::{self, Resolved};
use super::{Report, ServeArgs};
use crate::app::{self, Callers, InstanceSettings, Instances};
use crate::config::Config;
use crate::id::InstanceName;

/// What is served, and what is said about it.
pub(super) struct Served {
    pub(super) app: app::Settings,
    /// In the file's order.
    pub(super) all: Vec<Described>,
    /// Whether a request's model decides among them.
    pub(super) by_model: bool,
    /// Who gets the requests that name no model.
    pub(super) default: Option<InstanceName>,
    /// What callers of the API may create.
    pub(super) callers: Option<Callers>,
    /// What the user should know before it runs.
    pub(super) warnings: Vec<String>,
}

/// One instance.
pub(super) struct Described {
    pub(super) settings: InstanceSettings,
    /// What the first request starts, and where.
    pub(super) summary: String,
}

impl Served {
    /// Fills in what was not typed, for each instance that `chosen` has; `typed` is what was typed.
    pub(super) fn resolve(typed: &ServeArgs, chosen: &Chosen) -> Result<Self, Report> {
        let Chosen { shared, all: chosen, layers, config, by_model } = chosen;
        let by_model = *by_model;
        let (mut all, mut warnings) = (Vec::new(), Vec::new());
        for args in chosen {
            let Resolved { instance, warnings: of_one, summary, .. } = settings::resolve(args)?;
            let whose = if by_model { format!("{}: ", instance.name) } else { String::new() };
            warnings.extend(of_one.into_iter().map(|warning| format!("{whose}{warning}")));
            all.push(Described { settings: instance, summary });
        }
        check_names(&all)?;
        warnings.extend(too_many(config, all.len()));
        let callers = callers(typed, layers, config);
        let default = match (&config.default_model, all.as_slice()) {
            (Some(name), _) => InstanceName::from_text(&name.value),
            // Of one alone it is clear who is meant.
            (None, [Described { settings, .. }]) if callers.is_none() => Some(settings.name.clone()),
            (None, _) => None,
        };
        Ok(Self { app: settings::shared(shared)?, all, by_model, default, callers, warnings })
    }

    /// The name of a model that may be asked for.
    pub(super) fn some_model(&self) -> Option<String> {
        let first = &self.all.first()?.settings;
        let own = self.by_model.then(|| first.name.to_string());
        first.models.first().cloned().or(own)
    }

    /// What the composition root starts.
    pub(super) fn into_instances(self) -> (app::Settings, Instances) {
        let mut all: Vec<_> = self.all.into_iter().map(|one| one.settings).collect();
        let instances = match all.pop() {
            Some(one) if all.is_empty() && !self.by_model => Instances::One(Box::new(one)),
            last => {
                all.extend(last);
                Instances::Many { all, default: self.default, callers: self.callers }
            }
        };
        (self.app, instances)
    }
}

/// The file itself says how many it has; the bound is for callers.
fn too_many(config: &Config, there_are: usize) -> Option<String> {
    let most = config.max_instances.as_ref()?;
    let is_more = usize::try_from(most.value).is_ok_and(|most| there_are > most);
    is_more.then(|| {
        let (most, source) = (most.value, &most.source);
        format!("VLLM_MAX_INSTANCES is {most} ({source}), and the file has {there_are} models: all of them are served, at most {most} of those on this machine at once, and no caller of the API can create more")
    })
}

/// One name is one instance's, and one model's.
fn check_names(all: &[Described]) -> Result<(), Report> {
    let mut names = BTreeMap::new();
    for Described { settings, .. } in all {
        let own = settings.name.to_string();
        for model in settings.models.iter().chain((!settings.models.contains(&own)).then_some(&own)) {
            if let Some(other) = names.insert(model.clone(), own.clone()) {
                return Err(Report::usage(format!("{other} and {own} are both to answer to the model name '{model}'"))
                    .hinted("give one of them another --served-model-name, or leave it out"));
            }
        }
    }
    Ok(())
}
