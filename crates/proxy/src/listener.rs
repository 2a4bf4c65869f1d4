//! Accepts the connections of clients.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::gateway::Gateway;
use crate::response::Stopping;

/// How many connections may be open.
const CONNECTIONS: usize = 1000;
/// How many streams a client may have on one HTTP/2 connection.
const STREAMS: u32 = 250;
const STREAM_WINDOW: u32 = 256 << 10;
/// The longest time for a TLS handshake, and for the head of an HTTP/1.1 request.
const PATIENCE: Duration = Duration::from_secs(10);
/// HTTP/2 clients are pinged after this silence, and have half of it for the response.
const SILENCE: Duration = Duration::from_secs(30);
const LARGEST_HEADERS: u32 = 64 << 10;

/// Serves connections until `stopping`, then waits until each has sent the rest of its responses.
pub async fn serve(
    listener: TcpListener,
    tls: impl Fn() -> TlsAcceptor,
    gateway: Arc<Gateway>,
    mut stopping: Stopping,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let server = Arc::new(server());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly. Connections that end give some back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Refused at once: a client that is accepted and not served would wait.
        let Ok(permit) = connections.clone().try_acquire_owned() else {
            tracing::warn!("refused a connection: {CONNECTIONS} are open");
            continue;
        };
        let (acceptor, gateway, server) = (tls(), gateway.clone(), server.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let Some(stream) = handshake(acceptor, stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let gateway = gateway.clone();
                async move { Ok::<_, Infallible>(gateway.serve(request).await) }
            });
            let connection =
                server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a client's connection broke");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    // A watch has small events: none may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed: does the client trust ca.crt?");
            None
        }
        Err(_) => None,
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * 16)
        .max_header_list_size(LARGEST_HEADERS)
        .keep_alive_interval(SILENCE)
        .keep_alive_timeout(SILENCE / 2);
    server
}
