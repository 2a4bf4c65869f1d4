//! The process: its log, memory, signals and health.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::chain::{AGENT, Chain, Http2, PODS, Plan, connect, next, read_until, soon, until_end};
use super::relay::listen;
use super::scene::SLICES;

/// The program, as a second proxy in front of the servers of a chain.
struct Process {
    child: Child,
    proxy: SocketAddr,
    health: SocketAddr,
    folder: PathBuf,
}

impl Process {
    async fn start(chain: &Chain, log: &str) -> Process {
        let folder = chain.scene.path("process");
        std::fs::create_dir(&folder).unwrap();
        // Free at this moment.
        let free = || listen("127.0.0.1:0".parse().unwrap());
        let free = [free(), free()].map(|listener| listener.local_addr().unwrap());
        let [proxy, health] = free;
        let files = chain.scene.folder.path().display();
        let arguments = format!(
            "--node hz-1 --listen {proxy} --health-listen {health} --server {} \
             --learn-servers false --token-file {files}/token --ca-file {files}/ca.crt \
             --config {files}/config.json --state-dir {files}/process/state \
             --client-dir {files}/process/client",
            chain.relays[0].address
        );
        let output = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_poolscope-proxy"))
            .args(arguments.split_whitespace())
            .env("LOG", log)
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap();
        let process = Process { child, proxy, health, folder };
        let ready = async {
            while !process.health("/readyz").await.starts_with("HTTP/1.1 200") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(ready).await;
        process
    }

    async fn health(&self, target: &str) -> String {
        let Ok(mut stream) = tokio::net::TcpStream::connect(self.health).await else {
            return String::new();
        };
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        let _ = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut response).await;
        response
    }

    fn client_files(&self) -> PathBuf {
        self.folder.join("client")
    }

    async fn http2(&self) -> Http2 {
        Http2::connect(self.proxy, &self.client_files()).await
    }

    /// Sends SIGTERM.
    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits until the process has ended, and returns `true` if that was a success.
    async fn ended(&mut self) -> bool {
        let ending = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    break status.success();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(ending).await
    }

    /// Returns the most memory that the process has used, in bytes.
    fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_14_no_token_is_in_the_log_of_any_level() {
    let mut chain = Chain::start(Plan::default()).await;
    chain.scene.rename_over("token", "marker-own");
    let mut process = Process::start(&chain, "trace").await;
    for target in ["/version", SLICES, "/api/v1//services", "/die", "/status/500", PODS] {
        let mut stream = connect(process.proxy, &process.client_files(), b"http/1.1").await;
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             authorization: Bearer marker-client\r\ncookie: marker-cookie\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
    }
    chain.relays[0].refuse().await;
    let mut client = process.http2().await;
    assert_eq!(client.get("/version").await.0, 503);
    process.terminate();
    assert!(process.ended().await);

    let received = chain.server().received("");
    for token in ["marker-own", "marker-client"] {
        assert!(received.iter().any(|one| one.token() == Some(token)), "{token}");
    }
    let mut log = String::new();
    std::fs::File::open(process.folder.join("log")).unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("TRACE") && log.contains("a request failed"), "{} bytes", log.len());
    let leak = log.lines().find(|line| line.contains("marker-own") || line.contains("marker-cl"));
    assert_eq!(leak, None);
    assert!(!log.contains("Bearer agent"));
}

