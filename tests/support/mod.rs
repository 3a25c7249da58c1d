//! What the integration tests share: `mod support;`.
//!
//! `cluster.rs` a Slurm cluster of this test's own, `proxy.rs` the real `llm-proxy` binary, `engine.rs` the small engine,
//! `scene.rs` the two together, `instances.rs` which instance is where, `judge.rs` how an answer ended, `llama.rs` and `vllm.rs` real ones, `client.rs` HTTP towards any of them, `wait.rs` waiting without sleeping.
#![expect(dead_code, unused_imports, reason = "each test file uses a part of this")]
#![expect(clippy::expect_used, clippy::panic, reason = "what fails here fails the test, with the reason")]

pub(crate) mod asking_host;
pub(crate) mod carried;
mod client;
mod cluster;
pub(crate) mod draw;
mod engine;
mod guard;
pub(crate) mod house;
pub(crate) mod instances;
pub(crate) mod judge;
pub(crate) mod left;
mod llama;
mod one_time;
mod proxy;
pub(crate) mod pty;
pub(crate) mod scene;
pub(crate) mod verbs;
pub(crate) mod vllm;
mod wait;

pub(crate) use client::{Answer, Client, EventStream};
pub(crate) use cluster::{Cluster, ClusterBuilder, HostName};
pub(crate) use engine::{Engine, engine_path, nsys_stand_in, vllm_stand_in};
pub(crate) use guard::{ChildGuard, Lines};
pub(crate) use llama::Llama;
pub(crate) use proxy::{Home, Proxy, ProxyBuilder};
pub(crate) use vllm::Vllm;
pub(crate) use wait::{Deadline, eventually};
