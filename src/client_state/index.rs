//! From names to the objects that mention them.

use hashbrown::HashTable;

use super::slots::Slots;
use crate::topology::names::{Seeds, is_same};

/// Names with the objects that mention each. A name is known as long as one object does.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// The numbers of the names, by the hash of each.
    ids: HashTable<u32>,
    slots: Slots<Mentioned>,
    /// The hash of the name under each number.
    hashes: Vec<u64>,
}

#[derive(Debug, Clone, Default)]
struct Mentioned {
    name: Box<[u8]>,
    by: Objects,
}

/// A set of objects: most names are mentioned by few, and some by all. Objects that go are taken
/// out together, so that each costs little however many there are.
#[derive(Debug, Clone, Default)]
struct Objects {
    all: Vec<u32>,
    /// Objects that are in `all` once more than they should be.
    gone: Vec<u32>,
}

/// Up to how many objects a search from one to the next is quick.
const FEW: usize = 32;

impl Objects {
    fn insert(&mut self, object: u32) {
        self.all.push(object);
    }

    /// Inserts an object unless it was inserted last.
    fn insert_once(&mut self, object: u32) {
        if self.all.last() == Some(&object) {
            if self.gone.is_empty() {
                return;
            }
            // It may be one that is gone.
            self.take_out();
            if let Ok(at) = self.all.binary_search(&object) {
                self.all.remove(at);
            }
        }
        self.all.push(object);
    }

    fn remove(&mut self, object: u32) {
        if self.all.len() > FEW {
            self.gone.push(object);
            if self.gone.len() > self.all.len() / 2 {
                self.take_out();
            }
        } else if let Some(at) = self.all.iter().position(|&other| other == object) {
            self.all.swap_remove(at);
        }
    }

    fn take_out(&mut self) {
        if self.gone.is_empty() {
            return;
        }
        self.all.sort_unstable();
        self.gone.sort_unstable();
        let mut gone = std::mem::take(&mut self.gone).into_iter().peekable();
        self.all.retain(|object| gone.next_if_eq(object).is_none());
    }

    fn is_empty(&self) -> bool {
        self.all.len() == self.gone.len()
    }

    fn objects(&mut self) -> &[u32] {
        self.take_out();
        &self.all
    }
}

impl Index {
    /// The number under which `name` is kept, if an object mentions it.
    pub(super) fn id(&self, name: &[u8]) -> Option<u32> {
        self.id_hashed(name, Seeds::of_process().hash(name))
    }

    #[inline(always)]
    fn id_hashed(&self, name: &[u8], hash: u64) -> Option<u32> {
        self.ids.find(hash, |&id| is_same(&self.slots[id].name, name)).copied()
    }

    /// The objects that mention `name`.
    pub(super) fn find(&mut self, name: &[u8]) -> &[u32] {
        self.id(name).map_or(&[], |id| self.objects(id))
    }

    /// The objects that mention the name of that number.
    pub(super) fn objects(&mut self, id: u32) -> &[u32] {
        self.slots[id].by.objects()
    }

    /// The number under which `name` is kept; made if it has none. It stays while an object
    /// mentions the name.
    pub(super) fn intern(&mut self, name: &[u8]) -> u32 {
        self.intern_hashed(name, Seeds::of_process().hash(name))
    }

    /// [`Index::intern`] of a name of which the hash is known.
    #[inline(always)]
    pub(super) fn intern_hashed(&mut self, name: &[u8], hash: u64) -> u32 {
        self.id_hashed(name, hash).unwrap_or_else(|| self.add(name, hash))
    }

    #[cold]
    fn add(&mut self, name: &[u8], hash: u64) -> u32 {
        let id = self.slots.add(Mentioned { name: name.into(), by: Objects::default() });
        match self.hashes.get_mut(id as usize) {
            Some(place) => *place = hash,
            None => self.hashes.push(hash),
        }
        self.ids.insert_unique(hash, id, |&id| self.hashes[id as usize]);
        id
    }

