//! All that one `serve` serves: the one instance of a command, or those of a file.

use std::collections::BTreeMap;

use super::settings::{self, Resolved};
use super::{Report, ServeArgs};
use crate::app::{self, InstanceSettings, Instances};

/// What is served, and what is said about it.
pub(super) struct Served {
    pub(super) app: app::Settings,
    /// In the file's order; never empty.
    pub(super) all: Vec<Described>,
    /// Whether a request's model decides among them.
    pub(super) by_model: bool,
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
    /// Fills in what was not typed, for each instance that `chosen` has.
    pub(super) fn resolve(chosen: &[ServeArgs], by_model: bool) -> Result<Self, Report> {
        let (mut app, mut all, mut warnings) = (None, Vec::new(), Vec::new());
        for args in chosen {
            let Resolved { app: settings, instance, warnings: of_one, summary } = settings::resolve(args)?;
            app = Some(settings);
            let whose = if by_model { format!("{}: ", instance.name) } else { String::new() };
            warnings.extend(of_one.into_iter().map(|warning| format!("{whose}{warning}")));
            all.push(Described { settings: instance, summary });
        }
        check_names(&all)?;
        let app = app.ok_or_else(|| Report::usage("this file has no models").hinted("name one under 'models'"))?;
        Ok(Self { app, all, by_model, warnings })
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
                Instances::Many { all, default: None }
            }
        };
        (self.app, instances)
    }
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
