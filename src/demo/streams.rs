//! Bytes between a channel and what is behind it.
//!
//! What we send waits for the client's window. What the client sends is not held back by a window of its own: russh gives
//! that back on receipt, and where a reader is slow it stops reading for the whole connection.

use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Hands on what the client sends. Returns when it closed the channel; its end of data only ends `to`.
pub(super) async fn take_in(from: &mut ChannelReadHalf, to: impl AsyncWrite + Unpin) {
    let mut to = Some(to);
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                if let Some(open) = &mut to
                    && (open.write_all(&data).await.is_err() || open.flush().await.is_err())
                {
                    // Nobody reads it any more; the client is not to be held up by that.
                    to = None;
                }
            }
            ChannelMsg::Eof => {
                if let Some(mut open) = to.take() {
                    // Fails where the other side has left, which is an end as well.
                    drop(open.shutdown().await);
                }
            }
            ChannelMsg::Close => return,
            _ => {}
        }
    }
}

/// Joins a channel and a socket until both directions have ended, or the client closed the channel.
pub(super) async fn join(channel: Channel<Msg>, socket: TcpStream) {
    // Without it small pieces would wait for an acknowledgement.
    drop(socket.set_nodelay(true));
    let (mut far, near) = socket.into_split();
    let (mut from_client, to_client) = channel.split();
    let out = async {
        let mut writer = to_client.make_writer();
        let whole = tokio::io::copy(&mut far, &mut writer).await.is_ok();
        // A stream that broke off is closed without an end of data, so that nobody takes it for whole.
        if whole { to_client.eof().await.is_ok() } else { false }
    };
    let taken_in = take_in(&mut from_client, near);
    tokio::pin!(out, taken_in);
    tokio::select! {
        () = &mut taken_in => {}
        // What the client still sends is taken until it closes, too.
        whole = &mut out => if whole { taken_in.await },
    }
    // Fails where the connection is gone, and the channel with it.
    drop(to_client.close().await);
}
