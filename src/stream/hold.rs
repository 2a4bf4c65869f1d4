//! Holding back the bytes of a unit that has not come whole.

use crate::error::Result;

/// The bytes that were taken and not yet given.
#[derive(Debug, Default)]
pub(super) struct Hold {
    bytes: Vec<u8>,
    /// How many bytes more may complete the unit.
    wants: usize,
}

/// What became of the data that a walk was shown.
pub(super) struct Walked {
    /// Bytes that are dealt with.
    pub(super) used: usize,
    /// How many bytes more to copy before the unit that the rest begins is looked at again.
    pub(super) wants: usize,
}

impl Hold {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Shows `walk` what is held followed by `chunk`, and holds what it does not use. Only what belongs to a unit that comes in
    /// pieces is copied, and little more: what follows is shown where it is.
    pub(super) fn with(&mut self, mut chunk: &[u8], mut walk: impl FnMut(&[u8]) -> Result<Walked>) -> Result<()> {
        while !self.bytes.is_empty() && !chunk.is_empty() {
            let held = self.bytes.len();
            let piece = self.wants.clamp(1, chunk.len());
            self.bytes.extend_from_slice(&chunk[..piece]);
            let Walked { used, wants } = walk(&self.bytes)?;
            self.wants = wants;
            if used < held {
                self.bytes.drain(..used);
                chunk = &chunk[piece..];
            } else {
                self.bytes.clear();
                chunk = &chunk[used - held..];
            }
        }
        if !chunk.is_empty() {
            let Walked { used, wants } = walk(chunk)?;
            self.wants = wants;
            self.bytes.extend_from_slice(&chunk[used..]);
        }
        Ok(())
    }
}
