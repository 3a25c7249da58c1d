//! A tunnel that stands.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, sink};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::far_port::FarPort;
use super::fault::Paste;
use super::{FarSide, ReverseFault, ReversePlan};
use crate::host::lossy_lines::LossyLines;
use crate::host::relay::greeting;
use crate::host::stream::give;
use crate::host::{Host, HostError, HostStream, Program};
use crate::ssh::{ForwardServer, SshError};

/// How long a tunnel may take: a step of a job has to start, and its ssh to log in.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Lines kept of what its ssh says while it begins.
const LINES_KEPT: usize = 200;

/// What OpenSSH says once its server has chosen a port.
const ALLOCATED: &str = "Allocated port ";

/// A tunnel that stands. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Tunnel {
    end: End,
    ended: CancellationToken,
    _release: DropGuard,
}

/// How its end is reached.
#[derive(Debug)]
enum End {
    /// A port of a host.
    Port(FarPort),
    /// A connection that came to us.
    Own(ForwardServer),
}

/// A program that was started, and will be a tunnel.
struct Beginning {
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    stdout: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    stderr: LossyLines<Box<dyn AsyncRead + Send + Unpin>>,
    said: Vec<String>,
}

impl Tunnel {
    /// Starts one, and returns once its end is known and proved to be ours.
    ///
    /// # Errors
    /// It cannot be had.
    pub(super) async fn start(host: &Host, plan: &ReversePlan, tasks: &TaskTracker) -> Result<Self, HostError> {
        match &plan.far {
            FarSide::Sshd { paste, .. } => {
                let begun = Beginning::start(host, plan).await?;
                let (begun, port) = begun.until_allocated(paste).await?;
                let (ended, release) = begun.hold(tasks);
                let port = FarPort::find(host, &plan.far, &plan.nonce, port, tasks).await?;
                Ok(Self { end: End::Port(port), ended, _release: release })
            }
            FarSide::Own { address } => {
                let server = ForwardServer::listen(*address, tasks).await?;
                let mut begun = Beginning::start(host, plan).await?;
                let told = format!(
                    "{address}\n{}\n{}\n{}\n.\n",
                    server.port(),
                    server.known_hosts(),
                    server.client_key().expose_secret().trim_end()
                );
                begun.until_joined(&server, &told, &plan.nonce, &address.to_string()).await?;
                let (ended, release) = begun.hold(tasks);
                Ok(Self { end: End::Own(server), ended, _release: release })
            }
        }
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
            || match &self.end {
                End::Port(_) => false,
                End::Own(server) => server.is_over(),
            }
    }

    /// Opens a connection to the port that it leads to.
    ///
    /// # Errors
    /// It has ended, nobody takes connections there, or somebody else does.
    pub(super) async fn dial(&self) -> Result<HostStream, HostError> {
        match &self.end {
            End::Port(port) => port.dial().await,
            End::Own(server) => Ok(HostStream::Channel(server.open().await?)),
        }
    }

    /// Whether a dial that failed like this means that it has ended, which its ssh may be late to say.
    pub(super) fn is_broken_by(&self, error: &HostError) -> bool {
        match &self.end {
            End::Port(_) => match error {
                HostError::Reverse(fault) => {
                    matches!(fault, ReverseFault::Foreign { .. } | ReverseFault::Nobody { .. })
                }
                HostError::Io(_) | HostError::Ssh(_) | HostError::Relay(_) => {
                    error.is_unreachable() && !error.is_link_loss()
                }
            },
            End::Own(_) => matches!(error, HostError::Ssh(SshError::Closed { .. })),
        }
    }
}

impl Beginning {
    async fn start(host: &Host, plan: &ReversePlan) -> Result<Self, HostError> {
        let mut program = host.spawn(plan.shell).await?;
        program.give(&plan.script).await?;
        let Program { stdin, stdout, stderr } = program;
        let (stdout, stderr) = (BufReader::new(stdout), LossyLines::new(stderr));
        Ok(Self { stdin, stdout, stderr, said: Vec::new() })
    }

