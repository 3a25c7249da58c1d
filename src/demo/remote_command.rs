//! A command that a client runs on the login host.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use russh::server::Msg;
use russh::{Channel, ChannelWriteHalf};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::streams;

/// The exit code by which shells say that a program cannot be run.
const CANNOT_RUN: u32 = 127;

/// Extended data of this kind is standard error.
const STDERR: u32 = 1;

/// What commands find around them, and nothing else.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The folder where they start.
    pub home: PathBuf,
    /// Their whole environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Runs `command` as a user's shell would, and tells how it ended.
pub async fn run(channel: Channel<Msg>, command: Vec<u8>, around: &Surroundings) {
    let (mut from_client, to_client) = channel.split();
    let code = match spawn(&command, around) {
        Ok(child) => carry(child, &mut from_client, &to_client).await,
        Err(error) => {
            let words = format!("/bin/sh: {error}\n");
            drop(to_client.make_writer_ext(Some(STDERR)).write_all(words.as_bytes()).await);
            Some(CANNOT_RUN)
        }
    };
    // All of these fail only where the connection is gone.
    if let Some(code) = code {
        drop(to_client.exit_status(code).await);
        drop(to_client.eof().await);
    }
    drop(to_client.close().await);
}

fn spawn(command: &[u8], around: &Surroundings) -> std::io::Result<Child> {
    let environment = around.environment.iter().map(|(name, value)| (name, value));
    Command::new("/bin/sh")
        .arg("-c")
        .arg(OsStr::from_bytes(command))
        .env_clear()
        .envs(environment)
        .current_dir(&around.home)
        // A group of its own: Ctrl-C on our terminal is not for the far end.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Carries the three streams. The exit code, or nothing where the client closed the channel: the command then sees its
/// streams end, as under any SSH server, and is not killed.
async fn carry(
    mut child: Child,
    from_client: &mut russh::ChannelReadHalf,
    to_client: &ChannelWriteHalf<Msg>,
) -> Option<u32> {
    let (stdin, mut stdout, mut stderr) = (child.stdin.take()?, child.stdout.take()?, child.stderr.take()?);
    let output = async {
        let (mut out, mut err) = (to_client.make_writer(), to_client.make_writer_ext(Some(STDERR)));
        // The outputs first: a command that left something behind which writes on has not ended for its client.
        let (_, _) = tokio::join!(tokio::io::copy(&mut stdout, &mut out), tokio::io::copy(&mut stderr, &mut err));
    };
    let left = tokio::select! {
        () = output => false,
        () = async {
            streams::take_in(from_client, stdin).await;
        } => true,
    };
    drop((stdout, stderr));
    let status = child.wait().await;
    if left { None } else { Some(status.map_or(CANNOT_RUN, exit_code)) }
}

/// As a shell says it: 128 and the signal, where a signal ended it.
fn exit_code(status: ExitStatus) -> u32 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u32::try_from(code).ok()).unwrap_or(CANNOT_RUN)
}
