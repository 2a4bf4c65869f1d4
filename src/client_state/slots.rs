//! Values under numbers, which are used again.

use std::ops::{Index, IndexMut};

/// Values, each under its number.
#[derive(Debug, Clone)]
pub(super) struct Slots<T> {
    values: Vec<T>,
    vacant: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { values: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Returns the number of the value.
    pub(super) fn add(&mut self, value: T) -> u32 {
        match self.vacant.pop() {
            Some(id) => {
                self[id] = value;
                id
            }
            None => {
                self.values.push(value);
                self.values.len() as u32 - 1
            }
        }
    }

    /// The number is free for another value.
    pub(super) fn free(&mut self, id: u32) {
        self.vacant.push(id);
    }

    /// Every value, also under numbers that are free.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut()
    }
}

impl<T> Index<u32> for Slots<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.values[id as usize]
    }
}

impl<T> IndexMut<u32> for Slots<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.values[id as usize]
    }
}
