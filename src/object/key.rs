//! The name of an object within its kind.

use std::ops::Deref;

/// `namespace/name`, as bytes: an object that has a namespace. Neither part can hold a slash. The
/// default is empty and names nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct ObjectKey(Vec<u8>);

impl ObjectKey {
    pub(crate) fn new(namespace: &[u8], name: &[u8]) -> ObjectKey {
        let mut key = ObjectKey(Vec::with_capacity(namespace.len() + 1 + name.len()));
        key.set(namespace, name);
        key
    }

    /// Names another object and keeps the allocation.
    pub(crate) fn set(&mut self, namespace: &[u8], name: &[u8]) {
        self.0.clear();
        self.0.extend_from_slice(namespace);
        self.0.push(b'/');
        self.0.extend_from_slice(name);
    }

    /// Names nothing and keeps the allocation.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Deref for ObjectKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<ObjectKey> for Box<[u8]> {
    fn from(key: ObjectKey) -> Box<[u8]> {
        key.0.into()
    }
}
