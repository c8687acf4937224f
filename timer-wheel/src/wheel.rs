//! The wheel: arming, cancelling, re-arming, popping.

use std::fmt;
use std::num::NonZeroU32;

use crate::NEVER;
use crate::due::Due;
use crate::next::{CROWD, Next};
use crate::node::{Cell, Filed, INDEX_LIMIT, Place, Slab};
use crate::ring::{self, Rings};
use crate::tree::Tree;
use crate::types::{Expired, Full, Key, Tick};

/// A hierarchical timer wheel; see the [crate documentation](crate).
pub struct Wheel<T> {
    pub(crate) nodes: Slab<T>,
    pub(crate) rings: Rings,
    /// Timers of the cursor's tick and of the past, in order. They fire in an `advance`, not before.
    pub(crate) near: Tree,
    /// Timers that `pop` may take.
    pub(crate) due: Due,
    pub(crate) next: Next,
    /// The latest time seen.
    pub(crate) now: u64,
    /// Every slot that starts before this tick is empty; the one that starts at it may be half poured.
    pub(crate) cursor: u64,
    /// The last `advance` ran out of budget.
    pub(crate) behind: bool,
    pub(crate) shift: u32,
    limit: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel whose clock stands at `now`, with the default tick of 1 024 ns. Allocates for the rings only.
    #[must_use]
    pub fn new(now: u64) -> Wheel<T> {
        Wheel::with_tick(now, Tick::default())
    }

    /// An empty wheel with another tick.
    #[must_use]
    pub fn with_tick(now: u64, tick: Tick) -> Wheel<T> {
        Wheel {
            nodes: Slab::new(),
            rings: Rings::new(),
            near: Tree::new(Place::NEAR_TAG),
            due: Due::new(),
            next: Next::new(),
            now,
            cursor: now >> tick.shift,
            behind: false,
            shift: tick.shift,
            limit: INDEX_LIMIT as usize,
        }
    }

    /// The same wheel, which refuses to hold more than `limit` timers. Nothing is allocated in advance.
    #[must_use]
    pub fn with_capacity_limit(mut self, limit: usize) -> Wheel<T> {
        self.limit = limit.min(INDEX_LIMIT as usize);
        self
    }

    /// Arms a timer for `deadline`, in nanoseconds on the caller's clock.
    ///
    /// A deadline that has passed is due at the next [`advance`](Wheel::advance); one of [`NEVER`] is held, disarmed,
    /// until it is [`reset`](Wheel::reset).
    ///
    /// # Panics
    /// If the wheel is full: at 2³⁰ − 1 timers, or at its [capacity limit](Wheel::with_capacity_limit).
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> Key {
        match self.try_insert(deadline, value) {
            Ok(key) => key,
            Err(_) => panic!("the timer wheel already holds {} timers", self.len()),
        }
    }

    /// Like [`insert`](Wheel::insert), but hands the value back if the wheel is full.
    #[inline]
    pub fn try_insert(&mut self, deadline: u64, value: T) -> Result<Key, Full<T>> {
        if self.nodes.len() >= self.limit || self.nodes.is_full() {
            return Err(Full(value));
        }
        let (index, generation) = self.nodes.occupy(deadline, value);
        self.file(index, deadline);
        self.next.earlier(deadline);
        Ok(Key { index, generation })
    }

    /// As [`insert`](Wheel::insert), of a timer that somebody else names: `name` takes the place of the node's generation in its
    /// key, so a timer that is to be known again by no more than that needs no value, and has a node of 24 bytes.
    ///
    /// A key then is stale as long as no timer of this name lives in its node. Whoever gives the same name twice keeps no key of
    /// the first. Name all timers of a wheel, or none. The node of one that is named `u32::MAX` is not used again.
    ///
    /// # Panics
    /// As [`insert`](Wheel::insert).
    #[inline]
    pub fn insert_named(&mut self, deadline: u64, value: T, name: NonZeroU32) -> Key {
        let Key { index, .. } = self.insert(deadline, value);
        if let Cell::Occupied { generation, .. } = &mut self.nodes.node_mut(index).cell {
            *generation = name;
        }
        Key { index, generation: name }
    }

