//! What a user writes, made into values, with errors that name the fault and never a secret.
//!
//! A file becomes a tree that knows its lines (`yaml.rs`), and that what is written in it, or all that is wrong with it
//! (`read.rs`). Flags and the environment are written down in the same form, each value with its source; one over the other
//! they are the one resolved configuration.

mod access_keys;
mod arguments;
mod block;
mod duration;
mod emit;
mod env_file;
mod environment;
mod key_place;
mod merge;
mod nearest;
mod problem;
mod read;
mod replicas;
mod resolve;
mod schema;
mod show;
mod size;
mod source;
mod values;
mod variable;
mod written;
mod yaml;

pub use access_keys::{AccessKeyBlock, AccessKeyBlocks, KeySha256, NamedKey};
pub use arguments::{ArgValue, WrittenArg};
pub use duration::{DurationError, format_duration, parse_duration};
pub use env_file::{EnvFileError, read_env_file};
pub use environment::{Environment, EnvironmentError, KnownVariable, Reader, VARIABLES, is_ours, read_environment};
pub use key_place::{KeyError, read_key, some_key};
pub use nearest::nearest;
pub use problem::{ConfigError, Problem};
pub use read::{File, parse_arguments, parse_file, read_arguments_file, read_file};
pub use replicas::{Replica, ReplicasBlock};
pub use resolve::{ChoiceError, Config, Flags, Instance, Layers};
pub use schema::schema;
pub use show::Row;
pub use source::{Source, Sourced};
pub use values::parse_url_path;
pub use variable::{Variable, VariableError};
pub use written::{
    BackendName, CallersBlock, EngineBlock, Fleet, HostBlock, KeyUse, Launcher, Listen, ProfileBlock, ProfileTool,
    ReplicasBy, RouteName, ServeBlock, ServerBlock, SlurmBlock,
};
