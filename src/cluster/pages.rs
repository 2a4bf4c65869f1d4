//! Lists in pages: the facts of the pages read so far, until the last page completes the
//! list.

use super::facts::Listing;

use crate::object::FactKind;
use crate::object::selection::Selection;
use crate::object::version::Version;

/// How many lists may be half-read at a time; the oldest is given up, and its reader starts over as
/// after a 410.
const CAPACITY: usize = 16;

/// Half-read lists.
#[derive(Default)]
pub(crate) struct Pages {
    begun: Vec<Page>,
}

/// The pages read so far of one list.
pub(crate) struct Page {
    pub(crate) kind: FactKind,
    pub(crate) selection: Selection,
    /// Asks for the next page.
    pub(crate) token: String,
    /// All pages of a consistent list have the same.
    pub(crate) version: Version,
    pub(crate) listing: Listing,
}

impl Pages {
    /// Keeps the facts of the pages so far, until the next page is read.
    pub(crate) fn keep(&mut self, page: Page) {
        self.begun.retain(|other| !other.is(page.kind, &page.selection, &page.token));
        if self.begun.len() == CAPACITY {
            self.begun.remove(0);
        }
        self.begun.push(page);
    }

    /// Returns the facts of the pages before the page of `token`; `None` if they were not read.
    pub(crate) fn resume(
        &mut self,
        kind: FactKind,
        selection: &Selection,
        token: &str,
    ) -> Option<Page> {
        let at = self.begun.iter().position(|page| page.is(kind, selection, token))?;
        Some(self.begun.remove(at))
    }
}

impl Page {
    fn is(&self, kind: FactKind, selection: &Selection, token: &str) -> bool {
        self.kind == kind && self.selection == *selection && self.token == token
    }
}
