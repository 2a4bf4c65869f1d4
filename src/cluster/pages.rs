//! Lists that come in pages: what the pages read so far taught, until the last one completes the list.

use super::fact::Fact;
use super::source::{Selection, Version};
use crate::object::FactKind;

/// How many lists may be half-read at a time; the oldest is given up, and its reader starts over as after a 410.
const CAPACITY: usize = 16;

/// Facts of half-read lists.
#[derive(Default)]
pub(crate) struct Pages {
    begun: Vec<Begun>,
}

/// A list of which some pages were read.
pub(crate) struct Begun {
    pub(crate) kind: FactKind,
    pub(crate) selection: Selection,
    /// Asks for the next page.
    pub(crate) token: String,
    /// All pages of a consistent list have the same.
    pub(crate) version: Version,
    pub(crate) facts: Vec<Fact>,
}

impl Pages {
    /// Keeps what the pages up to now taught, until the next page is read.
    pub(crate) fn keep(&mut self, begun: Begun) {
        self.begun.retain(|other| !other.is(begun.kind, &begun.selection, &begun.token));
        if self.begun.len() == CAPACITY {
            self.begun.remove(0);
        }
        self.begun.push(begun);
    }

    /// What the pages before the one that `token` asks for taught; `None` if they were not seen.
    pub(crate) fn resume(&mut self, kind: FactKind, selection: &Selection, token: &str) -> Option<Begun> {
        let at = self.begun.iter().position(|begun| begun.is(kind, selection, token))?;
        Some(self.begun.remove(at))
    }
}

impl Begun {
    fn is(&self, kind: FactKind, selection: &Selection, token: &str) -> bool {
        self.kind == kind && self.selection == *selection && self.token == token
    }
}
