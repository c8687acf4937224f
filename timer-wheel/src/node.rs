//! The slab of nodes: segments that never move, a free list, and generations.

use std::num::NonZeroU32;

/// The end of a list, the child of a leaf, the parent of a root.
pub(crate) const NIL: u32 = u32::MAX;

/// The most nodes a slab holds: a tree link shares its word with two tag bits.
pub(crate) const INDEX_LIMIT: u32 = (1 << 30) - 1;

const LINE: usize = 8;
const LINES: usize = 64;
const SEGMENT: usize = LINE * LINES;

/// Where a live node is filed, in one word.
///
/// `0` is left to the compiler as the niche that tells a vacant node; a slot is its number plus one; a tree node
/// keeps its parent here, because its two list links are its children; two words that are no slot's say that it is disarmed, or
/// due and listed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(NonZeroU32);

/// What a [`Place`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Filed {
    Slot(usize),
    /// Disarmed: in no list at all.
    Parked,
    Near {
        parent: u32,
    },
    Due {
        parent: u32,
    },
    /// Due, and in its place in the list.
    Listed,
}

const NEAR: u32 = 0x8000_0000;
const DUE: u32 = 0xC000_0000;
const PARENT: u32 = 0x3FFF_FFFF;

impl Place {
    pub(crate) const PARKED: Place = Place(NonZeroU32::new(PARENT).unwrap());
    pub(crate) const LISTED: Place = Place(NonZeroU32::new(PARENT - 1).unwrap());

    #[inline]
    pub(crate) fn slot(slot: usize) -> Place {
        Place(NonZeroU32::MIN.saturating_add(slot as u32))
    }

    /// A tree's place: `tag` is [`Place::NEAR_TAG`] or [`Place::DUE_TAG`].
    #[inline]
    pub(crate) fn tree(tag: NonZeroU32, parent: u32) -> Place {
        Place(tag | (parent & PARENT))
    }

    pub(crate) const NEAR_TAG: NonZeroU32 = NonZeroU32::new(NEAR).unwrap();
    pub(crate) const DUE_TAG: NonZeroU32 = NonZeroU32::new(DUE).unwrap();

    #[inline]
    pub(crate) fn filed(self) -> Filed {
        let word = self.0.get();
        if word & NEAR == 0 {
            match self {
                Place::PARKED => Filed::Parked,
                Place::LISTED => Filed::Listed,
                _ => Filed::Slot(word as usize - 1),
            }
        } else if word & DUE == DUE {
            Filed::Due { parent: self.parent() }
        } else {
            Filed::Near { parent: self.parent() }
        }
    }

    #[inline]
    pub(crate) fn parent(self) -> u32 {
        let parent = self.0.get() & PARENT;
        if parent == PARENT { NIL } else { parent }
    }
}

/// One timer. In a slot `next` and `prev` are its neighbours; in a tree they are its left and right child; when
/// vacant `next` is the free list.
pub(crate) struct Node<T> {
    pub(crate) deadline: u64,
    pub(crate) next: u32,
    pub(crate) prev: u32,
    pub(crate) cell: Cell<T>,
}

pub(crate) enum Cell<T> {
    Vacant { generation: NonZeroU32 },
    Occupied { place: Place, generation: NonZeroU32, value: T },
}

impl<T> Node<T> {
    fn vacant() -> Node<T> {
        Node { deadline: 0, next: NIL, prev: NIL, cell: Cell::Vacant { generation: NonZeroU32::MIN } }
    }

    #[inline]
    pub(crate) fn place(&self) -> Place {
        match self.cell {
            Cell::Occupied { place, .. } => place,
            Cell::Vacant { .. } => unreachable!("a linked node is occupied"),
        }
    }

    #[inline]
    pub(crate) fn set_place(&mut self, to: Place) {
        if let Cell::Occupied { place, .. } = &mut self.cell {
            *place = to;
        }
    }
}

/// Eight nodes that start on a cache line, so that a 32-byte node never straddles two.
#[repr(align(64))]
struct Line<T>([Node<T>; LINE]);

pub(crate) struct Slab<T> {
    segments: Vec<Box<[Line<T>; LINES]>>,
    /// Head of the free list.
    free: u32,
    /// Nodes below this index have been used at least once.
    used: u32,
    len: u32,
    retired: u32,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { segments: Vec::new(), free: NIL, used: 0, len: 0, retired: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free == NIL && self.used == INDEX_LIMIT
    }

    #[inline]
    pub(crate) fn node(&self, index: u32) -> &Node<T> {
        let i = index as usize;
        &self.segments[i / SEGMENT][i / LINE % LINES].0[i % LINE]
    }

    #[inline]
    pub(crate) fn node_mut(&mut self, index: u32) -> &mut Node<T> {
        let i = index as usize;
        &mut self.segments[i / SEGMENT][i / LINE % LINES].0[i % LINE]
    }

