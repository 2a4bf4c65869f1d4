//! An API server on loopback whose connections and responses a test controls.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poolscope_proxy::upstream::Server;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request that reached the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub connection: usize,
    pub line: String,
    pub host: String,
    pub authorization: Option<String>,
}

/// The part that connections share.
pub struct Shared {
    pub seen: Mutex<Vec<Seen>>,
    accepted: Mutex<usize>,
    /// `true` ends the bodies of `/hold`.
    release: watch::Sender<bool>,
    /// Raised to send GOAWAY on all present connections.
    goaway: watch::Sender<usize>,
    max_streams: u32,
    /// The status of `/readyz`.
    pub readiness: Mutex<StatusCode>,
}

/// A running server. It stops accepting when it is dropped.
pub struct TestServer {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl TestServer {
    pub async fn start() -> TestServer {
        TestServer::bind("127.0.0.1:0".parse().unwrap(), 200, None).await
    }

    pub async fn bind(
        address: SocketAddr,
        max_streams: u32,
        tls: Option<TlsAcceptor>,
    ) -> TestServer {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            accepted: Mutex::default(),
            release: watch::channel(false).0,
            goaway: watch::channel(0).0,
            max_streams,
            readiness: Mutex::new(StatusCode::OK),
        });
        let task = tokio::spawn(accept(listener, shared.clone(), tls));
        TestServer { address, shared, task }
    }

    pub fn server(&self) -> Server {
        Server::new(self.address.ip().to_string(), self.address.port())
    }

    pub fn accepted(&self) -> usize {
        *self.shared.accepted.lock().unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub fn set_readiness(&self, status: StatusCode) {
        *self.shared.readiness.lock().unwrap() = status;
    }

    pub fn release(&self) {
        self.shared.release.send_replace(true);
    }

    pub fn goaway(&self) {
        self.shared.goaway.send_modify(|count| *count += 1);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let connection = {
            let mut accepted = shared.accepted.lock().unwrap();
            *accepted += 1;
            *accepted
        };
        let (shared, tls) = (shared.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, connection, shared).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    serve(stream, connection, shared).await;
                }
            }
        });
    }
}

async fn serve<S>(stream: S, connection: usize, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut goaway = shared.goaway.subscribe();
    let die = Arc::new(Notify::new());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(shared.max_streams);
    let service = {
        let die = die.clone();
        service_fn(move |request| respond(request, connection, shared.clone(), die.clone()))
    };
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            _ = serving.as_mut() => return,
            () = die.notified() => return,
            Ok(()) = goaway.changed() => serving.as_mut().graceful_shutdown(),
        }
    }
}

/// Replies by path: `/hold` ends on release, `/die` breaks the connection, `/die-once` only the
/// first time, `/reset` breaks the stream, `/big` has 4 MiB, `/echo` upgrades, `/silent` never
/// responds, `/upload` counts the bytes of the request.
async fn respond(
    mut request: Request<Incoming>,
    connection: usize,
    shared: Arc<Shared>,
    die: Arc<Notify>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, io::Error> {
    let header =
        |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let host = request.uri().authority().map(ToString::to_string).or_else(|| header("host"));
    let line = format!("{} {}", request.method(), request.uri().path());
    let seen = Seen {
        connection,
        host: host.unwrap_or_default(),
        authorization: header("authorization"),
        line: line.clone(),
    };
    let count = {
        let mut all = shared.seen.lock().unwrap();
        all.push(seen);
        all.iter().filter(|seen| seen.line == line).count()
    };
    let text = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes())).boxed();
    match request.uri().path() {
        "/hold" => {
            let released = shared.release.subscribe();
            Ok(Response::new(Hold::new(released).boxed()))
        }
        "/die" => {
            die.notify_one();
            std::future::pending().await
        }
        "/die-once" if count == 1 => {
            die.notify_one();
            std::future::pending().await
        }
        "/silent" | "/api/v1/silent" => std::future::pending().await,
        "/upload" => {
            let body = request.into_body().collect().await.map_err(io::Error::other)?;
            let length = body.to_bytes().len().to_string();
            Ok(Response::new(Full::new(Bytes::from(length)).boxed()))
        }
        "/readyz" => {
            let mut response = Response::new(text("ok"));
            *response.status_mut() = *shared.readiness.lock().unwrap();
            Ok(response)
        }
        "/reset" => Err(io::Error::other("reset")),
        "/big" => Ok(Response::new(Full::new(Bytes::from(vec![b'x'; 4 << 20])).boxed())),
        "/echo" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let stream = TokioIo::new(upgrade.await.unwrap());
                let (mut read, mut write) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            let mut response = Response::new(text(""));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            for name in ["connection", "upgrade"] {
                response.headers_mut().insert(name, request.headers()[name].clone());
            }
            Ok(response)
        }
        _ => Ok(Response::new(text("ok"))),
    }
}

/// A body of one frame that ends on release.
struct Hold {
    first: bool,
    released: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Hold {
    fn new(mut released: watch::Receiver<bool>) -> Hold {
        let released = Box::pin(async move { drop(released.wait_for(|released| *released).await) });
        Hold { first: true, released }
    }
}

impl Body for Hold {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.first) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"held")))));
        }
        self.released.as_mut().poll(context).map(|()| None)
    }
}
