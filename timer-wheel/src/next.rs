//! The time of the next timer, cached.

use crate::NEVER;

/// A slot with more timers than this is not searched; it is poured down ahead of its time instead.
pub(crate) const CROWD: u32 = 64;

/// The cached answer of [`Wheel::next_deadline`](crate::Wheel::next_deadline).
pub(crate) struct Next {
    pub(crate) at: u64,
    pub(crate) known: bool,
    /// `at` is no timer's deadline, but the time at which a crowded slot wants pouring.
    pub(crate) bound: bool,
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

    /// A crowded slot wants pouring at this time.
    #[inline]
    pub(crate) fn crowd(&mut self, at: u64) {
        if at < self.at {
            self.at = at;
            self.bound = true;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_until_something_makes_it_doubtful() {
        let mut next = Next::new();
        assert_eq!((next.known(), next.is_bound()), (Some(NEVER), false));
        next.crowd(500);
        assert_eq!((next.known(), next.is_bound()), (Some(500), true));
        next.earlier(500 + 1);
        next.gone(500 + 1);
        assert_eq!((next.known(), next.is_bound()), (Some(500), true), "what comes later is no matter");
        next.earlier(400);
        next.thinned();
        assert_eq!((next.known(), next.is_bound()), (Some(400), false));
        next.gone(400);
        assert_eq!(next.known(), None);
    }
}
