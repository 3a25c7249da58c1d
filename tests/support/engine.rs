//! The small engine, as a process on this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::Client;
use super::guard::ChildGuard;
use super::wait::Deadline;

/// Where the built engine is; panics with how to build it if it is not there.
pub(crate) fn engine_path() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    // target/PROFILE/deps/TEST-HASH
    let profile = test.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
    let engine = profile.join("examples/test-engine");
    assert!(engine.exists(), "{} is missing: cargo build --example test-engine", engine.display());
    engine
}

/// Puts `vllm` into `folder`: it writes its arguments, a line each, to `argv` there, and is the test engine, with what the
/// variable `STAND_IN_OPTIONS` says besides.
pub(crate) fn vllm_stand_in(folder: &Path) {
    let script = format!(
        r#"#!/bin/sh
echo 'this is a stand-in for vllm'
printf '%s\n' "$@" > '{argv}'
shift
set -- "$@" --end-of-words
host= port= names="--model $1"
while [ "$1" != --end-of-words ]; do
  case $1 in
  --host) host=$2; shift ;;
  --port) port=$2; shift ;;
  --served-model-name)
    names=
    while [ "${{2#--}}" = "$2" ]; do names="$names --model $2"; shift; done ;;
  esac
  shift
done
exec '{engine}' --host "$host" --port "$port" $names $STAND_IN_OPTIONS
"#,
        argv = folder.join("argv").display(),
        engine = engine_path().display(),
    );
    let program = folder.join("vllm");
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
}

/// Puts `nsys` into `folder`: it writes its arguments, a line each, to the file that is given back, and runs the `vllm` behind
/// them.
pub(crate) fn nsys_stand_in(folder: &Path) -> PathBuf {
    let recorded = folder.join("nsys.argv");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\nwhile [ \"$1\" != vllm ]; do shift; done\n\"$@\" & wait $!\n",
        recorded.display()
    );
    let program = folder.join("nsys");
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    recorded
}

/// A running engine, killed when dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    guard: ChildGuard,
    address: String,
}

impl Engine {
    /// Starts an engine on a free loopback port, and waits until it listens.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let guard = Self::spawn(arguments);
        let line = guard.stderr().wait_for("listening on http://", Deadline::in_seconds(20)).await;
        let (_, address) = line.split_once("http://").expect("the line that was waited for");
        Self { guard, address: address.trim().to_owned() }
    }

    /// Starts an engine that may never listen.
    pub(crate) fn spawn(arguments: &[&str]) -> ChildGuard {
        let mut command = Command::new(engine_path());
        command.args(["--port", "0"]).args(arguments);
        ChildGuard::start("the test engine", &mut command)
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A client for it.
    pub(crate) fn client(&self) -> Client {
        Client::tcp(&self.address)
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut ChildGuard {
        &mut self.guard
    }
}
