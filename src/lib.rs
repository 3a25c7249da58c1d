//! An OpenAI-compatible server whose engine runs on a GPU that Slurm finds, over SSH, when somebody asks.
//!
//! # The map, in reading order
//!
//! An arrow may point only to the right, and a test (`tests/architecture.rs`) holds the code to it:
//!
//! ```text
//! cli ─► app ─► gateway · control ─► fleet ─► instance ─► launch ─► backend · slurm · keeper · route ─► host ─► ssh
//!  ├──► doctor ─► fleet and all behind it (only the command line calls it)
//!  └──► demo ─► app and all behind it (the tests call it, too)
//! server ─► app and all behind it (only other people's programs call it)
//! used by all: api, beside, config, id, marks, secret, telemetry, vault
//! ```
//!
//! * [`cli`]: one file per verb; errors become words and an exit code in one place.
//! * [`app`]: the only composition root: settings in, running tasks out, and the order in which they end. Instances are opened,
//!   given other settings and closed while it runs.
//! * [`demo`]: a far end that needs no cluster: an SSH login host in this process, stand-ins for Slurm's commands, a tiny
//!   engine.
//! * [`server`]: the library's own front: an engine as a value, which other programs start and stop.
//! * [`doctor`]: all that `serve` would need, looked at in order, with a remedy for each fault.
//! * [`gateway`]: the HTTP front: which request wakes the engine, which waits, how it is carried there and back.
//! * [`control`]: the private socket of a running proxy, and who talks to it; [`api`]: what passes over it.
//! * [`fleet`]: all instances together: who is there, by which names requests find them, what happened to them, their folders,
//!   what earlier runs left behind, and who owns the GPUs of this machine.
//! * [`instance`]: one engine that we look after. All decisions are one pure function, [`instance::State::step`].
//! * [`launch`]: who starts an engine, and the task that follows its life over as many connections as it takes.
//! * [`backend`]: what we know of each kind of engine; [`slurm`]: Slurm's words; [`keeper`]: the shell scripts on the host;
//!   [`route`]: how bytes reach the engine: which ways there are, and an HTTP client over any stream that one of them opens.
//!   Two of them are in [`host`], beside the plain dial: the relay and the reverse tunnel.
//! * [`host`]: a machine where we can run a shell and dial an address: this one, or one that SSH reaches.
//! * [`ssh`]: our own SSH client.
//! * [`vault`]: the system's keyring, for what the user asked to be kept.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | engine | an LLM server process: vLLM, SGLang, or any command |
//! | instance | one engine that the proxy looks after, from declared to stopped |
//! | life | one run of an instance's engine, from asked for to verified gone |
//! | job | a Slurm allocation of ours, whose name is the instance's own |
//! | keeper | the small `sh` program that every launcher starts in the engine's place, and that runs the engine |
//! | runner | the small `sh` program that starts a life on its host, or attaches to one |
//! | lease | a life's right to go on; renewed by the proxy; when it runs out the keeper ends the engine |
//! | permit | one in-flight request's hold on an instance; dropped when the response body ends |
//! | entrance | where requests get permits by themselves while nothing has to be decided; the task that owns the instance shuts it first |
//!
//! # A life
//!
//! Two axes are independent: where commands run ([`host::Host`]) and who starts the engine ([`launch::Starter`]). All four
//! products run the same scripts and are followed by the same task. On the host, a life is detached from every
//! connection from its first moment: its launcher's output goes to files in a folder of its own, and what it is told comes
//! from a file. A connection attaches to it: reports on standard output, the log on standard error, words on standard
//! input. So a lost link loses nothing, and attaching again is the same as attaching at first.
//!
//! A job that `sbatch` asked for is itself the life: the same script and the same files, on a node that shares them with the
//! host, where nothing stays behind. What nobody can say any more, that it was killed, is then seen by `squeue`.
//!
//! A process that dies takes nothing with it. Its record says which life there is, and the next process begins with that one
//! instead of a new one: it attaches, and from then on all is as if the link alone had been lost. What runs something else than
//! is wanted now, or was being ended, begins as a life that is ordered to end.
//!
//! # This machine's GPUs
//!
//! Under Slurm they are Slurm's affair. On this machine each has one owner: a life begins by passing a [`launch::Gate`], which
//! lets it in once it holds its GPUs, its port and its room, and it gives them back when it is verified gone. Until then it is
//! queued, as a job would be, with the owner's name as the reason. Behind the gate is one ledger, [`fleet::Places`]. All that it
//! does is decided by one pure function, [`fleet::scheduler::decide`]: who waits is served in order, the one idle longest
//! yields to requests that wait, one that is busy yields once both have had their time and it has nothing in flight, and one
//! that is never ended for idleness never yields. A model of it visits every state that a small world can come to.
//!
//! # What must always hold
//!
//! 1. No GPU is left behind: the job's name is on disk before the job is asked for, an ended job is looked up until it is
//!    gone, and a proxy that never returns lets the lease run out.
//! 2. Never two jobs for one instance: the job's name is stable, and `--dependency=singleton` makes Slurm refuse a second.
//! 3. Bodies stream: nothing of an answer is held back, and a slow reader costs no more than its budget.
//! 4. Who waits hears of it, in a form that every client understands, and errors are honest: a body that broke off is
//!    never made to look whole, by us or by an engine that we end.
//! 5. No host key goes unverified, and no secret is in an argument, a log, a `Debug` or an error.
//! 6. Everything is bounded, and every bound is a named constant or a setting.
//! 7. A command becomes a line for a shell in one place, [`host::quote`].
//! 8. Tasks are owned by a `TaskTracker`, and "admit no more" is not "end what runs".

pub mod api;
pub mod app;
pub mod backend;
pub mod beside;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod doctor;
pub mod fleet;
pub mod gateway;
pub mod host;
pub mod id;
pub mod instance;
pub mod keeper;
pub mod launch;
pub mod marks;
pub mod route;
pub mod secret;
pub mod server;
pub mod slurm;
pub mod ssh;
pub mod vault;

pub use backend::Backend;
pub use server::{
    InferenceServer, Job, Options, Running, ServerConfig, ServerError, create_server, load_server_config,
    start_server_from_config,
};
