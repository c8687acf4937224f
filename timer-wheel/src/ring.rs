//! The rings: eight levels of 128 slots, their occupancy, and the arithmetic that maps ticks to slots.

use crate::node::{NIL, Place, Slab};

pub(crate) const LEVELS: usize = 8;
const SLOTS: usize = 128;
/// A slot is this many lists, by index: a walk follows as many chains at once, and their cache misses overlap. Measured
/// with a million timers, eight instead of four took a firing from 188 to 156 ns.
const STRIPES: usize = 8;
/// Each level is 64 times coarser than the one below; a ring of 128 slots holds two such blocks.
const BITS: u32 = 6;

/// A slot that is not empty, and the tick at which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) start: u64,
    pub(crate) level: usize,
    pub(crate) slot: usize,
}

impl Head {
    /// The last tick the slot covers.
    #[inline]
    pub(crate) fn last(self) -> u64 {
        self.start | (span(self.level) - 1)
    }

    /// The slot after this one in its ring.
    #[inline]
    pub(crate) fn following(self) -> usize {
        self.level * SLOTS + (self.slot + 1) % SLOTS
    }

    /// The first tick at which the ring below has room for this slot's timers: one slot early.
    #[inline]
    pub(crate) fn eligible(self) -> u64 {
        self.start.saturating_sub(span(self.level))
    }
}

/// Ticks a slot of `level` covers.
#[inline]
pub(crate) fn span(level: usize) -> u64 {
    1 << shift(level)
}

#[inline]
fn shift(level: usize) -> u32 {
    BITS * level as u32
}

/// The finest level that reaches `distance` ticks; the coarsest if none does.
#[inline]
pub(crate) fn level_of(distance: u64) -> usize {
    (((63 - (distance | 1).leading_zeros()) / BITS) as usize).min(LEVELS - 1)
}

pub(crate) struct Rings {
    heads: Box<[[u32; STRIPES]; LEVELS * SLOTS]>,
    lens: Box<[u32; LEVELS * SLOTS]>,
    occupied: [u128; LEVELS],
    /// The levels that are not empty, a bit each.
    levels: u32,
}

fn boxed<E: Clone, const N: usize>(element: E) -> Box<[E; N]> {
    let Ok(array) = vec![element; N].into_boxed_slice().try_into() else {
        unreachable!("the vector has N elements")
    };
    array
}

impl Rings {
    pub(crate) fn new() -> Rings {
        Rings { heads: boxed([NIL; STRIPES]), lens: boxed(0), occupied: [0; LEVELS], levels: 0 }
    }

    #[inline]
    pub(crate) fn len(&self, slot: usize) -> u32 {
        self.lens[slot % (LEVELS * SLOTS)]
    }

    /// The slot for `tick` at `level`, whose ring stands at `cursor`. Beyond the horizon of the coarsest level it is
    /// the last slot within it: the timer is filed again when that one is met.
    #[inline]
    pub(crate) fn slot_for(cursor: u64, tick: u64, level: usize) -> usize {
        let block =
            (tick >> shift(level)).min((cursor >> shift(level)).saturating_add(SLOTS as u64 - 1));
        level * SLOTS + (block % SLOTS as u64) as usize
    }

    /// The tick at which `slot` starts.
    #[inline]
    pub(crate) fn start(cursor: u64, slot: usize) -> u64 {
        let level = slot / SLOTS;
        let current = cursor >> shift(level);
        let ahead = (slot as u64).wrapping_sub(current) % SLOTS as u64;
        (current + ahead) << shift(level)
    }

    /// The first slot of `level` that is not empty.
    #[inline]
    pub(crate) fn first_of(&self, cursor: u64, level: usize) -> Option<Head> {
        let map = self.occupied[level];
        if map == 0 {
            return None;
        }
        let current = cursor >> shift(level);
        let ahead = map.rotate_right((current % SLOTS as u64) as u32).trailing_zeros();
        let block = current + u64::from(ahead);
        let slot = level * SLOTS + (block % SLOTS as u64) as usize;
        Some(Head { start: block << shift(level), level, slot })
    }

    /// The slot that starts first; of several, the coarsest.
    #[inline]
    pub(crate) fn first(&self, cursor: u64) -> Option<Head> {
        let mut best: Option<Head> = None;
        let mut levels = self.levels;
        while levels != 0 {
            let level = levels.trailing_zeros() as usize % LEVELS;
            levels &= levels - 1;
            if let Some(head) = self.first_of(cursor, level)
                && best.is_none_or(|best| head.start <= best.start)
            {
                best = Some(head);
            }
        }
        best
    }

    /// Puts a node into a slot; returns how many it holds then.
    #[inline]
    pub(crate) fn link<T>(&mut self, nodes: &mut Slab<T>, slot: usize, index: u32) -> u32 {
        let slot = slot % (LEVELS * SLOTS);
        let head = &mut self.heads[slot][index as usize % STRIPES];
        let next = std::mem::replace(head, index);
        self.lens[slot] += 1;
        self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
        self.levels |= 1 << (slot / SLOTS);
        let node = nodes.node_mut(index);
        node.next = next;
        node.prev = NIL;
        node.set_place(Place::slot(slot));
        if next != NIL {
            nodes.node_mut(next).prev = index;
        }
        self.lens[slot]
    }

