//! Copies bytes between the proxy and an API server, and breaks the connections as a network does.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The directions in which bytes pass. Bytes that do not pass wait.
#[derive(Clone, Copy)]
struct Flow {
    to_server: bool,
    to_proxy: bool,
}

const OPEN: Flow = Flow { to_server: true, to_proxy: true };

/// A relay in front of one API server. It stops listening when it is dropped.
pub struct Relay {
    pub address: SocketAddr,
    server: SocketAddr,
    flow: watch::Sender<Flow>,
    /// Raised to reset all connections.
    reset: watch::Sender<usize>,
    accepting: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn start(server: SocketAddr) -> Relay {
        let listener = listen("127.0.0.1:0".parse().unwrap());
        let mut relay = Relay {
            address: listener.local_addr().unwrap(),
            server,
            flow: watch::channel(OPEN).0,
            reset: watch::channel(0).0,
            accepting: None,
        };
        relay.accept(listener);
        relay
    }

    /// Resets all connections. New ones are accepted.
    pub fn reset(&self) {
        self.reset.send_modify(|count| *count += 1);
    }

    /// Accepts connections, and lets no byte pass: each is half-open.
    pub fn freeze(&self) {
        self.flow.send_replace(Flow { to_server: false, to_proxy: false });
    }

    /// Lets no byte of the server pass.
    pub fn freeze_to_proxy(&self) {
        self.flow.send_replace(Flow { to_proxy: false, ..OPEN });
    }

    /// Lets bytes pass again, those that waited first.
    pub fn thaw(&self) {
        self.flow.send_replace(OPEN);
    }

    /// Resets all connections, and refuses new ones.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // The listener is closed when its task has ended.
            let _ = accepting.await;
        }
        self.reset();
    }

    /// Accepts connections again.
    pub fn accept_again(&mut self) {
        self.accept(listen(self.address));
    }

    fn accept(&mut self, listener: TcpListener) {
        let (server, flow, reset) = (self.server, self.flow.clone(), self.reset.clone());
        self.accepting = Some(tokio::spawn(async move {
            while let Ok((proxy, _)) = listener.accept().await {
                tokio::spawn(relay(proxy, server, flow.subscribe(), reset.subscribe()));
            }
        }));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

/// Listens at once: a tokio listener would have to be awaited.
pub fn listen(address: SocketAddr) -> TcpListener {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
    }
    .unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(1024).unwrap()
}

async fn relay(
    mut proxy: TcpStream,
    server: SocketAddr,
    flow: watch::Receiver<Flow>,
    mut reset: watch::Receiver<usize>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (proxy.set_nodelay(true), server.set_nodelay(true));
    let is_reset = {
        let (from_proxy, to_proxy) = proxy.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::join!(
                carry(from_proxy, to_server, flow.clone(), |flow| flow.to_server),
                carry(from_server, to_proxy, flow.clone(), |flow| flow.to_proxy)
            )
        };
        tokio::select! {
            _ = both => false,
            changed = reset.changed() => changed.is_ok(),
        }
    };
    if is_reset {
        // Without a time to linger the kernel sends RST.
        for stream in [&proxy, &server] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Copies one direction until it ends.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: watch::Receiver<Flow>,
    passes: impl Fn(&Flow) -> bool,
) {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        // The end of a direction waits like its bytes.
        if flow.wait_for(&passes).await.is_err() {
            return;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}