    /// The node at `index` if it is live and of this generation.
    #[inline]
    pub(crate) fn live(&self, index: u32, generation: NonZeroU32) -> Option<&Node<T>> {
        let i = index as usize;
        let node = &self.segments.get(i / SEGMENT)?[i / LINE % LINES].0[i % LINE];
        match node.cell {
            Cell::Occupied { generation: g, .. } if g == generation => Some(node),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn live_mut(&mut self, index: u32, generation: NonZeroU32) -> Option<&mut Node<T>> {
        let i = index as usize;
        let node = &mut self.segments.get_mut(i / SEGMENT)?[i / LINE % LINES].0[i % LINE];
        match node.cell {
            Cell::Occupied { generation: g, .. } if g == generation => Some(node),
            _ => None,
        }
    }

    /// Takes a vacant node for `value`; the caller files it. The slab must not be full.
    #[inline]
    pub(crate) fn occupy(&mut self, deadline: u64, value: T) -> (u32, NonZeroU32) {
        if self.free == NIL {
            self.extend();
        }
        let index = self.free;
        let node = self.node_mut(index);
        let next = node.next;
        let generation = match node.cell {
            Cell::Vacant { generation } => generation,
            Cell::Occupied { .. } => unreachable!("the free list holds vacant nodes"),
        };
        node.deadline = deadline;
        node.cell = Cell::Occupied { place: Place::PARKED, generation, value };
        self.free = next;
        self.len += 1;
        (index, generation)
    }

    /// Frees an unlinked node and hands back its value. The key dies with it: a node whose generations are used up
    /// is retired rather than let a key come round again.
    #[inline]
    pub(crate) fn vacate(&mut self, index: u32) -> (NonZeroU32, T) {
        let free = self.free;
        let node = self.node_mut(index);
        let generation = match node.cell {
            Cell::Occupied { generation, .. } => generation,
            Cell::Vacant { .. } => unreachable!("only a live node is freed"),
        };
        let next_generation = generation.saturating_add(1);
        let cell = std::mem::replace(&mut node.cell, Cell::Vacant { generation: next_generation });
        if next_generation == generation {
            self.retired += 1;
        } else {
            node.next = free;
            self.free = index;
        }
        self.len -= 1;
        match cell {
            Cell::Occupied { value, .. } => (generation, value),
            Cell::Vacant { .. } => unreachable!("only a live node is freed"),
        }
    }

    /// Puts one fresh node on the empty free list.
    #[cold]
    fn extend(&mut self) {
        assert!(self.used < INDEX_LIMIT, "the wheel is full");
        if self.used as usize == self.segments.len() * SEGMENT {
            let lines: Vec<_> =
                (0..LINES).map(|_| Line(std::array::from_fn(|_| Node::vacant()))).collect();
            let Ok(segment) = lines.into_boxed_slice().try_into() else {
                unreachable!("a segment has {LINES} lines")
            };
            self.segments.push(segment);
        }
        self.free = self.used;
        self.used += 1;
    }

    /// Every live node, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node<T>> {
        let all = (0..self.used).map(|index| self.node(index));
        all.filter(|node| matches!(node.cell, Cell::Occupied { .. }))
    }

    /// Walks the slab and panics if an invariant is broken.
    pub(crate) fn check(&self) {
        let (mut vacant, mut at) = (0, self.free);
        while at != NIL {
            assert!(
                matches!(self.node(at).cell, Cell::Vacant { .. }),
                "slab: the free list holds vacant nodes"
            );
            (vacant, at) = (vacant + 1, self.node(at).next);
        }
        assert_eq!(vacant + self.retired + self.len, self.used, "slab: a node is live, free or retired");
        assert_eq!(self.iter().count(), self.len(), "slab: length");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::said;

    #[test]
    fn a_node_is_half_a_cache_line() {
        assert_eq!(size_of::<Node<u64>>(), 32);
        assert_eq!(size_of::<Node<()>>(), 24);
        assert_eq!(size_of::<Line<u64>>(), 256);
        assert_eq!(size_of::<Option<crate::Key>>(), 8);
    }

    /// A link of a tree has thirty bits, and all of them set are its end.
    #[test]
    fn no_index_is_taken_for_the_end_of_a_list() {
        assert_eq!(INDEX_LIMIT, PARENT);
        for tag in [Place::NEAR_TAG, Place::DUE_TAG] {
            assert_eq!(Place::tree(tag, INDEX_LIMIT - 1).parent(), INDEX_LIMIT - 1);
            assert_eq!(Place::tree(tag, NIL).parent(), NIL);
        }
    }

    #[test]
    fn a_segment_is_full_before_there_is_another() {
        let mut slab = Slab::new();
        for n in 0..1024 {
            slab.occupy(0, ());
            assert_eq!(slab.segments.len(), n / 512 + 1);
        }
    }

    #[test]
    fn it_is_full_when_every_index_is_in_use() {
        let mut slab = Slab { used: INDEX_LIMIT - 1, ..Slab::<()>::new() };
        assert!(!slab.is_full());
        slab.used = INDEX_LIMIT;
        assert!(slab.is_full());
        slab.free = 7;
        assert!(!slab.is_full(), "one of them was given back");
    }

    #[test]
    fn the_check_says_what_is_broken() {
        let broken = |break_it: fn(&mut Slab<()>)| {
            let mut slab = Slab::new();
            let _ = [0; 3].map(|deadline| slab.occupy(deadline, ()));
            slab.vacate(1);
            slab.check();
            break_it(&mut slab);
            said(|| slab.check())
        };
        assert!(broken(|slab| slab.free = 0).contains("the free list holds vacant nodes"));
        assert!(broken(|slab| slab.len += 1).contains("a node is live, free or retired"));
        assert!(broken(|slab| slab.retired += 1).contains("a node is live, free or retired"));
        assert!(broken(|slab| slab.used += 1).contains("a node is live, free or retired"));
        assert!(broken(|slab| (slab.len, slab.retired) = (1, 1)).contains("slab: length"));
    }
}