/// Waits until the API server sends nothing more, and returns the bytes that it has sent.
async fn stopped(chain: &Chain) -> u64 {
    let sent = || chain.server().sent.load(Ordering::Relaxed);
    let mut last = u64::MAX;
    while last != sent() {
        last = sent();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_19_a_big_list_takes_little_memory_and_waits_for_its_reader() {
    let chain = Chain::start(Plan::default()).await;
    // Originals that are kept for the watch that follows are as large as the list.
    let config = r#"{"membership": "off", "retention": "none"}"#;
    chain.scene.rename_over("config.json", config);
    let process = Process::start(&chain, "info").await;
    let mut client = process.http2().await;
    let before = process.peak_memory();
    let target = SLICES.replace("/endpoint", "/namespaces/big-6000/endpoint");
    let response = client.send(Method::GET, &target).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut received = next(&mut body).await.len() as u64;
    let unread = stopped(&chain).await;
    // The reader goes on.
    while let Some(frame) = soon(body.frame()).await {
        received += frame.unwrap().into_data().unwrap().len() as u64;
    }
    let (whole, grown) =
        (chain.server().sent.load(Ordering::Relaxed), process.peak_memory() - before);
    assert!(whole > 64 << 20, "{whole} bytes are not big");
    assert!(unread < whole / 2, "{unread} of {whole} bytes for a reader that stopped");
    assert!(received < whole * 2 / 3, "{received} of {whole} bytes passed");
    assert!(grown < 32 << 20, "{grown} bytes more for {whole} bytes");

    // A response that passes byte for byte waits too.
    let before = stopped(&chain).await;
    let watch = client.send(Method::GET, "/api/v1/configmaps?watch=true").await.unwrap();
    let unread = stopped(&chain).await - before;
    assert!(unread < 32 << 20, "{unread} bytes for a reader that stopped");
    drop(watch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_22_sigterm_ends_300_watches_regularly_and_in_time() {
    let chain = Chain::start(Plan::default()).await;
    let mut process = Process::start(&chain, "info").await;
    let mut clients = [process.http2().await, process.http2().await];
    let mut watches = Vec::new();
    for watch in 0..300 {
        watches.push(clients[watch % 2].watch(PODS).await);
    }
    let mut http1 = connect(process.proxy, &process.client_files(), b"http/1.1").await;
    let request = format!("GET {PODS} HTTP/1.1\r\nhost: x\r\n{AGENT}\r\n");
    http1.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut http1, super::server::EVENT).await;
    // A list that never ends, and an idle connection.
    let list = clients[0].send(Method::GET, "/api/v1/secrets").await.unwrap();
    let mut idle = connect(process.proxy, &process.client_files(), b"http/1.1").await;

    let started = Instant::now();
    process.terminate();
    for watch in watches {
        assert_eq!(until_end(watch).await, "");
    }
    read_until(&mut http1, "0\r\n\r\n").await;
    assert!(started.elapsed() < Duration::from_secs(9), "watches do not wait for the list");
    let mut rest = Vec::new();
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut idle, &mut rest)).await;
    assert!(process.ended().await, "the process failed");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(list.into_body().collect().await.is_err());
}

/// A subscriber that panics once it is armed, in the request that failed.
struct Panics(Arc<AtomicBool>);

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "poolscope_proxy::gateway"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if self.0.swap(false, Ordering::Relaxed) {
            panic!("a check panics at {:?}", event.metadata().target());
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn check_20_a_panic_or_an_error_ends_one_request() {
    let armed = Arc::new(AtomicBool::new(false));
    let _guard = tracing::subscriber::set_default(Panics(armed.clone()));
    let chain = Chain::start(Plan::default()).await;
    let mut client = chain.http2().await;
    let mut watch = client.watch(PODS).await;
    armed.store(true, Ordering::Relaxed);
    let (status, body) = client.get("/die").await;
    assert!(!armed.load(Ordering::Relaxed), "nothing panicked");
    assert_eq!(status, 500);
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["kind"], &body["code"]), (&"Status".into(), &500.into()));
    chain.server().event(super::server::EVENT);
    assert_eq!(next(&mut watch).await, super::server::EVENT);

    // After an error nothing more of the response is sent: the connection serves the next request.
    let mut stream = chain.http1().await;
    for (target, headers, status) in [
        ("/version", "", "401"),
        ("/api/v1//services", AGENT, "400"),
        ("/die", AGENT, "502"),
        ("/status/404", AGENT, "404"),
        ("/version", AGENT, "200"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().unwrap()];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_24_liveness_needs_no_cloud_and_readiness_says_why() {
    let mut chain = Chain::start(Plan::default()).await;
    let address = chain.relays[0].address.to_string();
    assert!(chain.scene.health("/livez", "").await.starts_with("HTTP/1.1 200"));
    chain.relays[0].refuse().await;
    assert_eq!(chain.http2().await.get("/version").await.0, 503);
    let unready = async {
        loop {
            let response = chain.scene.health("/readyz", "").await;
            if response.starts_with("HTTP/1.1 503") {
                break response;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let response = soon(unready).await;
    assert!(response.contains(&address) && response.contains("refused"), "{response}");
    assert!(chain.scene.health("/livez", "").await.starts_with("HTTP/1.1 200"));
    chain.relays[0].accept_again();
    soon(chain.scene.ready()).await;
}
