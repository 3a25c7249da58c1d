//! Every script of a life, made from its plan.

use super::{EngineKey, Plan};
use crate::backend::{Backend, Profiling};
use crate::id::LifeId;
use crate::keeper::{Folder, KeeperPlan, Nonce, Profiled, Runner, Script, ScriptError, Wrapper};
use crate::secret::Key;

/// What the host is told, made before anything is asked of it.
pub(super) struct Scripts {
    pub(super) runner: Runner,
    /// What the engine's own shell evaluates.
    pub(super) engine: Script,
    /// What the launcher starts, on its standard input.
    pub(super) keeper: Script,
    /// What the host's shell is given, with the keeper inside.
    pub(super) launch: Script,
}

impl Scripts {
    pub(super) fn new(plan: &Plan, id: &LifeId, nonce: &Nonce, key: Option<&Key>) -> Result<Self, ScriptError> {
        let mut env = plan.env.clone();
        if let (EngineKey::PerLife { variables }, Some(key)) = (&plan.engine_key, key) {
            env.extend(variables.iter().map(|name| ((*name).to_owned(), key.to_secret())));
        }
        let plan_of_keeper = KeeperPlan {
            nonce: nonce.clone(),
            marker: id.clone(),
            bind: plan.bind.clone(),
            lease: plan.lease,
            stop_timeout: plan.stop_timeout,
            chdir: plan.chdir.clone(),
            prelude: plan.prelude.clone(),
            login_shell: plan.login_shell,
            env,
            argv: plan.argv.clone(),
            profiled: plan.profiling.as_ref().map(|profiling| profiled(profiling, plan.backend)),
            model: plan.model.as_ref().map(|model| model.name.clone()),
            asks_hub: plan.model.as_ref().is_some_and(|model| model.size.is_none()),
        };
        let runner =
            Runner { nonce: nonce.clone(), folder: Folder::new(&plan.instance, id)?, far: plan.starter.is_batch() };
        let (engine, keeper) = (plan_of_keeper.engine_script()?, plan_of_keeper.script()?);
        let argv = plan.starter.argv();
        let launch = if plan.starter.is_batch() {
            runner.submit(&argv, id, &keeper)?
        } else {
            runner.launch(&argv, id, &keeper)?
        };
        Ok(Self { runner, engine, keeper, launch })
    }
}

/// What the keeper makes of it, where the engine runs.
fn profiled(profiling: &Profiling, backend: Backend) -> Profiled {
    let wrappers = profiling.programs().into_iter().map(|(program, words)| Wrapper { program, words });
    Profiled {
        folder: profiling.output_dir.clone(),
        folder_variables: profiling.folder_variables(backend),
        variables: profiling.variables(backend),
        wrappers: wrappers.collect(),
    }
}
