//! cilium-agent's API on its Unix socket.

use std::path::Path;

use super::held::{Held, Kind};
use super::recognise;
use crate::failure::Failure;

/// Reads the Services of the agent.
pub(super) fn services(socket: &Path) -> Result<Held, Failure> {
    let (_, frontends) =
        recognise::contents(&body(socket)?).map_err(|what| Failure::at(socket, what))?;
    Ok(Held::of(Kind::CiliumServices, socket.display().to_string(), frontends))
}

/// Returns the body of `GET /v1/service`, which `cilium-dbg service list -o json` prints.
#[cfg(unix)]
fn body(socket: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);
    let fail = |error: std::io::Error| {
        let hint = "run on the node as root while cilium-agent runs, or read its pod with --exec";
        Failure::at(socket, format!("{error}; {hint}"))
    };
    let mut stream = UnixStream::connect(socket).map_err(fail)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(fail)?;
    // The body of a response to HTTP/1.0 ends with the connection.
    stream
        .write_all(
            b"GET /v1/service HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
        )
        .map_err(fail)?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).map_err(fail)?;
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let head = &response[..end.unwrap_or(response.len())];
    let status = String::from_utf8_lossy(head);
    let status = status.lines().next().unwrap_or_default();
    match (end, status.split(' ').nth(1)) {
        (Some(end), Some("200")) => Ok(response.split_off(end + 4)),
        _ => Err(Failure::at(socket, format!("cilium-agent answers {status:?} and no Services"))),
    }
}

#[cfg(not(unix))]
fn body(socket: &Path) -> Result<Vec<u8>, Failure> {
    Err(Failure::at(socket, "this system has no Unix sockets: run on the node"))
}
