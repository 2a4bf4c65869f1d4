//! A small API server that answers from the recorded lists, in pages of five objects.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use poolscope_testkit::DATA;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

/// The objects of a page.
const PAGE: usize = 5;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Request {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

/// A status with a body, of 101 the program that ran; `None` in its place: no response at all.
pub type Answer = Option<(u16, Value)>;

/// Answers some requests otherwise than the recorded cluster.
pub type Override = Box<dyn Fn(&Request, usize) -> Option<Answer> + Send + Sync>;

pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    folder: TempDir,
}

impl Server {
    pub fn start() -> Server {
        Server::with(|_, _| None)
    }

    /// Starts a server. The function gets each request, and the number of earlier ones for its
    /// path.
    pub fn with(
        answer: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer): (_, Arc<Override>) = (requests.clone(), Arc::new(Box::new(answer)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || serve(stream.unwrap(), &log, &answer));
            }
        });
        let server = Server { address, requests, folder: tempfile::tempdir().unwrap() };
        server.write_kubeconfig("config", &format!("http://{}", server.address));
        server
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn write_kubeconfig(&self, name: &str, server: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "edge", "cluster": {"server": server}}],
            "users": [{"name": "eve", "user": {"token": "secret"}}],
            "contexts": [{"name": "site", "context": {"cluster": "edge", "user": "eve"}}],
            "current-context": "site",
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Prepares a run of the command, with the server's kubeconfig.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolscope"));
        command
            .args(args)
            .env("KUBECONFIG", self.folder.path().join("config"))
            .env("HOME", self.folder.path())
            .env_remove("KUBERNETES_SERVICE_HOST");
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Returns standard output of a run that did its work.
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the one line that a failed run wrote to standard error.
    pub fn failed(&self, args: &[&str]) -> String {
        one_line(self.run(args))
    }
}

/// Returns the one line that a failed run wrote to standard error.
pub fn one_line(output: Output) -> String {
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("poolscope: "), "{errors}");
    errors
}

pub fn status(code: u16, message: &str) -> Option<Answer> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "code": code, "message": message});
    Some(Some((code, status)))
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Request>>, answer: &Override) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    let Some(target) = words.nth(1) else { return };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let request = Request { target, headers, body };
    let before = {
        let mut log = log.lock().unwrap();
        let before = log.iter().filter(|earlier| earlier.path() == request.path()).count();
        log.push(request.clone());
        before
    };
    let answered = answer(&request, before).unwrap_or_else(|| recorded(&request));
    let Some((code, body)) = answered else {
        // The client gives up first.
        let _ = stream.read(&mut [0]);
        return;
    };
    if code == 101 {
        return run(stream, &request, &body);
    }
    let body = match body {
        // Text, such as metrics.
        Value::String(text) => text,
        body => body.to_string(),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
}

/// Answers `exec` with the end of a program: its `stdout`, `stderr` and `status`.
fn run(mut stream: TcpStream, request: &Request, program: &Value) {
    let accept = derive_accept_key(request.headers["sec-websocket-key"].as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    )
    .unwrap();
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    let mut send = |channel: u8, bytes: &[u8]| {
        socket.send(Message::binary([&[channel], bytes].concat())).unwrap();
    };
    for (channel, name) in [(1, "stdout"), (2, "stderr")] {
        for piece in program[name].as_str().unwrap_or_default().as_bytes().chunks(1000) {
            send(channel, piece);
        }
    }
    if !program["status"].is_null() {
        send(3, program["status"].to_string().as_bytes());
    }
    let _ = socket.close(None);
    while socket.read().is_ok() {}
}

/// Answers as the recorded cluster.
fn recorded(request: &Request) -> Answer {
    let name = match request.path() {
        "/version" => return Some((200, json!({"gitVersion": "v1.35.4"}))),
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
            return Some((201, json!({"status": {"allowed": true}})));
        }
        "/api/v1/pods" => return Some((200, json!({"kind": "PodList", "items": []}))),
        "/api/v1/services" => "services",
        "/api/v1/nodes" => "nodes",
        "/apis/discovery.k8s.io/v1/endpointslices" => "endpointslices",
        "/apis/apps.openyurt.io/v1beta2/nodepools" => "nodepools",
        _ => return status(404, "the server could not find the requested resource").unwrap(),
    };
    Some((200, page(name, &request.target)))
}

/// Returns one page of a recorded list.
pub fn page(name: &str, target: &str) -> Value {
    let path = format!("{DATA}/recorded/list/{name}-json.json");
    let mut list: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let start = target
        .split_once("continue=")
        .map_or(0, |(_, token)| token.strip_prefix("from%3D").unwrap().parse().unwrap());
    let items = list["items"].as_array_mut().unwrap();
    let rest = items.split_off(items.len().min(start));
    let left = rest.len().saturating_sub(PAGE);
    list["items"] = rest.into_iter().take(PAGE).collect();
    if left > 0 {
        list["metadata"]["continue"] = format!("from={}", start + PAGE).into();
        list["metadata"]["remainingItemCount"] = left.into();
    }
    list
}
