//! What is known of one kind of engine: all that differs between them, in one value, so that a kind is one small file.

use super::causes::Cause;
use super::endpoint::Endpoint;
use super::flags::Flags;
use super::loading::Mark;
use super::profiling::Profiler;

/// What is known of a kind of engine.
#[derive(Debug)]
pub struct Profile {
    /// What people call it.
    pub name: &'static str,
    /// Whether its server starts with the word at this index of a command's words, whatever wraps it.
    pub found: fn(words: &[String], at: usize) -> Option<Found>,
    /// Its commands, as words, the usual one first; `{model}` is the model. None: the user writes the command.
    pub commands: &'static [&'static [&'static str]],
    /// The names of the models that it serves, as far as its arguments tell; the first is the main one.
    pub models: fn(arguments: &[String], subcommand: bool) -> Vec<String>,
    /// The flag that says what it calls its model; it takes several names if it is one of [`Flags::several`].
    pub name_flag: Option<&'static str>,
    /// The keys in its arguments.
    pub keys: fn(arguments: &[String]) -> Vec<String>,
    /// The environment variables by which it is given a key; none: it can only be given one in its command.
    pub key_variables: &'static [&'static str],
    /// How it takes its arguments.
    pub flags: Flags,
    /// The flag that says the path of a Unix socket to listen on.
    pub socket_flag: Option<&'static str>,
    /// The paths that tell whether it is ready, by a 200. The next is for a 404 at the one before.
    pub ready_paths: &'static [&'static str],
    /// What it serves.
    pub endpoints: &'static [Endpoint],
    /// What is known of profiling it; none: only by a program around it.
    pub profiler: Option<Profiler>,
    /// The gauges of its Prometheus metrics that count requests as running or waiting.
    pub busy_metrics: &'static [&'static str],
    /// What its log says about the steps of its start. The first mark that is in a line counts.
    pub marks: &'static [Mark],
    /// Its usual failures, in its own words, the most telling first, with a remedy each.
    pub causes: &'static [Cause],
}

/// Where an engine's program was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The index of its first argument.
    pub first_argument: usize,
    /// Whether it was started as `… serve`, and so takes the model as a bare word.
    pub subcommand: bool,
}

/// The page that shows how to add a kind; its example is compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../../docs/backends.md")]
struct Page;
