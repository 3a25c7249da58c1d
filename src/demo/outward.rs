//! Where the streams lead that a client of the login host asks for.

use std::future::Future;
use std::net::Ipv4Addr;

use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::net::TcpStream;

use super::streams;

/// A stream that a client asked for; unanswered it is refused.
pub struct Asked {
    /// The host that it names.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// The stream, once it was accepted.
    pub channel: Channel<Msg>,
    /// To accept or to refuse it.
    pub reply: ChannelOpenHandle,
    /// The connection that it came in.
    pub session: Handle,
}

/// What a login host does with such a stream. The tests have a few odd ones of their own.
pub trait Outward: Send + Sync + 'static {
    /// Answers, and carries the stream to its end.
    fn open(&self, asked: Asked) -> impl Future<Output = ()> + Send;
}

/// The compute nodes, all of which are this machine's loopback.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// Their names; no other host is dialled.
    pub names: Vec<String>,
}

impl Outward for Nodes {
    async fn open(&self, asked: Asked) {
        let Asked { host, port, channel, reply, .. } = asked;
        if !self.names.contains(&host) {
            return reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        }
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(stream) => {
                reply.accept().await;
                streams::join(channel, stream).await;
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
    }
}
