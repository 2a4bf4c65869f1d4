//! Holds back the bytes of an item that is not complete.

use crate::error::Result;

/// The bytes that were taken and not yet given.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    bytes: Vec<u8>,
    /// How many bytes more may complete the unit.
    wants: usize,
}

/// The progress of a walk in the data at hand.
pub(super) struct Progress {
    /// Bytes that are dealt with.
    pub(super) used: usize,
    /// How many bytes more to copy before the unit that the rest begins is looked at again.
    pub(super) wants: usize,
}

impl Reassembly {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Shows `walk` what is held followed by `chunk`, and holds what it does not use. Only what
    /// belongs to a unit that comes in pieces is copied, and little more: what follows is shown
    /// where it is.
    pub(super) fn with(
        &mut self,
        mut chunk: &[u8],
        mut walk: impl FnMut(&[u8]) -> Result<Progress>,
    ) -> Result<()> {
        while !self.bytes.is_empty() && !chunk.is_empty() {
            let held = self.bytes.len();
            let piece = self.wants.clamp(1, chunk.len());
            self.bytes.extend_from_slice(&chunk[..piece]);
            let Progress { used, wants } = walk(&self.bytes)?;
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
            let Progress { used, wants } = walk(chunk)?;
            self.wants = wants;
            self.bytes.extend_from_slice(&chunk[used..]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// Units of one byte that says how long they are, and so many bytes; what is dealt with is
    /// noted. `exact`: the walk says how much it wants, else it guesses.
    struct Units {
        exact: bool,
        dealt_with: Vec<u8>,
        looks: usize,
    }

    impl Units {
        fn advance(&mut self, data: &[u8]) -> Result<Progress> {
            self.looks += 1;
            let mut used = 0;
            let mut wants = 7;
            while let Some(&len) = data.get(used) {
                let end = used + 1 + usize::from(len);
                if end > data.len() {
                    wants = if self.exact { end - data.len() } else { 7 };
                    break;
                }
                if len == u8::MAX {
                    return Err(Error::closed(0, 0));
                }
                used = end;
            }
            self.dealt_with.extend_from_slice(&data[..used]);
            Ok(Progress { used, wants })
        }
    }

    #[test]
    fn every_unit_is_seen_whole_and_once_however_it_comes() {
        let body: Vec<u8> = (0..400u32)
            .flat_map(|number| {
                [(number * 37 % 61) as u8]
                    .into_iter()
                    .chain((0..number * 37 % 61).map(|at| at as u8))
            })
            .collect();
        for exact in [true, false] {
            for size in 1..200 {
                let (mut reassembly, mut items) =
                    (Reassembly::default(), Units { exact, dealt_with: Vec::new(), looks: 0 });
                for (at, chunk) in body.chunks(size).enumerate() {
                    reassembly.with(chunk, |data| items.advance(data)).unwrap();
                    let taken = (at * size + chunk.len()).min(body.len());
                    assert_eq!(
                        [&items.dealt_with, reassembly.bytes()].concat(),
                        &body[..taken],
                        "{exact} {size}"
                    );
                    assert!(reassembly.len() <= 61);
                }
                // One look completes a unit that is held, and one sees what follows it.
                assert!(
                    !exact || items.looks <= 2 * body.len().div_ceil(size),
                    "{} looks by {size}",
                    items.looks
                );
            }
        }
    }

    #[test]
    fn nothing_is_shown_after_an_error() {
        let mut reassembly = Reassembly::default();
        reassembly.with(&[3, 1], |_| Ok(Progress { used: 0, wants: 2 })).unwrap();
        let mut looks = 0;
        let failed = reassembly.with(&[2, 3, 9, 9], |data| {
            looks += 1;
            assert_eq!(data, [3, 1, 2, 3]);
            Err(Error::closed(0, 0))
        });
        assert!(failed.is_err() && looks == 1);
    }
}
