//! The invariants, walked.

use crate::NEVER;
use crate::next::CROWD;
use crate::node::Filed;
use crate::ring::{LEVELS, Rings};
use crate::wheel::Wheel;

impl<T> Wheel<T> {
    /// Walks everything and panics, with a message, on a broken invariant. For tests and debugging.
    pub fn check(&self) {
        self.nodes.check();
        self.near.check(&self.nodes);
        self.due.check(&self.nodes);
        let mut filed = self.rings.check(&self.nodes) + self.near.len() + self.due.len();
        let mut truth = NEVER;
        for node in self.nodes.iter() {
            truth = truth.min(node.deadline);
            match node.place().filed() {
                Filed::Slot(slot) => {
                    let start = Rings::start(self.cursor, slot);
                    assert!(
                        node.deadline >> self.shift >= start,
                        "no timer is due before its slot starts"
                    );
                    assert!(
                        start > self.cursor || self.behind && start == self.cursor,
                        "no slot was passed over"
                    );
                }
                Filed::Parked => {
                    assert_eq!(node.deadline, NEVER, "only a disarmed timer is in no list");
                    filed += 1;
                }
                Filed::Near { .. } => {
                    assert_ne!(node.deadline, NEVER, "a disarmed timer is never near")
                }
                Filed::Due { .. } => assert!(node.deadline <= self.now, "no timer is early"),
            }
        }
        assert_eq!(filed, self.len(), "every timer is filed once");
        assert!(self.cursor <= self.now >> self.shift, "the cursor does not run ahead of the clock");
        if let Some(at) = self.next.known() {
            assert!(at <= truth, "the cached deadline is not late");
            assert!(
                at == truth || self.next.is_bound(),
                "the cached deadline is some timer's, or says it is a bound"
            );
            let at = if at <= self.now { 0 } else { at };
            for head in (1..LEVELS).filter_map(|level| self.rings.first_of(self.cursor, level)) {
                let crowded = |slot| self.rings.len(slot) > CROWD;
                assert!(
                    !crowded(head.slot) || at <= head.eligible() << self.shift,
                    "a crowd is poured in time"
                );
                assert!(
                    !crowded(head.following()) || at <= head.start << self.shift,
                    "so is the one behind"
                );
            }
        }
    }
}