    /// The next line that it says; none once it has ended.
    async fn line(&mut self) -> std::io::Result<Option<&str>> {
        let Some(line) = self.stderr.next().await? else { return Ok(None) };
        tracing::debug!("the job's ssh says: {line}");
        if self.said.len() >= LINES_KEPT {
            self.said.remove(0);
        }
        self.said.push(line);
        Ok(self.said.last().map(String::as_str))
    }

    /// Waits for the port that the far side's sshd has chosen.
    async fn until_allocated(mut self, paste: &Paste) -> Result<(Self, u16), HostError> {
        let allocated = async {
            while let Some(line) = self.line().await? {
                if let Some(port) = allocated(line) {
                    return Ok(Some(port));
                }
            }
            Ok::<_, HostError>(None)
        };
        match timeout(START_TIMEOUT, allocated).await {
            Ok(Ok(Some(port))) => Ok((self, port)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) => Err(ReverseFault::of(&self.said, paste).into()),
            Err(_) => Err(ReverseFault::Silent { host: paste.host.clone(), after: START_TIMEOUT }.into()),
        }
    }

    /// Tells it where our server is once it has greeted, and waits until it has come there.
    async fn until_joined(
        &mut self,
        server: &ForwardServer,
        told: &str,
        nonce: &str,
        host: &str,
    ) -> Result<(), HostError> {
        let joined = async {
            if !greeting(&mut self.stdout, &format!("{nonce} reverse\n")).await? {
                while self.line().await?.is_some() {}
                return Ok(false);
            }
            give(&mut self.stdin, told).await?;
            loop {
                tokio::select! {
                    () = server.joined() => return Ok(true),
                    line = self.line() => if line?.is_none() {
                        return Ok(false);
                    }
                }
            }
        };
        match timeout(START_TIMEOUT, joined).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) | Err(_) => Err(ReverseFault::not_come(&self.said, host).into()),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Holds its streams in a task: until it ends, which is told, or nobody wants it any more, which ends it.
    fn hold(self, tasks: &TaskTracker) -> (CancellationToken, DropGuard) {
        let Self { stdin, mut stdout, mut stderr, .. } = self;
        let (ended, release) = (CancellationToken::new(), CancellationToken::new());
        let (tell, released) = (ended.clone().drop_guard(), release.clone());
        tasks.spawn(async move {
            let listening = async {
                while let Ok(Some(line)) = stderr.next().await {
                    tracing::debug!("the job's ssh says: {line}");
                }
                std::future::pending::<()>().await;
            };
            let mut nowhere = sink();
            tokio::select! {
                _ = tokio::io::copy(&mut stdout, &mut nowhere) => tracing::debug!("the job's ssh ended"),
                () = listening => {}
                () = released.cancelled() => {}
            }
            drop((stdin, tell));
        });
        (ended, release.drop_guard())
    }
}

/// The port in what OpenSSH says of it.
fn allocated(line: &str) -> Option<u16> {
    let (port, rest) = line.trim().strip_prefix(ALLOCATED)?.split_once(' ')?;
    rest.starts_with("for remote forward").then_some(port)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("Allocated port 40123 for remote forward to 127.0.0.1:8000", Some(40123))]
    #[test_case("Allocated port 40123 for remote forward to 127.0.0.1:8000\r", Some(40123) ; "with the end that ssh gives its lines")]
    #[test_case("srun: Allocated port 1 for remote forward to x", None ; "somebody else's words")]
    #[test_case("Allocated port 70000 for remote forward to x", None ; "no port")]
    #[test_case("Allocated port 7", None ; "a line that broke off")]
    fn the_port_is_read(line: &str, port: Option<u16>) {
        assert_eq!(allocated(line), port);
    }
}