    /// The hash of the name of that number.
    #[inline(always)]
    pub(super) fn hash(&self, id: u32) -> u64 {
        self.hashes[id as usize]
    }

    pub(super) fn name(&self, id: u32) -> &[u8] {
        &self.slots[id].name
    }

    /// Every name.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.ids.iter().map(|&id| self.name(id))
    }

    /// `object` mentions the name, and did not before.
    pub(super) fn link(&mut self, id: u32, object: u32) {
        self.slots[id].by.insert(object);
    }

    /// `object`, which mentioned no name before, mentions this one. It may do so again as long as
    /// no other object is linked.
    pub(super) fn link_once(&mut self, id: u32, object: u32) {
        self.slots[id].by.insert_once(object);
    }

    /// `object` no longer mentions the name. Returns whether it was the last that did: the number
    /// is free then.
    pub(super) fn unlink(&mut self, id: u32, object: u32) -> bool {
        let slot = &mut self.slots[id];
        slot.by.remove(object);
        let is_gone = slot.by.is_empty();
        if is_gone {
            *slot = Mentioned::default();
            if let Ok(entry) = self.ids.find_entry(self.hashes[id as usize], |&own| own == id) {
                entry.remove();
            }
            self.slots.free(id);
        }
        is_gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_with_the_last_object_that_mentions_them() {
        let mut index = Index::default();
        let a = index.intern(b"a");
        index.link(a, 7);
        index.link(a, 8);
        assert_eq!((index.find(b"a").to_vec(), index.name(a)), (vec![7, 8], &b"a"[..]));
        assert!(!index.unlink(a, 7));
        assert_eq!(index.find(b"a"), [8]);
        assert!(index.unlink(a, 8));
        assert_eq!((index.find(b"a").len(), index.names().count()), (0, 0));
        let b = index.intern(b"b");
        assert_eq!((b, index.name(b)), (a, &b"b"[..]), "its place is taken again");
    }

    #[test]
    fn names_of_one_hash_are_kept_apart() {
        let mut index = Index::default();
        let [one, other] = [&b"one"[..], b"other"].map(|name| {
            let id = index.intern_hashed(name, 7);
            index.link(id, id);
            id
        });
        assert_ne!(one, other);
        assert_eq!(index.intern_hashed(b"other", 7), other);
        assert!(index.unlink(one, one));
        assert_eq!((index.id_hashed(b"one", 7), index.id_hashed(b"other", 7)), (None, Some(other)));
        assert_eq!(index.names().collect::<Vec<_>>(), [b"other"]);
    }

    #[test]
    fn an_object_that_mentions_a_name_twice_is_linked_once() {
        let mut index = Index::default();
        let name = index.intern(b"a");
        for object in 0..100 {
            index.link_once(name, object);
            index.link_once(name, object);
        }
        // The last one goes and comes back under its number, which may be listed as gone.
        for _ in 0..3 {
            assert!(!index.unlink(name, 99));
            (0..4).for_each(|_| index.link_once(name, 99));
            assert_eq!(index.find(b"a").iter().filter(|&&object| object == 99).count(), 1);
            assert_eq!(index.find(b"a").len(), 100);
        }
    }

    #[test]
    fn many_objects_are_the_same_set_as_few() {
        let mut index = Index::default();
        let mut random = crate::wire::random::random();
        let mut expected = std::collections::BTreeSet::new();
        for round in 0..4000 {
            let object = random(300) as u32;
            let name = index.intern(b"a");
            if expected.remove(&object) {
                assert_eq!(index.unlink(name, object), expected.is_empty());
            } else {
                expected.insert(object);
                index.link(name, object);
            }
            if round % 97 == 0 {
                let mut found = index.find(b"a").to_vec();
                found.sort_unstable();
                assert_eq!(found, expected.iter().copied().collect::<Vec<_>>());
            }
        }
        for object in std::mem::take(&mut expected) {
            let name = index.id(b"a").unwrap();
            index.unlink(name, object);
        }
        assert_eq!(index.id(b"a"), None);
    }
}
