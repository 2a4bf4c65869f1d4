//! Decompresses gzip bodies piece by piece.

use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

/// Decompresses the chunks of one body. Each piece is at most as large as the decoder's buffer, so
/// that a small chunk of a large body takes little memory.
pub(crate) struct Inflater {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// The part of the last chunk that is still compressed.
    rest: Bytes,
    /// Bytes were written since the last flush.
    dirty: bool,
}

impl Inflater {
    pub(crate) fn new() -> Inflater {
        let decoder = MultiGzDecoder::new(Vec::new());
        Inflater { decoder, rest: Bytes::new(), dirty: false }
    }

    /// Takes the next chunk. All pieces of the chunk before were taken out.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.rest.is_empty() && !self.dirty);
        self.dirty = !chunk.is_empty();
        self.rest = chunk;
    }

    /// Returns the next piece; `None` when the chunk is used up. Bytes that the server flushed come
    /// out with the chunk that completes them.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        while self.dirty {
            if self.rest.is_empty() {
                self.decoder.flush()?;
                self.dirty = false;
            } else {
                let used = self.decoder.write(&self.rest)?;
                self.rest.advance(used);
            }
            let piece = std::mem::take(self.decoder.get_mut());
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
        }
        Ok(None)
    }

    /// Ends the body. All pieces were taken out.
    ///
    /// # Errors
    ///
    /// Fails if the body was cut or is empty, or if its checksum is wrong.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.decoder.try_finish()
    }

    /// Decompresses a whole body.
    pub(crate) fn inflate(body: Bytes) -> io::Result<Bytes> {
        let mut inflater = Inflater::new();
        let mut out = Vec::new();
        inflater.feed(body);
        while let Some(piece) = inflater.next_piece()? {
            out.extend_from_slice(&piece);
        }
        inflater.finish()?;
        Ok(out.into())
    }
}
