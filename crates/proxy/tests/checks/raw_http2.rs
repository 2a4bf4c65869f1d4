//! Frames of HTTP/2 that no client library would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::chain::{Chain, connect, soon};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;

/// A frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// An HTTP/2 connection to the proxy, after the client's preface.
pub struct RawHttp2 {
    stream: TlsStream<TcpStream>,
}

impl RawHttp2 {
    pub async fn connect(chain: &Chain) -> RawHttp2 {
        let client_files = chain.scene.path("client");
        let mut stream = connect(chain.proxy(), &client_files, b"h2").await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        RawHttp2 { stream }
    }

    /// Writes bytes. Returns `false` if the proxy has closed the connection.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        soon(self.stream.write_all(bytes)).await.is_ok()
    }

    /// Returns the next frame; `None` at the end of the connection.
    pub async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon(self.stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        soon(self.stream.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind: head[3], stream, payload })
    }
}

/// Returns a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns a GET of `/` with a token and, if it is not empty, one more header.
pub fn get(stream: u32, extra: &str) -> Vec<u8> {
    // HPACK: the static table has `:method: GET`, `:path: /` and `:scheme: https`.
    let mut block = vec![0x82, 0x84, 0x87];
    let literal = |block: &mut Vec<u8>, text: &str| {
        // Lengths are short, as the frame is.
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127);
        block.push(length);
        block.extend(text.as_bytes());
    };
    block.push(0x01); // `:authority`, without an index
    literal(&mut block, "x");
    block.push(0x00);
    literal(&mut block, "authorization");
    literal(&mut block, "Bearer agent");
    for chunk in extra.as_bytes().chunks(100) {
        block.push(0x00);
        literal(&mut block, "x-extra");
        literal(&mut block, std::str::from_utf8(chunk).unwrap());
    }
    // Frames have at most 16 KiB: the rest follows in CONTINUATION.
    let mut chunks = block.chunks(1 << 14).peekable();
    let mut frames = Vec::new();
    let mut kind = HEADERS;
    while let Some(chunk) = chunks.next() {
        let is_last = chunks.peek().is_none();
        let mut flags = if kind == HEADERS { END_STREAM_AND_HEADERS } else { 4 };
        if !is_last {
            flags &= !4;
        }
        frames.extend(frame(kind, flags, stream, chunk));
        kind = 9;
    }
    frames
}
