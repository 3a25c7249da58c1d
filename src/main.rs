//! The program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_proxy::cli::main(std::env::args_os())
}
