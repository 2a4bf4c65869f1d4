//! Holding back the bytes of a unit that has not come whole.

/// The bytes that were taken and not yet given.
#[derive(Debug, Default)]
pub(super) struct Hold {
    bytes: Vec<u8>,
}

impl Hold {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Shows `walk` what is held followed by `chunk`; it returns how many of these bytes are dealt with, and the rest is
    /// held. Where nothing is held the chunk is shown as it is, and only what is left of it is copied.
    pub(super) fn with(&mut self, chunk: &[u8], walk: impl FnOnce(&[u8]) -> usize) {
        if self.bytes.is_empty() {
            let used = walk(chunk);
            self.bytes.extend_from_slice(&chunk[used..]);
        } else {
            self.bytes.extend_from_slice(chunk);
            let used = walk(&self.bytes);
            self.bytes.drain(..used);
        }
    }
}
