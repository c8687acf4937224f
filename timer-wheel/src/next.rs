//! The time of the next timer, cached.

use crate::NEVER;
use crate::ring::{LEVELS, Rings};
use crate::wheel::Wheel;

/// A slot with more timers than this is not searched; it is poured down ahead of its time instead.
pub(crate) const CROWD: u32 = 64;

/// The cached answer of [`Wheel::next_deadline`].
pub(crate) struct Next {
    at: u64,
    known: bool,
    /// `at` is no timer's deadline, but the time at which a crowded slot wants pouring.
    bound: bool,
}

impl Next {
    pub(crate) const fn new() -> Next {
        Next { at: NEVER, known: true, bound: false }
    }

    /// There is a timer with this deadline now.
    #[inline]
    pub(crate) fn earlier(&mut self, deadline: u64) {
        if deadline < self.at {
            self.at = deadline;
            self.bound = false;
        }
    }

    /// A timer with this deadline is no more, or has a later one.
    #[inline]
    pub(crate) fn gone(&mut self, deadline: u64) {
        if deadline == self.at {
            self.forget();
        }
    }

    /// A slot is not crowded any more.
    #[inline]
    pub(crate) fn thinned(&mut self) {
        if self.bound {
            self.forget();
        }
    }

    #[inline]
    pub(crate) fn forget(&mut self) {
        self.known = false;
    }

    #[inline]
    pub(crate) fn is_bound(&self) -> bool {
        self.bound
    }

    /// The cached time, if there is one.
    #[inline]
    pub(crate) fn known(&self) -> Option<u64> {
        self.known.then_some(self.at)
    }
}

impl<T> Wheel<T> {
    /// When to call [`advance`](Wheel::advance) next; `None` if no timer will ever be due.
    #[inline]
    pub fn next_deadline(&mut self) -> Option<u64> {
        let at = match self.next.known() {
            Some(at) => at,
            None => self.find_next(),
        };
        (at != NEVER).then_some(at)
    }

    fn find_next(&mut self) -> u64 {
        let mut best = NEVER;
        let mut bound = false;
        for tree in [&self.near, &self.due] {
            best = best.min(tree.first_deadline(&self.nodes).unwrap_or(NEVER));
        }
        if self.due.len() > 0 {
            self.next = Next { at: best, known: true, bound };
            return best;
        }
        for level in 0..LEVELS {
            while let Some(head) = self.rings.first_of(self.cursor, level) {
                if self.rings.len(head.slot) > CROWD {
                    let wanted = if level == 0 { head.start } else { head.eligible() } << self.shift;
                    if wanted < best {
                        (best, bound) = (wanted, true);
                    }
                    break;
                }
                if head.start << self.shift >= best {
                    break;
                }
                let mut first = NEVER;
                let mut moved_on = [(0, 0); CROWD as usize];
                let mut count = 0;
                let last = head.last();
                let (cursor, shift) = (self.cursor, self.shift);
                let beyond = Rings::slot_for(cursor, u64::MAX, LEVELS - 1);
                self.rings.each(&self.nodes, head.slot, |index, deadline| {
                    if deadline == NEVER || deadline >> shift > last && head.slot != beyond {
                        moved_on[count] = (index, deadline);
                        count += 1;
                    } else {
                        first = first.min(deadline);
                    }
                });
                for &(index, deadline) in &moved_on[..count] {
                    self.rings.unlink(&mut self.nodes, head.slot, index);
                    self.file(index, deadline);
                    if deadline < best {
                        (best, bound) = (deadline, false);
                    }
                }
                if first < best {
                    (best, bound) = (first, false);
                }
                if first != NEVER {
                    break;
                }
            }
        }
        self.next = Next { at: best, known: true, bound };
        best
    }
}