    /// Takes a node out of its slot; returns how many are left in it.
    #[inline]
    pub(crate) fn unlink<T>(&mut self, nodes: &mut Slab<T>, slot: usize, index: u32) -> u32 {
        let slot = slot % (LEVELS * SLOTS);
        let (next, prev) = {
            let node = nodes.node(index);
            (node.next, node.prev)
        };
        if prev == NIL {
            self.heads[slot][index as usize % STRIPES] = next;
        } else {
            nodes.node_mut(prev).next = next;
        }
        if next != NIL {
            nodes.node_mut(next).prev = prev;
        }
        self.shrink(slot, 1)
    }

    #[inline]
    fn shrink(&mut self, slot: usize, by: u32) -> u32 {
        self.lens[slot] -= by;
        if self.lens[slot] == 0 {
            let level = slot / SLOTS;
            self.occupied[level] &= !(1 << (slot % SLOTS));
            self.levels &= !(u32::from(self.occupied[level] == 0) << level);
        }
        self.lens[slot]
    }

    /// Takes up to one node from each stripe of `slot`, with its deadline. The loads do not depend on each other, so
    /// that their cache misses overlap. [`Rings::settle`] ends a run of these.
    #[inline]
    pub(crate) fn take<T>(&mut self, nodes: &Slab<T>, slot: usize, most: usize) -> Taken {
        let mut taken = Taken { nodes: [(NIL, 0); STRIPES], len: 0 };
        for head in &mut self.heads[slot % (LEVELS * SLOTS)] {
            if *head != NIL && taken.len < most {
                let node = nodes.node(*head);
                taken.nodes[taken.len % STRIPES] = (*head, node.deadline);
                taken.len += 1;
                *head = node.next;
            }
        }
        taken
    }

    /// Ends a run of [`Rings::take`] that took `count` nodes: what is first now has nothing before it.
    #[inline]
    pub(crate) fn settle<T>(&mut self, nodes: &mut Slab<T>, slot: usize, count: usize) {
        let slot = slot % (LEVELS * SLOTS);
        if self.shrink(slot, count as u32) == 0 {
            return;
        }
        for head in self.heads[slot] {
            if head != NIL {
                nodes.node_mut(head).prev = NIL;
            }
        }
    }

    /// Calls `visit` for every node of a slot, which must not change it.
    #[inline]
    pub(crate) fn each<T>(&self, nodes: &Slab<T>, slot: usize, mut visit: impl FnMut(u32, u64)) {
        let mut at = self.heads[slot % (LEVELS * SLOTS)];
        while at != [NIL; STRIPES] {
            for index in &mut at {
                if *index != NIL {
                    let node = nodes.node(*index);
                    visit(*index, node.deadline);
                    *index = node.next;
                }
            }
        }
    }

    /// Walks every list and panics if an invariant is broken; returns how many nodes are filed.
    pub(crate) fn check<T>(&self, nodes: &Slab<T>) -> usize {
        let mut total = 0;
        for slot in 0..LEVELS * SLOTS {
            let mut len = 0;
            for (stripe, &head) in self.heads[slot].iter().enumerate() {
                let (mut at, mut prev) = (head, NIL);
                while at != NIL {
                    let node = nodes.node(at);
                    assert_eq!(
                        at as usize % STRIPES,
                        stripe,
                        "ring: a node is in the stripe of its index"
                    );
                    assert_eq!(node.prev, prev, "ring: links agree");
                    assert!(node.place() == Place::slot(slot), "ring: a node knows its slot");
                    (prev, at, len) = (at, node.next, len + 1);
                }
            }
            assert_eq!(len, self.lens[slot], "ring: length of slot {slot}");
            let level = self.levels >> (slot / SLOTS) & 1;
            assert_eq!(
                level == 1,
                self.occupied[slot / SLOTS] != 0,
                "ring: occupancy of the level of slot {slot}"
            );
            let bit = self.occupied[slot / SLOTS] >> (slot % SLOTS) & 1;
            assert_eq!(bit == 1, len > 0, "ring: occupancy of slot {slot}");
            total += len as usize;
        }
        total
    }
}

/// What [`Rings::take`] took.
pub(crate) struct Taken {
    nodes: [(u32, u64); STRIPES],
    len: usize,
}

impl Taken {
    #[inline]
    pub(crate) fn as_slice(&self) -> &[(u32, u64)] {
        &self.nodes[..self.len.min(STRIPES)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::said;

    #[test]
    fn the_check_says_what_is_broken() {
        let broken = |break_it: fn(&mut Rings, &mut Slab<()>)| {
            let (mut rings, mut nodes) = (Rings::new(), Slab::new());
            for _ in 0..=STRIPES {
                let (index, _) = nodes.occupy(0, ());
                rings.link(&mut nodes, 3, index);
            }
            assert_eq!(rings.check(&nodes), STRIPES + 1);
            break_it(&mut rings, &mut nodes);
            said(|| assert_eq!(rings.check(&nodes), STRIPES + 1, "nothing is broken"))
        };
        let said = broken(|rings, _| rings.heads[3].swap(1, 2));
        assert!(said.contains("in the stripe of its index"), "{said}");
        // The first of stripe 0 came last.
        let said = broken(|_, nodes| nodes.node_mut(0).prev = NIL);
        assert!(said.contains("links agree"), "{said}");
        let said = broken(|_, nodes| nodes.node_mut(1).set_place(Place::slot(4)));
        assert!(said.contains("a node knows its slot"), "{said}");
        let said = broken(|rings, _| rings.lens[3] -= 1);
        assert!(said.contains("length of slot 3"), "{said}");
        let said = broken(|rings, _| rings.levels = 2);
        assert!(said.contains("occupancy of the level of slot 0"), "{said}");
        let said = broken(|rings, _| (rings.occupied[1], rings.levels) = (1, 3));
        assert!(said.contains("occupancy of slot 128"), "{said}");
    }
}
