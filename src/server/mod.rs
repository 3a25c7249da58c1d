//! The library's own front: an engine as a value. [`create_server`] makes one, [`InferenceServer::start`] returns when it
//! answers, and it is stopped, and seen to be gone, when the value goes, also where a panic takes it.
//!
//! It is no second implementation: what runs is what `llm-proxy serve` runs, on a thread of its own, so that it can be used
//! from code that knows nothing of async, and be stopped by a `drop`. Nothing is printed; what the engine says is in
//! [`Options::output_dir`].
//!
//! Any program that answers 200 at `/health` is an engine:
//!
//! ```
//! use llm_proxy::{Backend, Options, create_server};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("health"), "ok")?;
//! let pages = folder.path().display().to_string();
//! let command = ["python3", "-m", "http.server", "{port}", "--bind", "{host}", "--directory", &pages];
//!
//! let mut server = create_server(Backend::Custom, "pages", Options {
//!     command: command.map(str::to_owned).to_vec(),
//!     output_dir: folder.path().join("logs"),
//!     ..Options::default()
//! })?;
//! {
//!     let running = server.run()?; // Starts it, and stops it at the end of the scope.
//!     assert!(running.check_health());
//!     assert!(running.list_endpoints()["models"].ends_with("/v1/models"));
//! }
//! assert!(!server.check_health());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! vLLM and SGLang need no command:
//!
//! ```
//! use llm_proxy::{Backend, Options, create_server};
//!
//! let options = Options { arguments: vec!["--max-model-len".to_owned(), "4096".to_owned()], ..Options::default() };
//! let server = create_server(Backend::Vllm, "Qwen/Qwen3-8B", options)?;
//! assert_eq!(server.get_launch_command().join(" "), "vllm serve Qwen/Qwen3-8B --max-model-len 4096");
//! # Ok::<(), llm_proxy::ServerError>(())
//! ```
//!
//! A configuration file of one server says the same, and `start_server_from_config` starts what it describes:
//!
//! ```
//! use llm_proxy::load_server_config;
//!
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("server.yaml");
//! std::fs::write(&file, "backend: vllm\nmodel: Qwen/Qwen3-8B\nport: 8000\nconfig: {api_server_args: {max-model-len: 4096}}\n")?;
//! let config = load_server_config(&file)?;
//! assert_eq!(config.options.command.join(" "), "vllm serve Qwen/Qwen3-8B --max-model-len 4096");
//! assert_eq!(config.options.port, 8000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod from_file;
mod inference_server;
mod life;
mod options;
mod plan;

pub use error::ServerError;
pub use from_file::{ServerConfig, load_server_config, start_server_from_config};
pub use inference_server::{InferenceServer, Running, create_server};
pub use options::{Job, Options};
