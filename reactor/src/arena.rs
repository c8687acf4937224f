//! [`Arena`]: a slab whose keys are never reused.

use slab::Slab;

/// From so many slots on an arena grows by half of what it has, and no longer by all of it: the room to grow is memory.
const GROWS_BY_HALF: usize = 1024;

/// Names one entry of an arena for ever: the slot, and how often that slot has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Id {
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn from_bits(bits: u64) -> Id {
        Id { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A slab that counts, per slot, the entries it has held. A slot whose count is exhausted after
/// 2^32 − 2 entries is retired, so "a stale id never names a newer entry" is exact and nothing wears out.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Slab<Slot<T>>,
    /// The generation that each slot last had.
    generations: Vec<u32>,
    retired: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// `None` only in a retired slot.
    value: Option<T>,
}

/// Kept free for ids that name no entry (the reactor's own mio tokens).
const LAST_GENERATION: u32 = u32::MAX - 1;

impl<T> Default for Arena<T> {
    fn default() -> Arena<T> {
        Arena::new()
    }
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Arena<T> {
        Arena { slots: Slab::new(), generations: Vec::new(), retired: 0 }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Id {
        if self.slots.len() == self.slots.capacity() {
            self.grow();
        }
        let entry = self.slots.vacant_entry();
        let slot = entry.key();
        if slot == self.generations.len() {
            self.generations.push(0);
        }
        let generation = self.generations[slot] + 1;
        self.generations[slot] = generation;
        entry.insert(Slot { generation, value: Some(value) });
        // A slab of 2^32 slots would not fit in memory: each is at least 8 bytes, and then some.
        Id { index: slot as u32, generation }
    }

    #[cold]
    fn grow(&mut self) {
        let capacity = self.slots.capacity();
        if capacity >= GROWS_BY_HALF {
            self.slots.reserve_exact(capacity / 2);
        }
    }

    /// The index that the next `insert` will use.
    pub(crate) fn next_index(&mut self) -> u32 {
        self.slots.vacant_entry().key() as u32
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// The entry that lives at `index` now.
    pub(crate) fn at_index(&mut self, index: u32) -> Option<(Id, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        let id = Id { index, generation: slot.generation };
        slot.value.as_mut().map(|value| (id, value))
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        if id.generation < LAST_GENERATION {
            return self.slots.remove(id.index as usize).value;
        }
        let value = slot.value.take();
        self.retired += usize::from(value.is_some());
        value
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.retired
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        self.slots.iter_mut().filter_map(|(index, slot)| {
            let id = Id { index: index as u32, generation: slot.generation };
            slot.value.as_mut().map(|value| (id, value))
        })
    }

    /// Makes the slot at `index` look as if it had been used `generation` times.
    #[cfg(test)]
    pub(crate) fn wear(&mut self, index: usize, generation: u32) {
        if index == self.generations.len() {
            self.generations.push(0);
        }
        self.generations[index] = generation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_names_nothing() {
        let mut arena = Arena::new();
        let old = arena.insert('a');
        assert_eq!(arena.remove(old), Some('a'));
        let new = arena.insert('b');
        assert_eq!(old.index, new.index);
        assert!(arena.get_mut(old).is_none() && arena.remove(old).is_none());
        assert_eq!(arena.get_mut(new), Some(&mut 'b'));
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn f05_a_worn_out_slot_is_retired_and_no_id_is_ever_repeated() {
        let mut arena = Arena::new();
        arena.wear(0, LAST_GENERATION - 2);
        let mut seen = Vec::new();
        for n in 0..5 {
            let id = arena.insert(n);
            assert!(seen.iter().all(|old| *old != id && arena.get_mut(*old).is_none()));
            seen.push(id);
            assert_eq!(arena.remove(id), Some(n));
            assert_eq!(arena.remove(id), None);
            assert_eq!(arena.len(), 0);
        }
        assert_eq!(seen.iter().map(|id| id.index).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
        assert_eq!(arena.iter_mut().count(), 0);
    }
}
