//! The one resolved configuration: flags over the environment over `.env` over the file over what is given by default.

use super::access_keys::AccessKeyBlocks;
use super::environment::Environment;
use super::written::{BackendName, CallersBlock, EngineBlock, Fleet, HostBlock, Launcher, Listen, ServerBlock};
use super::{File, Replica, Sourced, WrittenArg, nearest, replicas};

/// What options say, in the form of a file. It serves twice: for what was typed, and for what holds when nobody says anything.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// How this program is reached.
    pub listen: Listen,
    /// The place of the access key.
    pub access_key: Option<Sourced<String>>,
    /// How the host is reached.
    pub host: HostBlock,
    /// All else.
    pub server: ServerBlock,
}

/// All that can be said, from the strongest to the weakest.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// What was typed.
    pub typed: Flags,
    /// The environment and `.env`.
    pub environment: Environment,
    /// The arguments that all vLLM share, from the file that the environment names.
    pub shared: Option<Sourced<Vec<WrittenArg>>>,
    /// The configuration file.
    pub file: Option<File>,
    /// The defaults.
    pub defaults: Flags,
}

/// What is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How this program is reached.
    pub listen: Listen,
    /// The place of the access key, where no variable holds it.
    pub access_key: Option<Sourced<String>>,
    /// Keys that open some of it.
    pub access_keys: AccessKeyBlocks,
    /// The instances, in the file's order; without a file, one.
    pub instances: Vec<Instance>,
    /// How many there may be.
    pub max_instances: Option<Sourced<u32>>,
    /// Which instance gets the requests that name no model.
    pub default_model: Option<Sourced<String>>,
    /// What callers of the API may do.
    pub callers: CallersBlock,
    /// The engines' first port.
    pub first_port: Option<Sourced<u16>>,
    /// The engines' last port.
    pub last_port: Option<Sourced<u16>>,
}

/// One engine, as it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its name in the file.
    pub name: Option<String>,
    /// Its block, with all that others say for it.
    pub server: ServerBlock,
    /// How its host is reached; without a `login`: this machine.
    pub host: HostBlock,
    /// Its arguments: each layer wins over those before it.
    pub arguments: Vec<Vec<WrittenArg>>,
    /// Which of its model's replicas it is, where there are several.
    pub replica: Option<Replica>,
}

/// An instance cannot be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// There are several, and none is named.
    #[error("this file has {} models, and one of them is meant", .names.len())]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// There is none of that name.
    #[error("this file has no model named '{name}'")]
    Unknown {
        /// What was given.
        name: String,
        /// What was probably meant.
        meant: Option<String>,
        /// The names that there are.
        names: Vec<String>,
    },
}

impl Layers {
    /// One over the other.
    #[must_use]
    pub fn resolve(&self) -> Config {
        let (fleet, environment) = (self.fleet(), &self.environment);
        let listens =
            [&self.typed.listen, &environment.listen, &fleet.listen.clone().unwrap_or_default()].map(Clone::clone);
        let listen = listens.into_iter().fold(Listen::default(), Listen::or).or(self.defaults.listen.clone());
        let mut instances = match &self.file {
            None => vec![self.instance(None, &ServerBlock::default(), &fleet)],
            Some(File::Single(_, server)) => vec![self.instance(None, server, &fleet)],
            Some(File::Fleet(_)) => {
                let of_model = |(name, own): &(String, Sourced<ServerBlock>)| {
                    let instance = self.instance(Some(name.clone()), &own.value, &fleet);
                    replicas::each(instance, |one, host| {
                        one.server.host = Some(host);
                        one.host = self.host(&one.server, &fleet);
                    })
                };
                fleet.models.iter().flat_map(of_model).collect()
            }
        };
        self.give_ports(&mut instances);
        Config {
            listen,
            access_key: self.typed.access_key.clone().or_else(|| fleet.access_key.clone()),
            access_keys: fleet.access_keys,
            instances,
            default_model: fleet.default_model,
            callers: fleet.callers.map(|callers| callers.value).unwrap_or_default(),
            max_instances: environment.max_instances.clone(),
            first_port: environment.first_port.clone(),
            last_port: environment.last_port.clone(),
        }
    }

    /// One more, as a caller of the API describes it: what all models of the file are given, it is given too.
    #[must_use]
    pub fn of_caller(&self, name: String, own: &ServerBlock) -> Instance {
        self.instance(Some(name), own, &self.fleet())
    }

