//! The accept loop.

use std::io;
use std::sync::atomic::Ordering;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::app::App;

/// Serves `app` on `listener` for ever.
///
/// # Errors
/// The listener's own.
pub(crate) async fn serve(listener: TcpListener, app: App) -> io::Result<()> {
    let service = TowerToHyperService::new(app.router());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        app.counters().connections.fetch_add(1, Ordering::SeqCst);
        let mut builder = http1::Builder::new();
        // The wait for a next request counts as reading its head, so this is the keep-alive time as well.
        builder.timer(TokioTimer::new()).header_read_timeout(app.args().keep_alive);
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone()).with_upgrades();
        tokio::spawn(connection);
    }
}
