//! What was typed, and which verb runs.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::{
    CompletionsArgs, ConfigArgs, DemoArgs, DemoEngineArgs, DoctorArgs, LoginArgs, LogsArgs, ManArgs, ServeArgs,
    StartArgs, StatusArgs, StopArgs, completions, config, demo, demo_engine, doctor, login, logs, man, serve, start,
    status, stop,
};

/// Serve an OpenAI-compatible API here; run its engine on a GPU found on demand, and give the GPU back when idle
#[derive(Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Listen now, start COMMAND on demand, stop it when idle (also what a call without a verb means)
    Serve(Box<ServeArgs>),
    /// Check everything that `serve` would need with the same arguments, and say how to mend what is not well
    Doctor(Box<DoctorArgs>),
    /// Answer here what the login host of a running instance asks: a password, a code, the trust in its key
    Login(LoginArgs),
    /// Look at a configuration file: what is wrong with it, what would be used, what may stand in it
    Config(ConfigArgs),
    /// Show where the instances stand
    Status(StatusArgs),
    /// Start an instance's engine now, without a request
    Start(StartArgs),
    /// End an instance's engine, and wait until it is gone; a later request starts it again
    Stop(StopArgs),
    /// Print the engine's own log
    Logs(LogsArgs),
    /// Show the whole way here in seconds, with a login host, an srun and an engine that are only played
    Demo(DemoArgs),
    /// Print what a shell reads to complete verbs and options, such as for ~/.local/share/bash-completion/completions/llm-proxy
    Completions(CompletionsArgs),
    /// Print the manual page, such as for `llm-proxy man | man -l -`
    Man(ManArgs),
    /// Be the engine of the demonstration
    #[command(hide = true)]
    DemoEngine(DemoEngineArgs),
}

/// Runs the program with these arguments, the first of which is its own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = with_verb(args);
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(code) = doctor::not_understood(&error, &args) {
                return code;
            }
            // Help and version go to standard output with 0, faults to standard error with 2: both are clap's own.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let outcome = match cli.verb {
        Verb::Serve(args) => serve::run(&args),
        Verb::Config(args) => config::run(args),
        Verb::Doctor(doctor_args) => doctor::run(*doctor_args, &args),
        Verb::Login(args) => login::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Start(args) => start::run(&args),
        Verb::Stop(args) => stop::run(&args),
        Verb::Logs(args) => logs::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
        Verb::DemoEngine(args) => demo_engine::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(report) => report.print(),
    }
}

/// A call without a verb means `serve`.
fn with_verb(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let first = args.get(1).map(|word| word.to_string_lossy().into_owned());
    let named = first.as_deref().is_none_or(|word| {
        Cli::command().find_subcommand(word).is_some() || ["-h", "--help", "-V", "--version"].contains(&word)
    });
    if !named {
        args.insert(1, "serve".into());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_call_without_a_verb_serves() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (typed, meant) in [
            ("llm-proxy vllm serve M", "llm-proxy serve vllm serve M"),
            ("llm-proxy --port 1 vllm", "llm-proxy serve --port 1 vllm"),
            ("llm-proxy serve vllm", "llm-proxy serve vllm"),
            ("llm-proxy --help", "llm-proxy --help"),
            ("llm-proxy", "llm-proxy"),
        ] {
            assert_eq!(with_verb(words(typed)), words(meant), "{typed}");
        }
    }
}
