//! Finding the time of the next timer.

use crate::NEVER;
use crate::next::{CROWD, Next};
use crate::node::NIL;
use crate::ring::{Head, LEVELS, Rings};
use crate::wheel::Wheel;

impl<T> Wheel<T> {
    /// When to call [`advance`](Wheel::advance) next; `None` if no timer will ever be due.
    ///
    /// It is never later than the first deadline, so who sleeps until then is never late; with timers due but not
    /// popped, or armed for the past, it is not after [`now`](Wheel::now), so who asks does not sleep at all. Nearly
    /// always the answer is cached, and a call is one load.
    ///
    /// # Exact, or a bound
    /// It is the first deadline itself unless a slot of more than 64 timers is near. Then it may be the moment from
    /// which that slot can be poured down: one slot's width ahead of it or, for a single tick, the start of the tick.
    /// A wheel of at most 64 timers is always exact.
    ///
    /// **An `advance` at the returned time that fires nothing moves at least 64 timers**, given a budget of at least
    /// as many moves. If the answer was a deadline, its timer fires, or the budget went to the moves that come before
    /// it. If it was a bound, the slot that set it still holds more than 64 timers (when it thins the answer is
    /// forgotten), it is poured in that call, and a pour ends only when the slot or the budget is empty. And each timer
    /// moves down at most 8 times for each time it is filed, so *wakes for nothing ≤ moves / 64 ≤ filings / 8*. Without
    /// such slots there are none.
    #[inline]
    pub fn next_deadline(&mut self) -> Option<u64> {
        let at = match self.next.known() {
            Some(at) => at,
            None => self.find_next(),
        };
        (at != NEVER).then_some(at)
    }

    fn find_next(&mut self) -> u64 {
        loop {
            let mut next = Next::new();
            self.next = Next::new();
            next.earlier(self.due.first_deadline(&self.nodes).unwrap_or(NEVER));
            next.earlier(self.near.first_deadline(&self.nodes).unwrap_or(NEVER));
            if self.due.len() == 0 {
                (0..LEVELS).for_each(|level| self.search(level, &mut next));
            }
            // Filing extended timers may have made a crowd at a level already searched; then `self.next` was forgotten.
            if self.next.known {
                self.next = next;
                return self.next.at;
            }
        }
    }

    /// Lowers `next` to the first deadline of `level`, or to the time at which a crowd there wants pouring.
    ///
    /// That can only be the first slot or the one behind it: a later one wants nothing before the first is due.
    fn search(&mut self, level: usize, next: &mut Next) {
        while let Some(head) = self.rings.first_of(self.cursor, level) {
            let crowded = |slot| self.rings.len(slot) > CROWD;
            if crowded(head.slot) {
                let wanted = if level == 0 { head.start } else { head.eligible() };
                return next.crowd(wanted << self.shift);
            }
            if level > 0 && crowded(head.following()) {
                next.crowd(head.start << self.shift);
            }
            if head.start << self.shift >= next.at || self.scan(head, next) {
                return;
            }
        }
    }

    /// Lowers `next` to the first deadline in a slot. Timers that were extended beyond it are filed where they belong;
    /// false if that left none.
    fn scan(&mut self, head: Head, next: &mut Next) -> bool {
        let (last, shift) = (head.last(), self.shift);
        let at_horizon = head.slot == Rings::slot_for(self.cursor, u64::MAX, LEVELS - 1);
        let mut extended = [(NIL, 0); CROWD as usize];
        let mut count = 0;
        self.rings.each(&self.nodes, head.slot, |index, deadline| {
            if deadline == NEVER || deadline >> shift > last && !at_horizon {
                extended[count] = (index, deadline);
                count += 1;
            }
            next.earlier(deadline);
        });
        let stay = count < self.rings.len(head.slot) as usize;
        for &(index, deadline) in &extended[..count] {
            self.rings.unlink(&mut self.nodes, head.slot, index);
            self.file(index, deadline);
        }
        stay
    }
}