    /// Removes a timer and hands back its value; `None` if the key is stale. A timer that is due can be cancelled
    /// until the moment it is popped.
    #[inline]
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        let node = self.nodes.live(key.index, key.generation)?;
        let (place, deadline) = (node.place(), node.deadline);
        self.unfile(key.index, place);
        self.next.gone(deadline);
        Some(self.nodes.vacate(key.index).1)
    }

    /// Moves a timer to another deadline; false if the key is stale.
    ///
    /// A later deadline costs a store: the timer stays in the slot it is filed in, and is filed again if that slot
    /// comes before the new deadline does. A timer that is due but not popped goes back to the wheel; if the new
    /// deadline has passed too, it is due at the next [`advance`](Wheel::advance).
    #[inline]
    pub fn reset(&mut self, key: Key, deadline: u64) -> bool {
        let (cursor, shift) = (self.cursor, self.shift);
        let Some(node) = self.nodes.live_mut(key.index, key.generation) else {
            return false;
        };
        let (place, old) = (node.place(), node.deadline);
        let stays = match place.filed() {
            Filed::Slot(slot) => deadline >> shift >= Rings::start(cursor, slot),
            Filed::Parked => deadline == NEVER,
            Filed::Near { .. } | Filed::Due { .. } | Filed::Listed => false,
        };
        if stays {
            node.deadline = deadline;
        } else {
            self.refile(key.index, place, deadline);
        }
        self.next.gone(old);
        self.next.earlier(deadline);
        true
    }

    #[cold]
    fn refile(&mut self, index: u32, place: Place, deadline: u64) {
        self.unfile(index, place);
        self.nodes.node_mut(index).deadline = deadline;
        self.file(index, deadline);
    }

    /// When this timer is due; `None` if the key is stale.
    #[must_use]
    pub fn deadline(&self, key: Key) -> Option<u64> {
        self.nodes.live(key.index, key.generation).map(|node| node.deadline)
    }

    /// What was inserted; `None` if the key is stale.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        match &self.nodes.live(key.index, key.generation)?.cell {
            Cell::Occupied { value, .. } => Some(value),
            Cell::Vacant { .. } => None,
        }
    }

    /// Whether the timer is still to be popped.
    #[must_use]
    pub fn contains(&self, key: Key) -> bool {
        self.nodes.live(key.index, key.generation).is_some()
    }

    /// The deadline of what [`pop`](Wheel::pop) would return.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<u64> {
        self.due.first_deadline(&self.nodes)
    }

    /// Takes the first of the timers that the last [`advance`](Wheel::advance) found due.
    #[inline]
    pub fn pop(&mut self) -> Option<Expired<T>> {
        let index = self.due.pop_min(&mut self.nodes)?;
        let deadline = self.nodes.node(index).deadline;
        self.next.gone(deadline);
        let (generation, value) = self.nodes.vacate(index);
        Some(Expired { key: Key { index, generation }, deadline, value })
    }

    /// Timers in the wheel: armed, disarmed, and due but not popped.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no timer at all.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 0
    }

    /// The latest time the wheel was advanced to.
    #[must_use]
    #[inline]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Files an unlinked node by its deadline.
    #[inline]
    pub(crate) fn file(&mut self, index: u32, deadline: u64) {
        let tick = deadline >> self.shift;
        if deadline == NEVER {
            self.nodes.node_mut(index).set_place(Place::PARKED);
        } else if tick <= self.cursor {
            self.near.insert(&mut self.nodes, index);
        } else {
            let level = ring::level_of(tick - self.cursor);
            let slot = Rings::slot_for(self.cursor, tick, level);
            if self.rings.link(&mut self.nodes, slot, index) == CROWD + 1 && level > 0 {
                self.next.forget();
            }
        }
    }

    #[inline]
    fn unfile(&mut self, index: u32, place: Place) {
        let filed = place.filed();
        match filed {
            Filed::Slot(slot) => {
                if self.rings.unlink(&mut self.nodes, slot, index) == CROWD {
                    self.next.thinned();
                }
            }
            Filed::Parked => {}
            Filed::Near { .. } => self.near.remove(&mut self.nodes, index),
            Filed::Due { .. } | Filed::Listed => self.due.remove(&mut self.nodes, index, filed),
        }
    }

    /// Gives a live timer another generation and returns its new key, so that a test can reach the last one.
    #[doc(hidden)]
    pub fn force_generation(&mut self, key: Key, to: NonZeroU32) -> Option<Key> {
        match &mut self.nodes.live_mut(key.index, key.generation)?.cell {
            Cell::Occupied { generation, .. } => *generation = to,
            Cell::Vacant { .. } => return None,
        }
        Some(Key { index: key.index, generation: to })
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Wheel<T> {
        Wheel::new(0)
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("len", &self.len())
            .field("due", &self.due.len())
            .field("now", &self.now)
            .field("tick_ns", &(1u64 << self.shift))
            .finish_non_exhaustive()
    }
}
