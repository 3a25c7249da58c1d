//! A connection to what is measured.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Asked;
use crate::response::Response;

/// A base URL.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    written: String,
    authority: String,
    address: SocketAddr,
    prefix: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let rest = written.strip_prefix("http://").ok_or("a URL begins with http://")?;
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let mut addresses = authority.to_socket_addrs().map_err(|error| error.to_string())?;
        Ok(Self {
            written: written.to_owned(),
            authority: authority.to_owned(),
            address: addresses.next().ok_or("no address")?,
            prefix: prefix.trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

impl Target {
    /// A request's head: `more` are whole header lines.
    pub(crate) fn head(&self, asked: &Asked, line: (&str, &str), more: &str) -> String {
        let (method, path) = line;
        let key = asked.key.as_ref().map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"));
        format!("{method} {}{path} HTTP/1.1\r\nHost: {}\r\n{key}{more}\r\n", self.prefix, self.authority)
    }

    /// A whole request for a chat.
    pub(crate) fn chat(&self, asked: &Asked, body: &serde_json::Value) -> Vec<u8> {
        let body = body.to_string();
        let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        (self.head(asked, ("POST", "/v1/chat/completions"), &more) + &body).into_bytes()
    }
}

/// A connection, with room for what is read at once.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    room: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(target: &Target, room: usize) -> Result<Self, String> {
        let stream = TcpStream::connect(target.address).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, room: vec![0; room] })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|error| format!("write: {error}"))
    }

    /// Reads once; nothing is read after a response's end. Says whether more of it is to come.
    pub(crate) async fn read(&mut self, response: &mut Response, sink: &mut impl FnMut(&[u8])) -> Result<bool, String> {
        let length = self.stream.read(&mut self.room).await.map_err(|error| format!("read: {error}"))?;
        if length == 0 {
            return if response.may_close() { Ok(false) } else { Err("closed in the middle".to_owned()) };
        }
        response.feed(self.room.get(..length).unwrap_or_default(), sink)?;
        match response.status() {
            0 | 200 => Ok(!response.is_over()),
            status => Err(format!("status {status}")),
        }
    }

    /// Reads a response to its end.
    pub(crate) async fn whole(&mut self, sink: &mut impl FnMut(&[u8])) -> Result<(), String> {
        let mut response = Response::new();
        while self.read(&mut response, sink).await? {}
        Ok(())
    }
}
