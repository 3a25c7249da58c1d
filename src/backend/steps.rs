//! The steps of an engine's start, in the words that users are told.

/// `uv` and its like install packages.
pub const PACKAGES: &str = "installing packages";
/// The engine reads the model's configuration.
pub const CONFIG: &str = "reading the configuration";
/// The engine itself comes up, before it does anything for the model.
pub const ENGINE: &str = "starting the engine";
/// The model's files come from the hub.
pub const DOWNLOAD: &str = "downloading weights";
/// The model's files go into memory.
pub const WEIGHTS: &str = "loading weights";
/// The model is compiled.
pub const COMPILE: &str = "compiling";
/// What is left of the memory becomes the cache of keys and values.
pub const CACHE: &str = "making the KV cache";
/// Graphs of the GPU's work are recorded.
pub const GRAPHS: &str = "capturing CUDA graphs";
/// The first requests, the engine's own.
pub const WARM_UP: &str = "warming up";
/// The HTTP server comes up.
pub const SERVER: &str = "starting the server";
