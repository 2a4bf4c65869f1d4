//! From names to the objects that mention them.

use crate::topology::Names;

/// Names with the objects that mention each. A name is known as long as one object does.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    ids: Names<u32>,
    slots: Vec<Mentioned>,
    vacant: Vec<u32>,
}

#[derive(Debug, Clone, Default)]
struct Mentioned {
    name: Box<[u8]>,
    by: Vec<u32>,
}

impl Index {
    /// The objects that mention `name`.
    pub(super) fn find(&self, name: &[u8]) -> &[u32] {
        self.ids.get(name).map_or(&[], |&id| &self.slots[id as usize].by)
    }

    /// The number under which `name` is kept; made if it has none. It stays while an object mentions the name.
    pub(super) fn intern(&mut self, name: &[u8]) -> u32 {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let slot = Mentioned { name: name.into(), by: Vec::new() };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.ids.insert(name.into(), id);
        id
    }

    pub(super) fn name(&self, id: u32) -> &[u8] {
        &self.slots[id as usize].name
    }

    /// Every name.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.ids.keys().map(|name| &**name)
    }

    /// `object` mentions the name, and did not before.
    pub(super) fn link(&mut self, id: u32, object: u32) {
        self.slots[id as usize].by.push(object);
    }

    /// `object` no longer mentions the name.
    pub(super) fn unlink(&mut self, id: u32, object: u32) {
        let slot = &mut self.slots[id as usize];
        if let Some(at) = slot.by.iter().position(|&other| other == object) {
            slot.by.swap_remove(at);
        }
        if slot.by.is_empty() {
            let Mentioned { name, .. } = std::mem::take(slot);
            self.ids.remove(&name);
            self.vacant.push(id);
        }
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
        assert_eq!((index.find(b"a"), index.name(a)), (&[7, 8][..], &b"a"[..]));
        index.unlink(a, 7);
        assert_eq!(index.find(b"a"), [8]);
        index.unlink(a, 8);
        assert_eq!((index.find(b"a"), index.names().count()), (&[][..], 0));
        let b = index.intern(b"b");
        assert_eq!((b, index.name(b)), (a, &b"b"[..]), "its place is taken again");
    }
}
