//! From nothing to an answer through a stream of this program's own SSH client: what `ssh -W` does, by the library.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use llm_proxy::ssh::{SshClient, SshOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::TaskTracker;

/// One stream by SSH: standard input is sent on it, and what comes back is printed, as with `ssh -W`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The login host, as `serve` takes it
    #[arg(long)]
    login: String,
    /// The SSH configuration, as with `ssh -F`
    #[arg(long, value_name = "FILE")]
    ssh_config: PathBuf,
    /// Where the stream goes from there
    #[arg(long, value_name = "HOST")]
    to_host: String,
    /// The port there
    #[arg(long, value_name = "PORT")]
    to_port: u16,
}

pub(crate) async fn run(args: &Args) {
    let mut options = SshOptions::new(args.login.as_str());
    options.config_file = Some(args.ssh_config.clone());
    let mut words = Vec::new();
    io::stdin().read_to_end(&mut words).expect("standard input can be read");
    let client = SshClient::new(&options, TaskTracker::new()).expect("the configuration can be read");
    let mut stream = client.dial(&args.to_host, args.to_port).await.expect("there is a way");
    stream.write_all(&words).await.expect("the stream stands");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    io::stdout().write_all(&answer).expect("standard output stands");
}
