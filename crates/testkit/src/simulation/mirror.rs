//! Checks the output of a stream, event by event and list by list.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::decode::{Events, Page, Said};
use super::judge::slice_of;
use super::object::{Object, Slice};
use super::scene::Scene;
use super::server::Note;
use super::wire::Change;

/// The objects of a client that receives all output of the stream.
pub struct Mirror {
    pub events: Events,
    pub held: BTreeMap<String, Slice>,
    /// The objects that the API server sent on this stream, and before it if the client resumed
    /// there.
    pub said: BTreeMap<String, Rc<Object>>,
    /// The highest resourceVersion that the server has come to.
    pub high: u64,
    /// Until here the server repeats what the client may or may not have got before.
    pub repeats: u64,
    /// The initial events are not over.
    pub is_initial: bool,
    /// A bookmark says so when they are.
    pub is_announced: bool,
    pub bookmarks: bool,
    pub has_failed: bool,
    /// Objects that this client ever received, if it resumed: it may have them, though it
    /// seems not to.
    pub given: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Push,
    Refresh,
}

/// Everything that the server listed is there, and is the filter of what was listed, by what was
/// known at some moment of the response.
pub fn check_page(
    scene: &Scene,
    node: &str,
    since: usize,
    page: &Page,
    listed: &[Rc<Object>],
) -> Result<(), String> {
    let past = &scene.past[since..];
    let mut listed: BTreeMap<&str, &Slice> =
        listed.iter().filter_map(|item| Some((item.key.as_str(), slice_of(item)?))).collect();
    for item in &page.items {
        let Some(original) = listed.remove(item.key().as_str()) else {
            return Err(format!("a list has {} too often", item.key()));
        };
        if past.iter().all(|known| known.hides(node, original)) {
            return Err(format!("a list for {node} has {}, which it must not see", item.key()));
        }
        if !past.iter().any(|known| {
            known.is_fallback(original) || known.filter(node, original, std::iter::empty()) == *item
        }) {
            return Err(format!(
                "a list for {node} has\n  {item:?}\nand the server said\n  {original:?}"
            ));
        }
    }
    listed.retain(|_, original| !past.iter().any(|known| known.hides(node, original)));
    match listed.keys().next() {
        Some(key) => Err(format!("a list for {node} leaves {key} out")),
        None => Ok(()),
    }
}

impl Mirror {
    /// The server's bytes said so.
    pub fn note(&mut self, note: Note) {
        match note {
            Note::Event(event) => {
                self.high = event.object.rv.max(self.high);
                self.is_initial &= self.is_announced || event.change == Change::Added;
                match event.change {
                    Change::Deleted => drop(self.said.remove(&event.object.key)),
                    Change::Added | Change::Modified => {
                        drop(self.said.insert(event.object.key.clone(), event.object))
                    }
                }
            }
            Note::Bookmark(rv) => {
                self.high = rv.max(self.high);
                self.is_initial = false;
            }
            Note::Error(_) => self.has_failed = true,
            Note::Page { .. } => {}
        }
    }

    /// Judges one event that the stream gave out.
    pub fn take(
        &mut self,
        scene: &mut Scene,
        node: &str,
        said: Said,
        by: By,
    ) -> Result<(), String> {
        if said.rv().is_some_and(|rv| rv > self.high) {
            return Err(format!(
                "{} is above {}, which the server has come to",
                said.brief(),
                self.high
            ));
        }
        let is_added = matches!(said, Said::Object(Change::Added, _));
        let is_upstreams = self.is_announced && by == By::Push && matches!(said, Said::Object(..));
        if self.is_initial && !is_added && !is_upstreams && !matches!(said, Said::Error(_)) {
            return Err(format!("{} before the initial events are over", said.brief()));
        }
        match said {
            Said::Object(change, slice) => {
                let key = slice.key();
                // Among initial events a sibling on a topology fallback that must follow is ADDED
                // once more.
                let must_be = if self.is_initial { Change::Added } else { Change::Modified };
                if slice.is_service() {
                    self.check_service(by, change, &key)?;
                } else if by == By::Refresh && (change != must_be || !self.held.contains_key(&key))
                {
                    let versions: Vec<u64> =
                        scene.server.versions(&key).iter().map(|object| object.rv).collect();
                    return Err(format!(
                        "a refresh says {} {key}@{}, which the client may not hold; versions \
                         {versions:?}, stream at {}, repeats to {}",
                        change.word(),
                        slice.metadata.resource_version,
                        self.high,
                        self.repeats
                    ));
                }
                check_content(scene, node, change, &slice)?;
                match change {
                    Change::Deleted => drop(self.held.remove(&key)),
                    Change::Added | Change::Modified => drop(self.held.insert(key, *slice)),
                }
            }
            Said::Bookmark { .. } if !self.bookmarks => {
                return Err("a bookmark that the client does not allow".to_owned());
            }
            Said::Bookmark { end: true, .. } if by == By::Refresh => {
                return Err("a refresh ends the initial events".to_owned());
            }
            Said::Bookmark { .. } => {}
            Said::Error(_) => {
                scene.stats.expired += u64::from(!self.has_failed);
                self.has_failed = true;
            }
        }
        Ok(())
    }
}

impl Mirror {
    /// The client must have an emitted Service or not, by the type of the event. What was sent
    /// before the client went on from somewhere may or may not have arrived.
    fn check_service(&self, by: By, change: Change, key: &str) -> Result<(), String> {
        let (has, may_have) = (self.held.contains_key(key), self.given.contains(key));
        let good = match (by, change) {
            (_, Change::Deleted | Change::Modified) => has || may_have,
            (By::Refresh, Change::Added) => !has,
            (By::Push, Change::Added) => true,
        };
        if good {
            Ok(())
        } else {
            Err(format!(
                "{by:?} says {} {key}; the client has it: {has}, and may have it: {may_have}",
                change.word()
            ))
        }
    }
}

/// An emitted object is the filter of an object that the server once sent, by the facts that are
/// known now.
fn check_content(scene: &Scene, node: &str, change: Change, slice: &Slice) -> Result<(), String> {
    let known = &scene.known;
    if change != Change::Deleted && known.hides(node, slice) {
        return Err(format!(
            "a client of {node} is told of {}, which it must not see",
            slice.key()
        ));
    }
    let mut nearest = None;
    for original in
        scene.server.versions(&slice.key()).iter().rev().filter_map(|object| slice_of(object))
    {
        let mut expected = if known.is_fallback(original) {
            original.clone()
        } else {
            known.filter(node, original, std::iter::empty())
        };
        expected.metadata.resource_version.clone_from(&slice.metadata.resource_version);
        if known.is_fallback(original) {
            // Which of them, all slices of the Service decide.
            let mut rest = slice.endpoints.iter();
            let mut next = rest.next();
            for endpoint in &original.endpoints {
                if next == Some(endpoint) {
                    next = rest.next();
                }
            }
            if next.is_none() {
                expected.endpoints.clone_from(&slice.endpoints);
            }
        }
        if expected == *slice {
            return Ok(());
        }
        nearest.get_or_insert(expected);
    }
    Err(format!(
        "a client of {node} is told\n  {slice:?}\nand by what is known the last version is\n  \
         {nearest:?}"
    ))
}