    fn fleet(&self) -> Fleet {
        match &self.file {
            Some(File::Single(fleet, _) | File::Fleet(fleet)) => fleet.as_ref().clone(),
            None => Fleet::default(),
        }
    }

    fn instance(&self, name: Option<String>, own: &ServerBlock, fleet: &Fleet) -> Instance {
        let shared = fleet.defaults.clone().unwrap_or_default();
        let mut said = self.typed.server.clone().or(self.environment.server.clone()).or(own.clone());
        said = said.or(self.environment.defaults.clone()).or(shared.clone());
        let backend = said.backend_name();
        if said.launcher.is_none()
            && let Some(slurm) = said.slurm.as_ref().and_then(super::SlurmBlock::source)
        {
            said.launcher = Some(Sourced::new(Launcher::Slurm, slurm));
        }
        let host = self.host(&said, fleet);
        let arguments = if said.command.is_some() && self.typed.server.command.is_some() {
            // Who types a command types all of it.
            Vec::new()
        } else {
            self.arguments(backend, own, &shared)
        };
        Instance { name, server: said.or(self.defaults.server.clone()), host, arguments, replica: None }
    }

    /// From the first port on, each that has none of its own gets the next; what is beyond the last one gets any that is free.
    fn give_ports(&self, instances: &mut [Instance]) {
        let Some(first) = &self.environment.first_port else { return };
        let last = self.environment.last_port.as_ref().map_or(u16::MAX, |last| last.value);
        let own: Vec<u16> = instances.iter().filter_map(|one| Some(one.server.port.as_ref()?.value)).collect();
        let mut next = (first.value..=last).filter(|port| !own.contains(port));
        for instance in instances.iter_mut().filter(|instance| instance.server.port.is_none()) {
            instance.server.port = next.next().map(|port| Sourced::new(port, first.source.clone()));
        }
    }

    /// Who types a host means none of the file's.
    fn host(&self, said: &ServerBlock, fleet: &Fleet) -> HostBlock {
        let typed = self.typed.host.clone();
        let block = match &said.host {
            _ if typed.login.is_some() => typed,
            None => typed,
            Some(host) if host.value == "local" => HostBlock::default(),
            Some(host) => match fleet.hosts.iter().find(|(name, _)| *name == host.value) {
                Some((_, block)) => typed.or(block.value.clone()),
                None => typed.or(HostBlock { login: Some(host.clone()), ..HostBlock::default() }),
            },
        };
        block.or(self.defaults.host.clone())
    }

    /// From the weakest: the variables, the shared file, the fleet's defaults, the model's own.
    fn arguments(&self, backend: BackendName, own: &ServerBlock, shared: &ServerBlock) -> Vec<Vec<WrittenArg>> {
        let mut layers = Vec::new();
        if backend == BackendName::Vllm {
            layers.push(self.environment.arguments.iter().map(|argument| argument.value.clone()).collect());
            layers.extend(self.shared.iter().map(|shared| shared.value.clone()));
        }
        let of = |block: &ServerBlock| block.config.as_ref().and_then(|config| config.arguments(backend)).cloned();
        layers.extend([of(shared), of(own)].into_iter().flatten().map(|arguments| arguments.value));
        layers.retain(|layer: &Vec<WrittenArg>| !layer.is_empty());
        layers
    }
}

impl EngineBlock {
    /// The arguments that this kind of engine takes.
    #[must_use]
    pub fn arguments(&self, backend: BackendName) -> Option<&Sourced<Vec<WrittenArg>>> {
        match backend {
            BackendName::Vllm => self.api_server_args.as_ref(),
            BackendName::Sglang | BackendName::Custom => self.server_args.as_ref(),
        }
    }
}

impl Config {
    /// The one instance that is served: the only one, or the one of that name.
    ///
    /// # Errors
    /// There are several and none is named, or none has that name.
    pub fn choose(&self, name: Option<&str>) -> Result<&Instance, ChoiceError> {
        let names = || self.instances.iter().filter_map(|instance| instance.name.clone()).collect::<Vec<_>>();
        match (self.instances.as_slice(), name) {
            // A server of a file without names takes any.
            ([only], None) | ([only @ Instance { name: None, .. }], Some(_)) => Ok(only),
            (several, Some(name)) => {
                several.iter().find(|instance| instance.name.as_deref() == Some(name)).ok_or_else(|| {
                    let names = names();
                    let meant = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
                    ChoiceError::Unknown { name: name.to_owned(), meant, names }
                })
            }
            (_, None) => Err(ChoiceError::Several { names: names() }),
        }
    }
}
