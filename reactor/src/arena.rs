//! [`Arena`]: a slab whose keys are never reused.

use std::num::NonZeroU32;

use crate::sys::prefetch;

/// From so many slots on an arena grows by half of what it has, and no longer by all of it: the room to grow is memory.
const GROWS_BY_HALF: usize = 1024;

/// Names one entry of an arena for ever: the slot, and how often that slot has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) index: u32,
    /// Never zero, so that no room is needed to say that there is no id.
    pub(crate) generation: NonZeroU32,
}

impl Id {
    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << 32 | self.index as u64
    }

    /// The id with these bits; `None` of bits that are no id's.
    pub(crate) fn from_bits(bits: u64) -> Option<Id> {
        let generation = NonZeroU32::new((bits >> 32) as u32)?;
        Some(Id { index: bits as u32, generation })
    }
}

/// A slab that counts, per slot, the entries it has held. A slot whose count is exhausted after
/// 2^32 − 2 entries is retired, so "a stale id never names a newer entry" is exact and nothing wears out.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    /// The slots that are vacant and not retired; the last to become so is the first to be used.
    vacant: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// That of the entry; of a vacant slot, that of the entry to come.
    generation: NonZeroU32,
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
        Arena { slots: Vec::new(), vacant: Vec::new(), len: 0 }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Id {
        self.len += 1;
        if let Some(index) = self.vacant.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return Id { index, generation: slot.generation };
        }
        self.add(value)
    }

    /// In a slot that has never been used.
    #[inline(never)]
    fn add(&mut self, value: T) -> Id {
        let capacity = self.slots.capacity();
        if self.slots.len() == capacity && capacity >= GROWS_BY_HALF {
            self.slots.reserve_exact(capacity / 2);
        }
        // 2^32 slots would not fit in memory: each is at least 8 bytes, and then some.
        let id = Id { index: self.slots.len() as u32, generation: NonZeroU32::MIN };
        self.slots.push(Slot { generation: id.generation, value: Some(value) });
        id
    }

    /// The index that the next `insert` will use.
    pub(crate) fn next_index(&self) -> u32 {
        self.vacant.last().copied().unwrap_or(self.slots.len() as u32)
    }

    /// The id that the next `insert` will give.
    #[inline]
    pub(crate) fn next_id(&self) -> Id {
        let index = self.next_index();
        let slot = self.slots.get(index as usize);
        Id { index, generation: slot.map_or(NonZeroU32::MIN, |slot| slot.generation) }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// Has what lives at `index` fetched, as it is about to be looked at.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        self.slots.get(index as usize).into_iter().for_each(prefetch);
    }

    /// The entry that lives at `index` now.
    pub(crate) fn at_index(&mut self, index: u32) -> Option<(Id, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        let id = Id { index, generation: slot.generation };
        slot.value.as_mut().map(|value| (id, value))
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        self.end(id, Option::take)
    }

    /// Drops the entry where it is, which is less to do than to take it out. Returns whether there was one.
    #[inline]
    pub(crate) fn discard(&mut self, id: Id) -> bool {
        self.end(id, |value| value.is_some().then(|| *value = None)).is_some()
    }

    /// The same if `take` finds something in it, which is returned, and may be taken out of it.
    #[inline]
    pub(crate) fn discard_if<R>(&mut self, id: Id, take: impl FnOnce(&mut T) -> Option<R>) -> Option<R> {
        self.end(id, |value| {
            let found = value.as_mut().and_then(take);
            if found.is_some() {
                *value = None;
            }
            found
        })
    }

    #[inline(always)]
    fn end<R>(&mut self, id: Id, take: impl FnOnce(&mut Option<T>) -> Option<R>) -> Option<R> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let value = take(&mut slot.value)?;
        self.len -= 1;
        // A slot that is used up keeps its generation, and is never used again.
        if slot.generation.get() < LAST_GENERATION {
            slot.generation = slot.generation.saturating_add(1);
            self.vacant.push(id.index);
        }
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        self.slots.iter_mut().zip(0..).filter_map(|(slot, index)| {
            let id = Id { index, generation: slot.generation };
            slot.value.as_mut().map(|value| (id, value))
        })
    }

    /// Makes the vacant slot at `index` look as if it had been used `generation` times.
    #[cfg(test)]
    pub(crate) fn wear(&mut self, index: usize, generation: u32) {
        if index == self.slots.len() {
            self.slots.push(Slot { generation: NonZeroU32::MIN, value: None });
            self.vacant.push(index as u32);
        }
        self.slots[index].generation = NonZeroU32::MIN.saturating_add(generation);
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
        assert_eq!(arena.discard_if(old, |_| Some(())).or(arena.discard_if(new, |_| None)), None);
        assert_eq!(arena.len(), 1);
        assert!(!arena.discard(old) && arena.discard(new) && !arena.discard(new));
        assert_eq!((arena.len(), arena.get_mut(new)), (0, None));
        let newest = arena.insert('c');
        assert!(newest.index == new.index && newest != new);
        assert_eq!(arena.discard_if(newest, |value| Some(*value)), Some('c'));
        assert_eq!((arena.len(), arena.get_mut(newest)), (0, None));
    }

    #[test]
    fn an_id_needs_no_room_for_its_absence_nor_a_slot_for_its_vacancy() {
        assert_eq!(size_of::<Option<Id>>(), 8);
        assert_eq!(size_of::<Slot<std::rc::Rc<()>>>(), 16);
        assert_eq!(Id::from_bits(7), None);
        let id = Id { index: 7, generation: NonZeroU32::MAX };
        assert_eq!(Id::from_bits(id.to_bits()), Some(id));
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
