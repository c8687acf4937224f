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
                Filed::Due { .. } | Filed::Listed => {
                    assert!(node.deadline <= self.now, "no timer is early")
                }
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

#[cfg(test)]
pub(crate) mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::Budget;
    use crate::node::Place;

    /// What a check says of something that is broken.
    pub(crate) fn said(check: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("it notices nothing");
        panic.downcast_ref::<String>().cloned().unwrap_or_else(|| {
            panic.downcast_ref::<&str>().map_or_else(String::new, |said| said.to_string())
        })
    }

    const TICK: u64 = 1024;
    /// A slot of the second level.
    const SLOT: u64 = 64 * TICK;

    /// Timers 0: in a slot, 1: near, 2: due, 3: disarmed.
    fn wheel() -> Wheel<()> {
        let mut wheel = Wheel::new(0);
        for deadline in [100 * TICK, 50 * TICK + 9, 50 * TICK, NEVER] {
            wheel.insert(deadline, ());
        }
        wheel.advance(50 * TICK + 8, Budget::UNLIMITED);
        wheel.check();
        wheel
    }

    fn broken(break_it: impl FnOnce(&mut Wheel<()>)) -> String {
        let mut wheel = wheel();
        break_it(&mut wheel);
        said(|| wheel.check())
    }

    #[test]
    fn it_says_which_timer_is_filed_where_it_must_not_be() {
        for (timer, deadline, expected) in [
            (0, 64 * TICK - 1, "no timer is due before its slot starts"),
            (1, NEVER, "a disarmed timer is never near"),
            (2, 50 * TICK + 9, "no timer is early"),
            (3, 5, "only a disarmed timer is in no list"),
        ] {
            let said = broken(|wheel| wheel.nodes.node_mut(timer).deadline = deadline);
            assert!(said.contains(expected), "{said}");
        }
        let said = broken(|wheel| wheel.nodes.node_mut(0).set_place(Place::PARKED));
        assert!(said.contains("a node knows its slot"), "{said}");
        let said = broken(|wheel| {
            let Filed::Slot(slot) = wheel.nodes.node(0).place().filed() else { panic!("in a slot") };
            wheel.rings.unlink(&mut wheel.nodes, slot, 0);
        });
        assert!(said.contains("every timer is filed once"), "{said}");
    }

    #[test]
    fn it_says_when_the_cursor_stands_wrong() {
        let ahead = broken(|wheel| wheel.cursor += 1);
        assert!(ahead.contains("the cursor does not run ahead"), "{ahead}");
        let at_the_slot = |behind| {
            let mut wheel = wheel();
            (wheel.cursor, wheel.now, wheel.behind) = (64, 64 * TICK, behind);
            wheel.next.forget();
            wheel
        };
        at_the_slot(true).check();
        let wheel = at_the_slot(false);
        assert!(said(|| wheel.check()).contains("no slot was passed over"));
    }

    #[test]
    fn it_says_when_the_next_deadline_is_wrong() {
        let known = |at, bound| {
            move |wheel: &mut Wheel<()>| {
                (wheel.next.at, wheel.next.known, wheel.next.bound) = (at, true, bound);
            }
        };
        assert!(broken(known(50 * TICK + 1, true)).contains("the cached deadline is not late"));
        assert!(broken(known(50 * TICK - 1, false)).contains("or says it is a bound"));
        let mut early = wheel();
        known(50 * TICK - 1, true)(&mut early);
        early.check();
    }

    #[test]
    fn it_says_when_nobody_is_woken_for_a_crowd() {
        let wheel = |few, at| {
            let mut wheel = Wheel::new(0);
            if few {
                wheel.insert(10 * SLOT + 5, ());
            }
            for n in 0..=u64::from(CROWD) {
                wheel.insert(11 * SLOT + 40 * TICK + n, ());
            }
            (wheel.next.at, wheel.next.known, wheel.next.bound) = (at, true, true);
            wheel
        };
        wheel(false, 10 * SLOT).check();
        wheel(true, 10 * SLOT).check();
        for (few, expected) in [(false, "a crowd is poured in time"), (true, "so is the one behind")] {
            let late = wheel(few, 10 * SLOT + 1);
            let said = said(|| late.check());
            assert!(said.contains(expected), "{said}");
        }
        // Who is told "now" has been told in time.
        let mut behind = wheel(true, 10 * SLOT + 1);
        behind.now = 10 * SLOT + 1;
        behind.check();
    }
}
