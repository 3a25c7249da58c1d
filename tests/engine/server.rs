//! The accept loop.

use std::io;
use std::sync::atomic::Ordering;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::app::App;
use crate::listener::Listener;

/// Serves `app` on `listener` for ever.
///
/// # Errors
/// The listener's own.
pub(crate) async fn serve(listener: Listener, app: App) -> io::Result<()> {
    let service = TowerToHyperService::new(app.router());
    loop {
        match &listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                answer(stream, &app, service.clone());
            }
            Listener::Unix(listener) => answer(listener.accept().await?.0, &app, service.clone()),
        }
    }
}

fn answer<S>(stream: S, app: &App, service: TowerToHyperService<Router>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    app.counters().connections.fetch_add(1, Ordering::SeqCst);
    let mut builder = http1::Builder::new();
    // The wait for a next request counts as reading its head, so this is the keep-alive time as well.
    builder.timer(TokioTimer::new()).header_read_timeout(app.args().keep_alive);
    tokio::spawn(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
}
