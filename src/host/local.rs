//! This machine as a host.

use std::process::Stdio;

use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;

use super::machine::BY_LOGIN_SHELL;
use super::{Endpoint, HostError, HostStream, Program, Shell};
use crate::config;

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct LocalHost;

impl LocalHost {
    pub(super) async fn dial(self, endpoint: &Endpoint) -> Result<HostStream, HostError> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
                stream.set_nodelay(true)?;
                Ok(HostStream::Tcp(stream))
            }
            Endpoint::Unix(path) => Ok(HostStream::Unix(UnixStream::connect(path).await?)),
        }
    }

    pub(super) fn spawn(shell: Shell) -> Result<Program, HostError> {
        let (program, arguments) = match shell {
            Shell::Posix => ("/bin/sh", ["-s"].as_slice()),
            Shell::Login => ("/bin/bash", ["-c", BY_LOGIN_SHELL].as_slice()),
        };
        let mut command = Command::new(program);
        // Ours to know, and not the engine's: our access key may be among them.
        for (name, _) in std::env::vars_os() {
            if config::is_ours(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C on our terminal is for us, who stop the engine in order.
        let mut child = command
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("a standard stream of the shell is missing");
        Ok(Program {
            stdin: Box::new(child.stdin.take().ok_or_else(missing)?),
            stdout: Box::new(child.stdout.take().ok_or_else(missing)?),
            stderr: Box::new(child.stderr.take().ok_or_else(missing)?),
        })
    }
}
